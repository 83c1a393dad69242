use std::collections::BTreeSet;
use std::sync::Arc;

use gguf::Header;

use crate::bpe::{Bpe, MergeWork};
use crate::chat_template::{ChatTemplate, RenderInput};
use crate::pre_tokenizer::PreTokenizer;
use crate::special_tokens::{Fragment, SpecialTokens};
use crate::vocabulary::{END_OF_GENERATION_TEXTS, Vocabulary};
use crate::{ChatMessage, PromptError, TemplateLimits};

/// The text side of one model: its tokens and its chat template. Cloning shares the tables.
#[derive(Debug, Clone)]
pub struct PromptModel {
    tables: Arc<Tables>,
}

#[derive(Debug)]
struct Tables {
    vocabulary: Vocabulary,
    special_tokens: SpecialTokens,
    pre_tokenizer: PreTokenizer,
    bpe: Bpe,
    bos: Option<u32>,
    eos: Option<u32>,
    adds_bos: bool,
    adds_eos: bool,
    end_of_generation: BTreeSet<u32>,
    context_length: Option<u32>,
    template: Option<ChatTemplate>,
    template_limits: TemplateLimits,
}

impl PromptModel {
    /// Builds the tokenizer and keeps the template of a model file, with the default [`TemplateLimits`].
    ///
    /// # Errors
    /// [`PromptError::UnsupportedTokenizer`] for a tokenizer that is not known exactly,
    /// [`PromptError::InvalidVocabulary`] and [`PromptError::Header`] for tables that are missing or make
    /// no sense. What is wrong with a template shows when messages are rendered.
    pub fn from_gguf(header: &Header) -> Result<Self, PromptError> {
        Self::from_gguf_with(header, TemplateLimits::default())
    }

    /// As [`PromptModel::from_gguf`], with template limits of one's own.
    ///
    /// # Errors
    /// As for [`PromptModel::from_gguf`].
    pub fn from_gguf_with(
        header: &Header,
        template_limits: TemplateLimits,
    ) -> Result<Self, PromptError> {
        let metadata = &header.metadata;
        let kind = header.tokenizer_model()?;
        if kind != "gpt2" {
            return Err(PromptError::UnsupportedTokenizer {
                kind: format!("`{kind}`"),
                supported: "byte-level BPE (`gpt2`) is",
            });
        }
        let pre_tokenizer = PreTokenizer::named(header.tokenizer_pre()?)?;
        let vocabulary = Vocabulary::read(metadata)?;
        let named_id =
            |name: &str| vocabulary.named_id(metadata, &format!("tokenizer.ggml.{name}_token_id"));
        let flag = |key: &str, otherwise: bool| match metadata.get(key) {
            Some(_) => metadata.bool(key),
            None => Ok(otherwise),
        };
        let (bos, eos) = (named_id("bos")?, named_id("eos")?);
        let mut end_of_generation: BTreeSet<u32> = vocabulary
            .iter()
            .filter(|(_, text, _)| END_OF_GENERATION_TEXTS.contains(text))
            .map(|(id, _, _)| id)
            .collect();
        end_of_generation.extend(eos);
        end_of_generation.extend(named_id("eot")?);
        end_of_generation.extend(named_id("eom")?);
        let tables = Tables {
            special_tokens: SpecialTokens::read(&vocabulary)?,
            bpe: Bpe::read(metadata, &vocabulary, pre_tokenizer.ignores_merges())?,
            pre_tokenizer,
            bos,
            eos,
            adds_bos: flag("tokenizer.ggml.add_bos_token", pre_tokenizer.adds_bos())?,
            adds_eos: flag("tokenizer.ggml.add_eos_token", false)?,
            end_of_generation,
            context_length: header.context_length().ok(),
            template: header.chat_template()?.map(ChatTemplate::new),
            template_limits,
            vocabulary,
        };
        Ok(Self { tables: Arc::new(tables) })
    }

