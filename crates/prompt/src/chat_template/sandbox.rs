use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use minijinja::machinery::{eval, make_string_output};
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind};

use crate::chat_template::meter::{Meter, MeteredText};
use crate::chat_template::{RenderInput, hardening, operations};
use crate::{PromptError, TemplateLimits};

/// Stack of the thread that renders, in bytes; only what is used is ever backed by memory. Values may be
/// nested as deep as the limits on depth and namespaces allow together, and dropping them recurses. The
/// deepest chain of the tests needs between 8 and 16 MiB in a build without optimisation.
const STACK_BYTES: usize = 64 << 20;

/// Renders in a thread of its own, so that neither the depth of a template's values nor a panic of the
/// interpreter reaches the caller.
pub(crate) fn render(
    source: &str,
    input: &RenderInput<'_>,
    limits: &TemplateLimits,
) -> Result<String, PromptError> {
    thread::scope(|scope| {
        let renderer = thread::Builder::new()
            .name("chat-template".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || render_here(source, input, limits));
        let failed = |message: String| PromptError::TemplateRejected { message };
        match renderer.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(rendered)) => rendered,
            Ok(Err(_panic)) => Err(failed("the interpreter failed on it".to_owned())),
            Err(error) => Err(failed(format!("no thread to run it: {error}"))),
        }
    })
}

fn render_here(
    source: &str,
    input: &RenderInput<'_>,
    limits: &TemplateLimits,
) -> Result<String, PromptError> {
    let input_bytes =
        input.messages.iter().map(|turn| turn.role.len() + turn.content.len()).sum::<usize>();
    let meter = Arc::new(Meter::new(limits, input.messages.len() as u64, input_bytes as u64));
    let instructions = hardening::compile(source)?;
    let environment = environment(&meter, input, limits);
    let (mut prompt, blocks) = (String::new(), BTreeMap::new());
    let outcome = eval(
        &environment,
        &instructions,
        context(input),
        &blocks,
        &mut make_string_output(&mut prompt),
        AutoEscape::None,
    );
    match outcome {
        Ok(_) => Ok(prompt),
        Err(error) => Err(meter.exceeded().unwrap_or_else(|| refusal(&error, limits, input))),
    }
}

fn environment(
    meter: &Arc<Meter>,
    input: &RenderInput<'_>,
    limits: &TemplateLimits,
) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_fuel(Some(steps_max(limits, input)));
    environment.set_recursion_limit(usize::try_from(limits.recursion_max).unwrap_or(usize::MAX));
    operations::install(&mut environment, meter, input.now_ms);
    let emitted = Arc::clone(meter);
    environment.set_formatter(move |output, _state, value| {
        emitted.weigh(value)?;
        Ok(operations::write_value(&mut MeteredText::new(&emitted, output), value)?)
    });
    environment
}

fn steps_max(limits: &TemplateLimits, input: &RenderInput<'_>) -> u64 {
    let for_messages = limits.steps_per_message.saturating_mul(input.messages.len() as u64);
    limits.steps_max.saturating_add(for_messages).min(i64::MAX as u64)
}

/// The names that Hugging Face's renderer gives to templates. There are no tools and documents.
fn context(input: &RenderInput<'_>) -> Value {
    let turn = |role: &str, content: &str| {
        Value::from_pairs([("role", Value::from(role)), ("content", Value::from(content))])
    };
    let messages: Vec<Value> =
        input.messages.iter().map(|message| turn(&message.role, &message.content)).collect();
    Value::from_pairs([
        ("messages", Value::from(messages)),
        ("add_generation_prompt", Value::from(input.add_generation_prompt)),
        ("bos_token", Value::from(input.bos_token)),
        ("eos_token", Value::from(input.eos_token)),
        ("tools", Value::from(())),
        ("documents", Value::from(())),
    ])
}

fn refusal(error: &Error, limits: &TemplateLimits, input: &RenderInput<'_>) -> PromptError {
    let message = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.to_string(),
    };
    if error.kind() == ErrorKind::OutOfFuel {
        return PromptError::TemplateLimit { what: "steps", limit: steps_max(limits, input) };
    }
    if message.contains("recursion limit") {
        return PromptError::TemplateLimit {
            what: "levels of recursion",
            limit: limits.recursion_max,
        };
    }
    PromptError::TemplateRejected { message }
}
