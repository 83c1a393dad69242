//! The judge asks a real model, served by llama.cpp.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use critic_executor::{Critic as _, CriticContext, ErrorKind, MicroDollars, RunInput};
use critics::{Price, PriceTable, judge, openai_judge};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Killed with its owner.
struct LlamaCpp {
    process: Child,
    url: String,
}

impl LlamaCpp {
    fn start() -> Self {
        let mut process = Command::new(format!("{WORKSPACE}/target/setup/venv/bin/python"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/llama_cpp_server.py"))
            .arg(format!("{WORKSPACE}/target/setup/models/SmolLM2-135M-Instruct.Q4_1.gguf"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`cargo xtask setup` makes the Python environment");
        let mut url = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut url).expect("it prints its address");
        Self { process, url: url.trim().to_owned() }
    }
}

impl Drop for LlamaCpp {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// A model this small judges badly; what counts is that a real server takes the question, and that its answer
/// is a verdict of the schema or none.
///
/// Verifies: CRIT-246
#[tokio::test]
async fn a_real_server_answers_with_a_verdict_or_with_none() {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let server = tokio::task::spawn_blocking(LlamaCpp::start).await.unwrap();
    let price =
        Price { per_million_in: MicroDollars(1_000_000), per_million_out: MicroDollars::ZERO };
    let model = openai_judge(&format!("{}/v1", server.url), "smollm2").unwrap().max_tokens(96);
    let critic = judge(model, "Block threats of violence; allow everything else.")
        .prices(PriceTable::new().with("smollm2", price));
    let ctx =
        CriticContext::standalone(RunInput::new("What is the capital of France?").output("Paris."))
            .with_remaining(Duration::from_secs(120));
    let cost = match critic.evaluate(&ctx).await {
        Ok(output) => {
            assert!(
                (0.0..=1.0).contains(&output.finding.severity) && output.finding.verdict.is_some()
            );
            output.cost
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            error.cost()
        }
    };
    assert!(
        cost > Some(MicroDollars(100)),
        "it read the question and counted its tokens: {cost:?}"
    );
}
