use std::fmt::Write;

use crate::contestant::Contestant;
use crate::measure::{Measured, SIZES};

/// One row per contestant, three columns per size: time per node, its ratio to the bare `JoinSet`, allocations.
pub(crate) fn render(results: &[Measured]) -> String {
    let mut text = String::from("| nodes |");
    for size in SIZES {
        let _ = write!(text, " {size}: µs per node | × JoinSet | allocations |");
    }
    text.push_str("\n| --- |");
    text.push_str(&" ---: | ---: | ---: |".repeat(SIZES.len()));
    text.push('\n');
    let mut names: Vec<&str> = Vec::new();
    for result in results.iter().filter(|result| SIZES.contains(&result.nodes)) {
        if !names.contains(&&*result.name) {
            names.push(&result.name);
        }
    }
    for name in names {
        let _ = write!(text, "| {name} |");
        for size in SIZES {
            let Some(result) = find(results, name, size) else {
                text.push_str(" | | |");
                continue;
            };
            let base = find(results, Contestant::JoinSet.name(), size);
            let ratio =
                base.map_or(String::new(), |base| format!("{:.2}", result.node_ns / base.node_ns));
            let allocations =
                result.allocations.map_or(String::new(), |count| format!("{count:.1}"));
            let _ = write!(text, " {:.2} | {ratio} | {allocations} |", result.node_ns / 1000.0);
        }
        text.push('\n');
    }
    text
}

/// What a contestant needed for graphs of a size.
pub(crate) fn find<'a>(results: &'a [Measured], name: &str, nodes: usize) -> Option<&'a Measured> {
    results.iter().find(|result| result.name == name && result.nodes == nodes)
}
