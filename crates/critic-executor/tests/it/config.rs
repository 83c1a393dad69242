use critic_executor::config::{ConfigErrors, CriticKinds, PlanFile};
use critic_executor::{
    Critic, CriticContext, CriticError, CriticOutput, ExecutionPlan, ExecutorSettings, Finding,
    OutputProblem, Policy, RunInput, RunTimeout, Stage, Verdict,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{dollars, ms};

const EXAMPLE: &str = include_str!("../../examples/plan.toml");

/// Finds words; what it looks for is part of the digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    words: Vec<String>,
}

#[async_trait::async_trait]
impl Critic for Words {
    async fn evaluate(&self, ctx: &CriticContext) -> Result<CriticOutput, CriticError> {
        let found = self.words.iter().any(|word| ctx.input().contains(word.as_str()));
        Ok(Finding::new(if found { 1.0 } else { 0.0 }).into())
    }

    fn settings(&self) -> Value {
        json!(self)
    }
}

fn kinds() -> CriticKinds {
    let short = |_: &CriticOutput, _: &RunInput| Vec::<OutputProblem>::new();
    CriticKinds::new()
        .kind("words", |words: Words| {
            if words.words.is_empty() { Err("name at least one word") } else { Ok(words) }
        })
        .policy("free tier", Policy::conditional("free tier", |_, _| true))
        .validator("short", short)
}

fn load(text: &str) -> Result<ExecutionPlan, ConfigErrors> {
    PlanFile::from_toml("plan.toml", text)?.plan(&kinds())
}

/// Everything that a file can change.
fn effect(plan: &ExecutionPlan, settings: &ExecutorSettings) -> String {
    let rest: Vec<_> = plan.specs().map(|spec| (spec.hint, spec.tags.clone())).collect();
    format!("{:?} {rest:?} {settings:?}", plan.digest())
}

fn effect_of(value: &Value) -> Result<String, ConfigErrors> {
    let file = PlanFile::from_json("plan.json", &value.to_string())?;
    Ok(effect(&file.plan(&kinds())?, &file.executor_settings()))
}

/// All ways to a value that has no parts of its own.
fn leaves(value: &Value, path: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| leaves(value, &format!("{path}/{key}"), into));
        }
        _ => into.push(path.to_owned()),
    }
}

fn without(value: &Value, pointer: &str) -> Value {
    let mut value = value.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let object = value.pointer_mut(parent).and_then(|parent| parent.as_object_mut());
    object.and_then(|object| object.remove(key)).expect("the key is there");
    value
}

/// Verifies: CRIT-230
#[test]
fn every_key_of_the_example_file_has_an_effect() {
    let file = PlanFile::from_toml("plan.toml", EXAMPLE).unwrap();
    let value: Value = serde_json::from_str(&file.to_json().unwrap()).unwrap();
    let whole = effect_of(&value).unwrap();
    let mut pointers = Vec::new();
    leaves(&value, "", &mut pointers);
    assert!(pointers.len() > 70, "the example has every key: {}", pointers.len());
    for pointer in pointers {
        let changed = effect_of(&without(&value, &pointer));
        assert_ne!(changed.ok().as_ref(), Some(&whole), "{pointer} does nothing");
    }
    let json_schema: Vec<&str> = EXAMPLE.lines().filter(|line| line.contains("schema")).collect();
    assert_eq!(json_schema, Vec::<&str>::new(), "it needs a feature, so its own test has it");
}

