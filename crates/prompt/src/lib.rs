//! Tokenizer and chat template of a model, from its own file.
