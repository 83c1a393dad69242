use serde_json::{Value, json};
use testkit::{Directives, Script, prompt_of_messages};

use crate::{choices::Choices, options::Engine};

/// A task that a client hands in, and how it goes about it.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Both its idempotency key and its `client_ref`.
    pub(crate) key: String,
    /// The body of the request.
    pub(crate) body: String,
    /// How it has to end; `None` where only an undisturbed run can tell.
    pub(crate) outcome: Option<Outcome>,
    /// Requests with this key that are made at once.
    pub(crate) posts: u64,
    /// The client is gone before it has an answer, and does not come back.
    pub(crate) is_abandoned: bool,
    /// Who follows its events beside the client.
    pub(crate) other_subscribers: u64,
}

/// What a task gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) text: String,
    pub(crate) finish_reason: String,
}

impl Job {
    /// The job of a run with this number.
    pub(crate) fn new(engine: Engine, seed: u64, number: u64) -> Self {
        let mut choices = Choices::of(seed, "job", number);
        let (mut body, outcome) = match engine {
            Engine::Scripted => scripted(&mut choices, number),
            Engine::Candle => (candle(&mut choices, number), None),
        };
        let key = format!("crash-{seed}-{number}");
        body["client_ref"] = json!(key);
        if choices.percent(40) {
            body["priority"] = json!("batch");
        }
        if choices.percent(50) {
            body["determinism"] = json!("strict");
        }
        Self {
            key,
            body: body.to_string(),
            outcome,
            posts: if choices.percent(20) { choices.within(2, 4) } else { 1 },
            is_abandoned: engine == Engine::Scripted && choices.percent(8),
            other_subscribers: choices.up_to(2),
        }
    }
}

/// A body for the scripted engine, whose answer is known.
fn scripted(choices: &mut Choices, number: u64) -> (Value, Option<Outcome>) {
    let filler = match choices.up_to(9) {
        0..5 => String::new(),
        5..8 => "some words to read before the answer begins ".repeat(number_of(choices, 1, 8)),
        _ => "\u{6f22}\u{5b57}".repeat(number_of(choices, 1, 6000)),
    };
    let alphabet = *choices.one_of(&["", "[[emoji]]", "[[cjk]]"]);
    let length = match choices.up_to(19) {
        0 => "[[tokens=0]]".to_owned(),
        1..3 => format!("[[tokens={}]]", choices.within(1, 4)),
        3..8 => format!("[[tokens={}]]", choices.within(80, 240)),
        _ => String::new(),
    };
    let text = format!("Job {number}. {filler}{alphabet}{length}");
    let mut body = json!({});
    let prompt = if choices.percent(50) {
        body["messages"] = json!([{ "role": "user", "content": text }]);
        prompt_of_messages([("user", text.as_str())])
    } else {
        body["prompt"] = json!(text);
        text
    };
    let script = Script::new(&prompt, &Directives::read(&prompt));
    let max_tokens = if choices.percent(15) { choices.within(1, 60) } else { 512 };
    let max_tokens = u32::try_from(max_tokens).expect("small");
    body["max_tokens"] = json!(max_tokens);
    let whole = script.text(max_tokens);
    let is_cut = max_tokens < script.tokens();
    let mut outcome = Outcome {
        finish_reason: if is_cut { "length" } else { "stop" }.to_owned(),
        text: whole.clone(),
    };
    let stops = stops(choices, &whole);
    if let Some(at) = stops.iter().filter_map(|stop| whole.find(stop)).min() {
        outcome = Outcome { text: whole[..at].to_owned(), finish_reason: "stop".to_owned() };
    }
    if !stops.is_empty() {
        body["sampling"] = json!({ "stop": stops });
    }
    (body, Some(outcome))
}

/// Stop strings: one that occurs, often over the seam of two tokens, or that only begins to.
fn stops(choices: &mut Choices, whole: &str) -> Vec<String> {
    let characters: Vec<char> = whole.chars().collect();
    if characters.len() < 16 || choices.percent(60) {
        return Vec::new();
    }
    let length = number_of(choices, 2, 7);
    // From the middle on, so that something is left to be interrupted.
    let start = number_of(choices, characters.len() / 2, characters.len() - length);
    let mut stop: String = characters[start..start + length].iter().collect();
    if choices.percent(40) {
        stop.push(NEVER);
    }
    vec![stop, NEVER.to_string()]
}

/// In no answer of the scripted engine.
const NEVER: char = '\u{2603}';

fn number_of(choices: &mut Choices, min: usize, max: usize) -> usize {
    usize::try_from(choices.within(min as u64, max as u64)).expect("a length")
}

/// A body for the model in the daemon.
fn candle(choices: &mut Choices, number: u64) -> Value {
    let question = *choices.one_of(&[
        "Name three colors and say why they are nice.",
        "Write a short story about a fox \u{1f98a} and the moon \u{1f319}.",
        "Answer with emoji only: \u{1f600} \u{1f680} \u{2764}\u{fe0f}",
        "\u{7528}\u{4e2d}\u{6587}\u{5199}\u{4e00}\u{53e5}\u{8bdd}\u{3002}",
        "Count from one to thirty in words.",
    ]);
    let filler = "Read this first. ".repeat(number_of(choices, 0, 6));
    let text = format!("{filler}{question} ({number})");
    let mut body = json!({ "model_ref": "starter", "max_tokens": choices.within(24, 64) });
    if choices.percent(75) {
        body["messages"] = json!([{ "role": "user", "content": text }]);
    } else {
        body["prompt"] = json!(text);
    }
    let mut sampling = json!({ "temperature": 0.0 });
    if choices.percent(60) {
        let seed = choices.up_to(1 << 40);
        sampling = json!({ "temperature": 0.9, "top_p": 0.95, "seed": seed });
    }
    if choices.percent(25) {
        sampling["stop"] = json!([*choices.one_of(&["\n", ". ", " and"])]);
    }
    body["sampling"] = sampling;
    body
}