/// Verifies: CRIT-230
#[test]
fn a_file_says_what_the_builder_would_have_said() {
    let file = PlanFile::from_toml("plan.toml", EXAMPLE).unwrap();
    let plan = file.plan(&kinds()).unwrap();
    assert_eq!(plan.names().collect::<Vec<_>>(), ["words", "tone", "judge"]);
    assert_eq!(plan.run_timeout(), RunTimeout::After(ms(5000)));
    assert_eq!(plan.stage_timeout(Stage::DeepAnalysis), Some(ms(4000)));
    assert!(plan.has_barrier_after(Stage::FastCritics));
    assert!(!plan.has_barrier_after(Stage::CoreAnalysis));
    let judge = plan.spec("judge").unwrap();
    assert_eq!((judge.cost, judge.concurrency), (dollars(0.05), Some(3)));
    assert_eq!(judge.attempt_timeout, Some(ms(2000)));
    assert_eq!(plan.spec("words").unwrap().attempt_timeout, Some(ms(3000)), "the plan's own");
    assert_eq!(plan.spec("tone").unwrap().attempt_timeout, None);
    let settings = file.executor_settings();
    assert_eq!((settings.global_limit, settings.queue_limit), (Some(20), None));
    assert_eq!(settings.stage_limits[Stage::DeepAnalysis.index()], Some(2));
    let empty = PlanFile::from_toml("plan.toml", "").unwrap();
    assert_eq!(empty.executor_settings(), ExecutorSettings::default());
}

/// Verifies: CRIT-230
#[test]
fn a_file_survives_the_way_to_toml_and_json_and_back() {
    let file = PlanFile::from_toml("plan.toml", EXAMPLE).unwrap();
    let toml = PlanFile::from_toml("again.toml", &file.to_toml().unwrap()).unwrap();
    let json = PlanFile::from_json("again.json", &file.to_json().unwrap()).unwrap();
    assert_eq!((&toml, &json), (&file, &file));
    let digest = |file: &PlanFile| file.plan(&kinds()).unwrap().digest();
    assert_eq!((digest(&toml), digest(&json)), (digest(&file), digest(&file)));
}

fn lines(errors: &ConfigErrors) -> Vec<(usize, String)> {
    errors.0.iter().map(|error| (error.line, error.key.clone())).collect()
}

/// Verifies: CRIT-230
#[test]
fn all_unknown_keys_and_unusable_values_are_told_with_their_places() {
    let text = r#"[executor]
grace = "ten"
limit = 3

[plan]
run_timeout = 5
mode = "lax"

[critics.a]
kind = "words"
prioritty = 1
attempt_timeout = "10"
policy = "on_violations"
retry = { max_attempts = 0.5, basis = "1s" }
cost_dollars = -1.0
"#;
    let errors = PlanFile::from_toml("my plan.toml", text).unwrap_err();
    let expected = [
        (2, "executor.grace"),
        (3, "executor.limit"),
        (6, "plan.run_timeout"),
        (7, "plan.mode"),
        (11, "critics.a.prioritty"),
        (12, "critics.a.attempt_timeout"),
        (13, "critics.a.policy"),
        (14, "critics.a.retry.max_attempts"),
        (14, "critics.a.retry.basis"),
        (15, "critics.a.cost_dollars"),
    ];
    assert_eq!(lines(&errors), expected.map(|(line, key)| (line, key.to_owned())), "{errors}");
    let first = errors.to_string().lines().next().unwrap().to_owned();
    assert_eq!(
        first,
        "my plan.toml:2:1: `executor.grace`: `ten` is no time; write a number and ns, us, ms, s, m or h"
    );

    let json = r#"{
  "critics": {
    "a": {"kind": "words",
      "stage": "slow", "retries": 3}
  }
}"#;
    let errors = PlanFile::from_json("plan.json", json).unwrap_err();
    let keys = ["critics.a.stage", "critics.a.retries"].map(|key| (4, key.to_owned()));
    assert_eq!(lines(&errors), keys, "{errors}");
}

