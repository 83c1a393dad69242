//! Tokenizer and chat template of a model, from its own file.
//!
//! A prompt is rendered with the template and counted with the tokens that the model was trained on, both
//! read from the GGUF header, so that what is admitted is what the engine will see.
//!
//! What holds:
//! - Token ids are those of llama.cpp, checked against a table made with it
//!   (`tests/it/data/smollm2_tokens.json`). A tokenizer that is not known exactly is
//!   [`PromptError::UnsupportedTokenizer`], never a guess.
//! - A chat template is a program from a stranger. It sees the messages and nothing else, cannot load
//!   other templates, and is stopped with a typed error when it takes too many steps, writes too much, or
//!   builds values that are too large or too deep.
//! - No I/O and no clock: a template that wants the date gets the one that it was handed.
//!
//! # Special tokens
//! A rendered chat is encoded with `parse_special`, as llama.cpp's server does: text that spells a control
//! token (`<|im_end|>`) becomes that token, also when a user wrote it in a message. Models have no other
//! way to tell template from content, and escaping it here would make one prompt give different ids here
//! and on llama.cpp. Whoever needs to keep users from closing their turn filters the messages first.

mod bpe;
mod byte_alphabet;
mod char_class;
mod chat_template;
mod error;
mod model;
mod pre_tokenizer;
mod special_tokens;
mod template_limits;
mod vocabulary;

pub use chat_template::ChatMessage;
pub use error::PromptError;
pub use model::PromptModel;
pub use template_limits::TemplateLimits;
