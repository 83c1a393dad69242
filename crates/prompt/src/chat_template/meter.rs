use std::fmt::{self, Write};
use std::sync::Mutex;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

use crate::{PromptError, TemplateLimits};

/// Bytes of text that cost one unit of work.
const TEXT_BYTES_PER_UNIT: usize = 64;

/// What one rendering may still use. The first limit that is reached is remembered, as the interpreter's
/// errors pass through code that only keeps their text.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: TemplateLimits,
    /// Units of work in all.
    work_max: u64,
    /// Bytes that may be written in all, captured output included.
    output_bytes_max: u64,
    left: Mutex<Left>,
}

#[derive(Debug)]
struct Left {
    work: u64,
    output_bytes: u64,
    namespaces: u64,
    exceeded: Option<(&'static str, u64)>,
}

impl Meter {
    /// What `limits` allow for so many messages of together so many bytes.
    pub(crate) fn new(limits: &TemplateLimits, messages: u64, input_bytes: u64) -> Self {
        let work_max = limits
            .work_max
            .saturating_add(limits.work_per_message.saturating_mul(messages))
            .saturating_add(input_bytes);
        let output_bytes_max =
            limits.output_bytes_max.saturating_add(input_bytes.saturating_mul(4));
        let left = Left {
            work: work_max,
            output_bytes: output_bytes_max,
            namespaces: limits.namespaces_max,
            exceeded: None,
        };
        Self { limits: *limits, work_max, output_bytes_max, left: Mutex::new(left) }
    }

    /// The limit that was reached, if one was.
    pub(crate) fn exceeded(&self) -> Option<PromptError> {
        let (what, limit) = self.left().exceeded?;
        Some(PromptError::TemplateLimit { what, limit })
    }

    /// Pays for work on values.
    pub(crate) fn work(&self, units: u64) -> Result<(), Error> {
        self.spend(|left| &mut left.work, units, "units of work", self.work_max)
    }

    /// Pays for text that is written, or made to be written later.
    pub(crate) fn output(&self, bytes: usize) -> Result<(), Error> {
        let limit = self.output_bytes_max;
        self.spend(|left| &mut left.output_bytes, bytes as u64, "bytes of output", limit)
    }

    /// Pays for a namespace.
    pub(crate) fn namespace(&self) -> Result<(), Error> {
        let limit = self.limits.namespaces_max;
        self.spend(|left| &mut left.namespaces, 1, "namespaces", limit)
    }

    /// Walks a value to the bottom and pays for all of it. Every operation whose cost grows with its
    /// operands does this first, so shared and cyclic values cannot make it endless.
    pub(crate) fn weigh(&self, value: &Value) -> Result<(), Error> {
        self.weigh_below(value, self.limits.value_depth_max)
    }

    /// Walks a value to the bottom and pays for writing all of it.
    pub(crate) fn weigh_output(&self, value: &Value) -> Result<(), Error> {
        self.weigh(value)?;
        self.output_below(value)
    }

    /// The value was weighed, so it is not endless.
    fn output_below(&self, value: &Value) -> Result<(), Error> {
        if let Some(text) = value.as_str() {
            return self.output(text.len());
        }
        self.output(8)?;
        let kind = value.kind();
        if matches!(kind, ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) {
            for item in value.try_iter()? {
                if kind == ValueKind::Map {
                    self.output_below(&value.get_item(&item)?)?;
                }
                self.output_below(&item)?;
            }
        }
        Ok(())
    }

    /// Pays for an operation that looks at a text, or at no more than the first level of a value.
    pub(crate) fn weigh_shallow(&self, value: &Value) -> Result<(), Error> {
        match value.as_str() {
            Some(text) => self.text(text),
            None => self.work(1),
        }
    }

    fn weigh_below(&self, value: &Value, levels: u64) -> Result<(), Error> {
        if let Some(text) = value.as_str() {
            return self.text(text);
        }
        self.work(1)?;
        let kind = value.kind();
        if !matches!(kind, ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) {
            return Ok(());
        }
        let Some(levels) = levels.checked_sub(1) else {
            return Err(self.exceed("levels of values", self.limits.value_depth_max));
        };
        for item in value.try_iter()? {
            if kind == ValueKind::Map {
                self.weigh_below(&value.get_item(&item)?, levels)?;
            }
            self.weigh_below(&item, levels)?;
        }
        Ok(())
    }

    fn text(&self, text: &str) -> Result<(), Error> {
        self.work(1 + (text.len() / TEXT_BYTES_PER_UNIT) as u64)
    }

    fn spend(
        &self,
        account: impl Fn(&mut Left) -> &mut u64,
        amount: u64,
        what: &'static str,
        limit: u64,
    ) -> Result<(), Error> {
        let mut left = self.left();
        let balance = account(&mut left);
        match balance.checked_sub(amount) {
            Some(rest) => {
                *balance = rest;
                Ok(())
            }
            None => {
                drop(left);
                Err(self.exceed(what, limit))
            }
        }
    }

    fn exceed(&self, what: &'static str, limit: u64) -> Error {
        self.left().exceeded.get_or_insert((what, limit));
        Error::new(ErrorKind::InvalidOperation, format!("more than {limit} {what}"))
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Left> {
        self.left.lock().expect("no holder panics")
    }
}

/// Writes text while the meter pays for it.
pub(crate) struct MeteredText<'m, W> {
    meter: &'m Meter,
    into: W,
}

impl<'m, W: Write> MeteredText<'m, W> {
    pub(crate) fn new(meter: &'m Meter, into: W) -> Self {
        Self { meter, into }
    }
}

impl<W: Write> Write for MeteredText<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.meter.output(text.len()).map_err(|_exceeded| fmt::Error)?;
        self.into.write_str(text)
    }
}
