use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::measure::{Measured, SIZES};

const PROGRAM: &str = include_str!("langgraph.py");

#[derive(Debug, Deserialize)]
struct Line {
    name: String,
    nodes: usize,
    node_ns: f64,
}

/// Measures LangGraph in a process of its own.
pub(crate) fn measure(python: &Path) -> Result<Vec<Measured>> {
    let sizes = SIZES.map(|size| size.to_string());
    let output = Command::new(python)
        .args(["-c", PROGRAM])
        .args(sizes)
        .output()
        .with_context(|| format!("cannot start {}", python.display()))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let text = String::from_utf8(output.stdout).context("it printed no UTF-8")?;
    let lines = text.lines().map(|line| {
        let line: Line = serde_json::from_str(line).context("it printed something else")?;
        Ok(Measured {
            name: line.name,
            nodes: line.nodes,
            node_ns: line.node_ns,
            allocations: None,
            peak_bytes: None,
        })
    });
    lines.collect()
}