/// Verifies: CRIT-230
#[test]
fn every_wrong_item_of_an_array_is_told_at_its_own_place() {
    let text = r#"[critics.a]
kind = "words"
requires = [
  "b",
  5,
  "c",
  true,
  "d", ["e"],
]
tags = [1, "two", 3]
"#;
    let errors = PlanFile::from_toml("plan.toml", text).unwrap_err();
    let expected = [
        (5, "critics.a.requires[1]"),
        (7, "critics.a.requires[3]"),
        (8, "critics.a.requires[5]"),
        (10, "critics.a.tags[0]"),
        (10, "critics.a.tags[2]"),
    ];
    assert_eq!(lines(&errors), expected.map(|(line, key)| (line, key.to_owned())), "{errors}");
}

/// Verifies: CRIT-230
#[test]
fn what_a_plan_or_a_kind_finds_wrong_is_told_with_its_place() {
    let text = r#"[critics.a]
kind = "wrods"

[critics.b]
kind = "words"
settings = { words = [] }

[critics.c]
kind = "words"
settings = { words = ["x"], word = 1 }

[critics.d]
kind = "words"
settings = { words = ["x"] }
requires = ["a", "nobody"]
priority = 11
policy = { named = "rich" }
breaker = { consecutive = 1, ratio = 0.5 }

[critics.e]
stage = "validation"

[plan]
quorum = 9
"#;
    let errors = load(text).unwrap_err();
    let expected = [
        (2, "critics.a.kind"),
        (6, "critics.b.settings"),
        (10, "critics.c.settings.word"),
        (15, "critics.d.requires"),
        (16, "critics.d.priority"),
        (17, "critics.d.policy.named"),
        (18, "critics.d.breaker.consecutive"),
        (20, "critics.e.kind"),
        (24, "plan.quorum"),
    ];
    assert_eq!(lines(&errors), expected.map(|(line, key)| (line, key.to_owned())), "{errors}");
    assert!(errors.to_string().contains("unknown kind `wrods`, expected one of `words`"));
}

/// Verifies: CRIT-230
#[test]
fn broken_syntax_is_one_error_with_its_place() {
    let errors = PlanFile::from_toml("plan.toml", "[plan]\nquorum = = 3\n").unwrap_err();
    assert_eq!(errors.0[0].line, 2, "{errors}");
    let errors = PlanFile::from_json("plan.json", "{\n  \"plan\": {,}\n}").unwrap_err();
    assert_eq!((errors.0.len(), errors.0[0].line), (1, 2), "{errors}");
    let errors = PlanFile::from_toml("plan.toml", "[critics.a]\npriority = nan\n").unwrap_err();
    assert_eq!(errors.0[0].line, 2, "{errors}");
}

/// Verifies: CRIT-230
#[tokio::test(start_paused = true)]
async fn a_plan_from_a_file_runs() {
    let plan = load("[critics.a]\nkind = \"words\"\nsettings = { words = [\"bomb\"] }\n").unwrap();
    let executor = critic_executor::Executor::default();
    let report = executor.run(&plan, RunInput::new("a bomb")).await.unwrap();
    assert_eq!(report.decision().verdict, Verdict::Block);
}

#[cfg(all(feature = "cel", feature = "json-schema"))]
/// Verifies: CRIT-230, CRIT-068
#[test]
fn expressions_and_schemas_of_a_file_are_compiled_with_the_plan() {
    let with = |policy: &str, schema: &str| {
        let text = format!(
            "[critics.a]\nkind = \"words\"\nsettings = {{ words = [\"x\"] }}\npolicy = {policy}\n\
             schema = {schema}\n"
        );
        load(&text)
    };
    let plan = with("{ cel = \"risk == 'high'\" }", "{ type = \"object\" }").unwrap();
    assert_eq!(plan.spec("a").unwrap().policy.name(), "cel");
    assert_eq!(plan.spec("a").unwrap().schema, Some(json!({ "type": "object" })));
    let errors = with("{ cel = \"risk ==\" }", "{ type = 5 }").unwrap_err();
    let expected = [(4, "critics.a.policy"), (5, "critics.a.schema")];
    assert_eq!(lines(&errors), expected.map(|(line, key)| (line, key.to_owned())), "{errors}");
}
