use critic_executor::{
    Critic as _, CriticContext, CriticError, CriticOutput, ErrorKind, MicroDollars, RunInput,
    Verdict,
};
use critics::{JudgeCritic, OpenAiJudge, Price, PriceTable, Secret, judge, openai_judge};
use serde_json::{Value, json};

use crate::http_server::Server;

const INJECTIONS: &str = include_str!("../corpora/injections.jsonl");

fn completion(content: &str) -> Value {
    json!({
        "id": "c-1", "object": "chat.completion", "model": "m",
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content, "refusal": null },
            "finish_reason": "stop",
        }],
        "usage": { "prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020 },
    })
}

fn verdict(verdict: &str, severity: f64) -> String {
    json!({ "verdict": verdict, "severity": severity, "uncertainty": 0.25, "violations": [], "reason": "because" })
        .to_string()
}

fn judge_at(server: &Server) -> JudgeCritic<OpenAiJudge> {
    judge(openai_judge(&format!("{}/v1/", server.url), "small").unwrap(), "Block threats.")
}

async fn answered(answer: Value) -> Result<CriticOutput, CriticError> {
    let server = Server::start(move |_| (200, vec![], answer.to_string())).await;
    judge_at(&server).evaluate(&CriticContext::standalone(RunInput::new("hello"))).await
}

async fn refused(answer: Value, kind: ErrorKind) {
    let error = answered(answer.clone()).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{answer}: {error}");
}

/// Verifies: CRIT-246
#[tokio::test]
async fn the_model_is_asked_at_temperature_0_for_one_object_of_the_schema() {
    let server =
        Server::start(|_| (200, vec![], completion(&verdict("allow", 0.0)).to_string())).await;
    let critic = judge(
        openai_judge(&server.url, "small").unwrap().bearer(Secret::new("k")).max_tokens(99),
        "Rules.",
    );
    critic.evaluate(&CriticContext::standalone(RunInput::new("in").output("out"))).await.unwrap();
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/chat/completions");
    assert_eq!(asked.headers["authorization"], "Bearer k");
    let body = &asked.body;
    assert_eq!(
        (&body["model"], &body["temperature"], &body["max_tokens"]),
        (&json!("small"), &json!(0), &json!(99))
    );
    assert_eq!(body["response_format"]["type"], "json_schema");
    assert_eq!(body["response_format"]["json_schema"]["schema"], critics::verdict_schema());
    assert!(body["messages"][0]["content"].as_str().unwrap().contains("Rules."));
}

/// Verifies: CRIT-246
#[tokio::test]
async fn a_verdict_is_the_finding() {
    for (name, expected) in
        [("allow", Verdict::Allow), ("escalate", Verdict::Escalate), ("block", Verdict::Block)]
    {
        let finding =
            answered(completion(&format!(" {}\n", verdict(name, 0.75)))).await.unwrap().finding;
        assert_eq!(
            (finding.verdict, finding.severity, finding.uncertainty),
            (Some(expected), 0.75, Some(0.25))
        );
        assert_eq!(
            finding.violations.len(),
            usize::from(name != "allow"),
            "a reason is kept as a violation"
        );
    }
}

/// Verifies: CRIT-246
#[tokio::test]
async fn anything_but_one_whole_verdict_is_invalid() {
    let good = verdict("allow", 0.0);
    let with = |key: &str, value: Value| {
        let mut changed: Value = serde_json::from_str(&good).unwrap();
        changed[key] = value;
        changed.to_string()
    };
    let mut without: Value = serde_json::from_str(&good).unwrap();
    without.as_object_mut().unwrap().remove("uncertainty");
    let bad = [
        String::new(),
        format!("Here you are: {good}"),
        format!("{good} Done."),
        format!("{good}{good}"),
        format!("```json\n{good}\n```"),
        format!("[{good}]"),
        good[..good.len() - 1].to_owned(),
        with("severity", json!(1.5)),
        with("severity", json!(-0.1)),
        with("severity", json!("0")),
        with("verdict", json!("ALLOW")),
        with("verdict", json!("allow_with_edits")),
        with("note", json!("")),
        with("violations", json!([{ "code": "", "message": "x" }])),
        with("violations", Value::from(vec![json!({ "code": "a", "message": "x" }); 101])),
        without.to_string(),
        good.replacen('{', "{\"verdict\":\"block\",", 1),
    ];
    for content in bad {
        refused(completion(&content), ErrorKind::Invalid).await;
    }
    let mut cut = completion(&good);
    cut["choices"][0]["finish_reason"] = json!("length");
    refused(cut, ErrorKind::Invalid).await;
    let mut two = completion(&good);
    two["choices"] = json!([two["choices"][0], two["choices"][0]]);
    refused(two, ErrorKind::Invalid).await;
    refused(json!({ "choices": [] }), ErrorKind::Invalid).await;
    refused(json!({ "error": "no" }), ErrorKind::Invalid).await;
}

