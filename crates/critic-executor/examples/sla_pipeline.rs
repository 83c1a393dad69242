//! A pipeline under an SLA: each node is settled within 250 ms, whatever it does, and a time-out tells how far it
//! came and what there was by then.

use std::time::Duration;

use critic_executor::{
    Node, NodeContext, NodeError, OrchestratorError, PipelineExecutor, PipelineProblem,
    PipelineSettings, PipelineTimeout,
};

/// What goes through the pipeline: a request, and what is known of it so far.
#[derive(Debug, Clone)]
struct Request {
    text: String,
    language: Option<&'static str>,
    risk: Option<f64>,
}

async fn detect_language(mut request: Request, _ctx: NodeContext) -> Result<Request, NodeError> {
    request.language = Some(if request.text.is_ascii() { "en" } else { "other" });
    Ok(request)
}

async fn score_risk(mut request: Request, _ctx: NodeContext) -> Result<Request, NodeError> {
    // The service behind this node is slow where somebody shouts.
    let is_loud = request.text.chars().any(char::is_uppercase);
    tokio::time::sleep(Duration::from_millis(if is_loud { 900 } else { 40 })).await;
    request.risk = Some(0.1);
    Ok(request)
}

fn pipeline() -> Result<PipelineExecutor<Request>, PipelineProblem> {
    let nodes = [Node::new("language", detect_language), Node::new("risk", score_risk)];
    // 200 ms a node and 500 ms in all, so that a node that is out of time is reported within 250 ms.
    PipelineExecutor::keeping_values(PipelineSettings::pipeline_strict(), nodes)
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it finds")]
async fn main() -> Result<(), OrchestratorError> {
    let pipeline = pipeline()?;
    for (id, text) in [("request 1", "good morning"), ("request 2", "GOOD MORNING")] {
        let request = Request { text: text.to_owned(), language: None, risk: None };
        match pipeline.run(id, request).await {
            Ok(outcome) => {
                let Request { language, risk, .. } = outcome.value;
                println!(
                    "{id}: language {language:?}, risk {risk:?}, {} ms",
                    outcome.elapsed.as_millis()
                );
            }
            Err(OrchestratorError::Timeout(PipelineTimeout::Node { node, limit })) => {
                println!("{id}: `{node}` took longer than {} ms", limit.as_millis());
            }
            Err(OrchestratorError::Timeout(PipelineTimeout::Pipeline {
                completed,
                partial,
                ..
            })) => {
                let last: Option<&Request> = partial.last();
                println!("{id}: out of time after {completed:?}, with {last:?}");
            }
            Err(error) => println!("{id}: {error}"),
        }
    }
    Ok(())
}
