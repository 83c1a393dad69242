//! Tests of the tokenizer and the chat template through the crate's public API.

#[cfg(test)]
mod chat_templates;
#[cfg(test)]
mod hostile_templates;
#[cfg(test)]
mod models;
#[cfg(test)]
mod refused_tokenizers;
#[cfg(test)]
mod token_table;
#[cfg(test)]
mod tokens;