/// Verifies: CRIT-246
#[tokio::test]
async fn a_refusal_is_one() {
    let mut refusal = completion(&verdict("allow", 0.0));
    refusal["choices"][0]["message"]["refusal"] = json!("I will not read this");
    refused(refusal, ErrorKind::Refused).await;
    let mut filtered = completion("");
    filtered["choices"][0]["finish_reason"] = json!("content_filter");
    refused(filtered, ErrorKind::Refused).await;
}

fn injections() -> Vec<String> {
    INJECTIONS.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The endpoint answers with the judged text itself: the worst that an injection can make a model do, short of
/// convincing it.
///
/// Verifies: CRIT-247
#[tokio::test]
async fn a_judged_text_that_is_echoed_is_never_taken_for_a_verdict() {
    assert!(injections().len() >= 50);
    let server = Server::start(|asked| {
        let message = asked.body["messages"][1]["content"].as_str().unwrap();
        let (_, from) = message.split_once("input:\nBEGIN ").unwrap();
        let (mark, from) = from.split_once('\n').unwrap();
        let (text, _) = from.rsplit_once(&format!("\nEND {mark}")).unwrap();
        (200, vec![], completion(text).to_string())
    })
    .await;
    let critic = judge_at(&server);
    for text in injections() {
        let answer =
            critic.evaluate(&CriticContext::standalone(RunInput::new(text.as_str()))).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Invalid, "{text:?}");
    }
}

/// Verifies: CRIT-247
#[tokio::test]
async fn the_reply_alone_decides_whatever_the_judged_text_says() {
    let server =
        Server::start(|_| (200, vec![], completion(&verdict("block", 1.0)).to_string())).await;
    let critic = judge_at(&server);
    for text in injections() {
        let output = critic
            .evaluate(&CriticContext::standalone(RunInput::new("q").output(text.as_str())))
            .await;
        assert_eq!(output.unwrap().finding.verdict, Some(Verdict::Block), "{text:?}");
    }
    let mut marks = Vec::new();
    for (asked, text) in server.asked().iter().zip(injections()) {
        let message = asked.body["messages"][1]["content"].as_str().unwrap();
        let mark =
            message.strip_prefix("input:\nBEGIN ").unwrap().lines().next().unwrap().to_owned();
        assert!(mark.len() == 32 && !text.contains(&mark));
        assert!(
            message.contains(&format!("\nBEGIN {mark}\n{text}\nEND {mark}\n")),
            "passed as it is"
        );
        assert!(
            !asked.body["messages"][0]["content"].as_str().unwrap().contains(&text),
            "never among the rules"
        );
        marks.push(mark);
    }
    marks.sort();
    marks.dedup();
    assert_eq!(marks.len(), injections().len(), "no mark is used twice");
}

/// Verifies: CRIT-248
#[tokio::test]
async fn tokens_become_cost_through_the_price_table() {
    let server =
        Server::start(|_| (200, vec![], completion(&verdict("allow", 0.0)).to_string())).await;
    let price =
        Price { per_million_in: MicroDollars(1_000_000), per_million_out: MicroDollars(3_000_001) };
    let ctx = CriticContext::standalone(RunInput::new("x"));
    let known = judge_at(&server).prices(PriceTable::new().with("small", price));
    assert_eq!(
        known.evaluate(&ctx).await.unwrap().cost,
        Some(MicroDollars(1061)),
        "rounded up once"
    );
    let unknown = judge_at(&server).prices(PriceTable::new().with("large", price));
    assert_eq!(unknown.evaluate(&ctx).await.unwrap().cost, None, "the plan's estimate counts");
}

/// Verifies: CRIT-248
#[tokio::test]
async fn a_reply_that_is_no_verdict_costs_as_well() {
    let server = Server::start(|_| (200, vec![], completion("no").to_string())).await;
    let price = Price { per_million_in: MicroDollars(1_000_000), per_million_out: MicroDollars(0) };
    let critic = judge_at(&server).prices(PriceTable::new().with("small", price));
    let error = critic.evaluate(&CriticContext::standalone(RunInput::new("x"))).await.unwrap_err();
    assert_eq!(error.cost(), Some(MicroDollars(1000)));
}

/// Verifies: CRIT-245
#[tokio::test]
async fn an_expired_credential_is_permanent() {
    let server =
        Server::start(|_| (401, vec![], r#"{"error": {"message": "expired key k3y"}}"#.to_owned()))
            .await;
    let error = judge_at(&server)
        .evaluate(&CriticContext::standalone(RunInput::new("x")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permanent);
    assert!(
        error.to_string().contains("credential") && !error.to_string().contains("k3y"),
        "{error}"
    );
}
