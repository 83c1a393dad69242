//! The graph of a plan as documents that other programs draw.

use std::fmt::Write as _;

use super::ExecutionPlan;
use crate::spec::DependencyKind;
use crate::stage::Stage;

/// How a critic waits for another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Requires,
    After,
    Evidence,
}

impl ExecutionPlan {
    /// The plan's graph for Graphviz. Dependencies are solid, evidence is dashed; each points at who waits for it.
    /// Equal plans give equal documents.
    ///
    /// ```
    /// use critic_executor::{CriticContext, CriticOutput, CriticSpec, ExecutionPlan};
    ///
    /// let fine = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
    /// let plan = ExecutionPlan::build([
    ///     CriticSpec::new("a", fine),
    ///     CriticSpec::new("b", fine).requires(["a"]),
    /// ])?;
    /// assert!(plan.to_dot().contains("n0 -> n1 [style=solid, label=\"requires\"];"));
    /// # Ok::<(), critic_executor::PlanErrors>(())
    /// ```
    #[must_use]
    pub fn to_dot(&self) -> String {
        let mut dot = String::from("digraph plan {\n  rankdir=LR;\n");
        self.each_stage(|stage, critics| {
            put(&mut dot, format_args!("  subgraph cluster_{stage} {{\n    label=\"{stage}\";\n"));
            for (index, name) in critics {
                let label = dot_escaped(name);
                put(&mut dot, format_args!("    n{index} [label=\"{label}\"];\n"));
            }
            dot.push_str("  }\n");
        });
        self.each_edge(|from, to, edge| {
            let look = match edge {
                Edge::Requires => "style=solid, label=\"requires\"",
                Edge::After => "style=solid, label=\"after\"",
                Edge::Evidence => "style=dashed, label=\"evidence\"",
            };
            put(&mut dot, format_args!("  n{from} -> n{to} [{look}];\n"));
        });
        dot.push_str("}\n");
        dot
    }

    /// The plan's graph for Mermaid. Dependencies are solid, evidence is dotted; each points at who waits for it.
    /// Equal plans give equal documents.
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        let mut mermaid = String::from("flowchart LR\n");
        self.each_stage(|stage, critics| {
            put(&mut mermaid, format_args!("  subgraph {stage}\n"));
            for (index, name) in critics {
                let label = mermaid_escaped(name);
                put(&mut mermaid, format_args!("    n{index}[\"{label}\"]\n"));
            }
            mermaid.push_str("  end\n");
        });
        self.each_edge(|from, to, edge| {
            let arrow = match edge {
                Edge::Requires => "-->|requires|",
                Edge::After => "-->|after|",
                Edge::Evidence => "-.->|evidence|",
            };
            put(&mut mermaid, format_args!("  n{from} {arrow} n{to}\n"));
        });
        mermaid
    }

    /// Stages that have critics, in order.
    fn each_stage(&self, mut visit: impl FnMut(Stage, &[(usize, &str)])) {
        let critics: Vec<(usize, &str)> = self.names().enumerate().collect();
        for stage in Stage::ALL {
            let places = &self.inner.stages[stage.index()];
            let of_stage = &critics[places.start as usize..places.end as usize];
            if !of_stage.is_empty() {
                visit(stage, of_stage);
            }
        }
    }

    /// From whom, to whom and how, in plan order of who waits, whatever the order of declaration.
    fn each_edge(&self, mut visit: impl FnMut(u32, u32, Edge)) {
        for critic in 0..self.inner.len() {
            let declared = self.inner.node(critic).depends_on.iter();
            let mut edges: Vec<(u32, Edge)> = declared
                .map(|(other, kind)| match kind {
                    DependencyKind::Requires => (*other, Edge::Requires),
                    DependencyKind::After => (*other, Edge::After),
                })
                .chain(self.inner.evidence_of(critic).map(|other| (other, Edge::Evidence)))
                .collect();
            edges.sort_by_key(|(other, edge)| (*other, *edge as u8));
            edges.dedup();
            edges.into_iter().for_each(|(other, edge)| visit(other, critic, edge));
        }
    }
}

fn put(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("writing to a string never fails");
}

/// A name within double quotes. Control characters become visible, because some end the document.
fn dot_escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            // Graphviz reads entities in labels.
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => put(&mut escaped, format_args!("U+{:04X}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A name within double quotes, where everything but letters, digits and plain separators is an entity code.
fn mermaid_escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            c if c.is_control() => put(&mut escaped, format_args!("U+{:04X}", u32::from(c))),
            c if c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.') => escaped.push(c),
            c => put(&mut escaped, format_args!("#{};", u32::from(c))),
        }
    }
    escaped
}
