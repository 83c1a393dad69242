use std::fmt::Write as _;

/// Longest sentence, in characters (ORCH-267).
pub const HUMAN_CHARS_MAX: usize = 160;

/// Longest name in a sentence, in characters.
const NAME_CHARS_MAX: usize = 40;

/// Hex digits that are shown of a digest.
const DIGEST_CHARS: usize = 12;

/// Something that happened and that people may want to read about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact<'a> {
    /// A task is durable and waits.
    Admitted { model: &'a str, position: u64 },
    /// A task was given a slot of a pool.
    Placed { model: &'a str, pool: &'a str },
    /// An engine works on a task for the first time.
    Started { model: &'a str, pool: &'a str, queue_time_ms: u64 },
    /// A pool did not carry a task through.
    AttemptFailed { model: &'a str, pool: &'a str },
    /// A task goes on after a failure; `attempt` counts from 1.
    FailedOver { model: &'a str, pool: &'a str, attempt: u64 },
    /// A task is over; `state` and `code` as the API names them.
    Ended { model: &'a str, state: &'a str, code: Option<&'a str>, tokens_out: Option<u64> },
    /// Somebody asked for a task's end.
    CancelAsked { model: &'a str },
    /// A task is ended because nobody listens.
    Abandoned { model: &'a str },
    /// A start took over what the last run left.
    Recovered { tasks: u64 },
    /// A pool's state changed.
    PoolState { pool: &'a str, state: &'a str },
    /// The configuration was read again and holds.
    Reloaded,
    /// The configuration was read again and is wrong.
    ReloadRefused,
    /// Requests are taken.
    Listening { addr: &'a str },
    /// No more work is taken; what runs has this long.
    Draining { deadline_ms: u64 },
    /// A model's bytes are here and are what they should be.
    Verified { model: &'a str },
    /// A model could not be had; it is tried again.
    NotToBeHad { model: &'a str, retry_in_s: u64 },
    /// A file hands an engine over, which is used from now on.
    HandedOver { pool: &'a str, model: &'a str },
    /// A file that handed an engine over names another one, which takes over.
    HandoffReplaced { pool: &'a str, model: &'a str },
    /// A file hands an engine over that does not answer yet.
    HandoffAwaited { pool: &'a str },
    /// An engine that a file handed over is used no longer.
    HandoffGone { pool: &'a str },
    /// A file of an engine is not used; `outcome` as metrics name it.
    HandoffSkipped { file: &'a str, outcome: &'a str },
}

/// What happened, as one plain sentence of at most [`HUMAN_CHARS_MAX`] characters.
#[must_use]
pub fn human(fact: &Fact<'_>) -> String {
    let sentence = match *fact {
        Fact::Admitted { model, position } => {
            format!("A task for {} was admitted at position {position} of the queue.", name(model))
        }
        Fact::Placed { model, pool } => {
            format!("A task for {} goes to pool {}.", name(model), name(pool))
        }
        Fact::Started { model, pool, queue_time_ms } => {
            let waited = seconds(queue_time_ms);
            format!(
                "{} works on a task for {}, which waited {waited}.",
                pool_name(pool),
                name(model)
            )
        }
        Fact::AttemptFailed { model, pool } => {
            format!("{} could not carry a task for {} through.", pool_name(pool), name(model))
        }
        Fact::FailedOver { model, pool, attempt } => format!(
            "A task for {} goes on in attempt {attempt}, on pool {}.",
            name(model),
            name(pool)
        ),
        Fact::Ended { model, state, code, tokens_out } => ended(model, state, code, tokens_out),
        Fact::CancelAsked { model } => {
            format!("Somebody asked to cancel a task for {}.", name(model))
        }
        Fact::Abandoned { model } => {
            format!("A task for {} is cancelled, because nobody listens any more.", name(model))
        }
        Fact::Recovered { tasks: 1 } => "One task of the last run was taken over.".to_owned(),
        Fact::Recovered { tasks } => format!("{tasks} tasks of the last run were taken over."),
        Fact::PoolState { pool, state } => format!("{} is now {}.", pool_name(pool), name(state)),
        Fact::Reloaded => "The configuration was read again, and holds from now on.".to_owned(),
        Fact::ReloadRefused => {
            "The configuration was read again and is wrong; the former one goes on.".to_owned()
        }
        Fact::Listening { addr } => format!("The daemon takes requests on {}.", name(addr)),
        Fact::Draining { deadline_ms } => {
            let left = seconds(deadline_ms);
            format!("The daemon takes no more work; what runs may go on for {left}.")
        }
        Fact::Verified { model } => {
            format!("The model {} is here, and its bytes are what they should be.", name(model))
        }
        Fact::NotToBeHad { model, retry_in_s } => {
            format!(
                "The model {} is not to be had; it is tried again in {retry_in_s} s.",
                name(model)
            )
        }
        Fact::HandedOver { pool, model } => {
            format!("A file hands pool {} over, which serves {}.", name(pool), name(model))
        }
        Fact::HandoffReplaced { pool, model } => {
            format!("The file of pool {} changed; it serves {}.", name(pool), name(model))
        }
        Fact::HandoffAwaited { pool } => {
            format!("A file hands pool {} over, whose engine does not answer yet.", name(pool))
        }
        Fact::HandoffGone { pool } => {
            format!("{} is no longer handed over by a file.", pool_name(pool))
        }
        Fact::HandoffSkipped { file, outcome } => {
            format!("The handoff file {} is not used: {}.", name(file), name(outcome))
        }
    };
    debug_assert!(sentence.chars().count() <= HUMAN_CHARS_MAX, "{sentence}");
    cut(&sentence, HUMAN_CHARS_MAX)
}

fn ended(model: &str, state: &str, code: Option<&str>, tokens_out: Option<u64>) -> String {
    let how = match state {
        "succeeded" => "is done",
        "canceled" => "was cancelled",
        "expired" => "ran out of time",
        "failed" => "failed",
        other => return format!("A task for {} is now {}.", name(model), name(other)),
    };
    let mut sentence = format!("A task for {} {how}", name(model));
    // Writing into a string cannot fail.
    let _ = match tokens_out {
        Some(1) => write!(sentence, " after 1 token"),
        Some(tokens) if tokens > 0 => write!(sentence, " after {tokens} tokens"),
        _ => Ok(()),
    };
    let _ = code.map_or(Ok(()), |code| write!(sentence, " ({})", name(code)));
    sentence.push('.');
    sentence
}

fn pool_name(pool: &str) -> String {
    format!("Pool {}", name(pool))
}

/// A name as people know it: a remote model's own one, the first digits of a digest, one line, not long.
fn name(id: &str) -> String {
    if let Some(digest) = id.strip_prefix("sha256:") {
        return format!("sha256:{}", cut(digest, DIGEST_CHARS));
    }
    let own = id.strip_prefix("remote:").and_then(|rest| rest.split_once('/'));
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = own.map_or(id, |(_pool, name)| name).chars().map(plain).collect();
    cut(&line, NAME_CHARS_MAX)
}

fn seconds(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1000, ms % 1000 / 100) }
}

/// The text, with its end left out where it is longer than `chars_max`.
fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars_max - 1).chain(['\u{2026}']).collect(),
    }
}