    /// The tokens of `text`, with nothing added in front or behind.
    ///
    /// With `parse_special`, text that spells a control token becomes that token; without, it becomes the
    /// ordinary tokens that spell it. User-defined tokens are found either way.
    ///
    /// Bytes that the vocabulary has no token for are left out, as in llama.cpp: few models lack any, and
    /// those lack control characters and code points that are not assigned.
    ///
    /// Takes time in proportion to the text, and its logarithm where it has no blanks to split at: about
    /// 5 MB of prose and 1 to 2 MB of one endless word a second.
    ///
    /// # Panics
    /// On words of 4 GiB.
    pub fn encode(&self, text: &str, parse_special: bool) -> Vec<u32> {
        let tables = &*self.tables;
        let (mut ids, mut work) = (Vec::new(), MergeWork::default());
        tables.special_tokens.partition(text, parse_special, |fragment| match fragment {
            Fragment::Token(id) => ids.push(id),
            Fragment::Text(text) => {
                tables.pre_tokenizer.split(text, |piece| {
                    tables.bpe.encode(piece, &mut work, &mut ids);
                });
            }
        });
        ids
    }

    /// A number of tokens that `text` has at the very least, found without making them: its bytes over
    /// those of the longest token. Refuses a prompt far beyond a context before it costs anything.
    pub fn tokens_min(&self, text: &str) -> usize {
        let tables = &*self.tables;
        let bytes = text.bytes().filter(|&byte| tables.bpe.has_token(byte)).count();
        bytes.div_ceil(tables.vocabulary.longest_bytes())
    }

    /// The tokens of a whole prompt, as llama.cpp's server makes them: special tokens are parsed, and the
    /// model's first and last tokens are added where its file asks for them
    /// (`tokenizer.ggml.add_bos_token`, `add_eos_token`). A first token that the prompt already has, as
    /// the output of many templates does, is not added again.
    pub fn encode_prompt(&self, prompt: &str) -> Vec<u32> {
        let tables = &*self.tables;
        let mut ids = self.encode(prompt, true);
        if let Some(bos) = tables.bos.filter(|_| tables.adds_bos)
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        if let Some(eos) = tables.eos.filter(|_| tables.adds_eos)
            && ids.last() != Some(&eos)
        {
            ids.push(eos);
        }
        ids
    }

    /// The prompt for a conversation, as the model's template writes it. Templates that ask for the date
    /// (`strftime_now`) find that there is none, and use their own.
    ///
    /// # Errors
    /// [`PromptError::NoTemplate`]; [`PromptError::InvalidTemplate`] when it is no program that can run
    /// here; [`PromptError::TemplateRejected`] when it refuses the messages;
    /// [`PromptError::TemplateLimit`] when it takes too much.
    pub fn render_chat(
        &self,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
    ) -> Result<String, PromptError> {
        self.render(messages, add_generation_prompt, None)
    }

    /// As [`PromptModel::render_chat`], with the time that `strftime_now` shows, in milliseconds since
    /// the epoch. Dates are those of UTC.
    ///
    /// # Errors
    /// As for [`PromptModel::render_chat`].
    pub fn render_chat_at(
        &self,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
        now_ms: u64,
    ) -> Result<String, PromptError> {
        self.render(messages, add_generation_prompt, Some(now_ms))
    }

    fn render(
        &self,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
        now_ms: Option<u64>,
    ) -> Result<String, PromptError> {
        let tables = &*self.tables;
        let template = tables.template.as_ref().ok_or(PromptError::NoTemplate)?;
        let text_of = |id: Option<u32>| id.and_then(|id| tables.vocabulary.text(id)).unwrap_or("");
        let input = RenderInput {
            messages,
            add_generation_prompt,
            bos_token: text_of(tables.bos),
            eos_token: text_of(tables.eos),
            now_ms,
        };
        template.render(&input, &tables.template_limits)
    }

    /// The bytes that a token stands for, which need not be whole characters; none for control tokens.
    /// `None` for ids that are no tokens.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.tables.vocabulary.bytes(id)
    }

    /// Whether a generated token ends the answer: the model's end tokens, by id and by known text.
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.tables.end_of_generation.contains(&id)
    }

    /// Number of tokens; ids are below it.
    pub fn vocab_size(&self) -> usize {
        self.tables.vocabulary.len()
    }

    /// Tokens that the model attends to, when its file says.
    pub fn context_length(&self) -> Option<u32> {
        self.tables.context_length
    }

    /// `sha256:` and the digest of the chat template's source, when there is one. Shown and locked, as the
    /// template is a program.
    pub fn template_digest(&self) -> Option<String> {
        self.tables.template.as_ref().map(ChatTemplate::digest)
    }

    /// The chat template's source, when there is one.
    pub fn template_source(&self) -> Option<&str> {
        self.tables.template.as_ref().map(ChatTemplate::source)
    }
}
