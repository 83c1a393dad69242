use critic_executor::{Policy, Stage};

use crate::support::{clean, plan};

/// Verifies: CRIT-031
#[test]
fn exports_do_not_depend_on_the_order_of_declaration_and_tell_edges_apart() {
    let critics = || {
        [
            clean("words", 1).stage(Stage::FastCritics),
            clean("tone", 1).after(["words"]),
            clean("judge", 1)
                .stage(Stage::DeepAnalysis)
                .requires(["tone", "words"])
                .policy(Policy::OnViolation)
                .evidence(["words"]),
        ]
    };
    let mut reversed = critics();
    reversed.reverse();
    let same = plan(reversed);
    let plan = plan(critics());
    assert_eq!((plan.to_dot(), plan.to_mermaid()), (same.to_dot(), same.to_mermaid()));
    let dot = plan.to_dot();
    let edges: Vec<_> = dot.lines().filter(|line| line.contains("->")).collect();
    assert_eq!(
        edges,
        [
            "  n0 -> n1 [style=solid, label=\"after\"];",
            "  n0 -> n2 [style=solid, label=\"requires\"];",
            "  n0 -> n2 [style=dashed, label=\"evidence\"];",
            "  n1 -> n2 [style=solid, label=\"requires\"];",
        ]
    );
    let mermaid = plan.to_mermaid();
    let edges: Vec<_> = mermaid.lines().filter(|line| line.contains("->")).collect();
    assert_eq!(
        edges,
        [
            "  n0 -->|after| n1",
            "  n0 -->|requires| n2",
            "  n0 -.->|evidence| n2",
            "  n1 -->|requires| n2",
        ]
    );
}

/// Verifies: CRIT-031
#[test]
fn names_cannot_break_out_of_their_quotes() {
    let name = "a\"]; end\\\n-->\0 <b> #35; &lt; größe 日本";
    let plan = plan([clean(name, 1)]);
    let dot = plan.to_dot();
    let label = dot.lines().find(|line| line.contains("n0")).unwrap();
    assert_eq!(
        label,
        "    n0 [label=\"a\\\"]; end\\\\U+000A-->U+0000 <b> #35; &amp;lt; größe 日本\"];"
    );
    let mermaid = plan.to_mermaid();
    let label = mermaid.lines().find(|line| line.contains("n0")).unwrap();
    assert_eq!(
        label,
        "    n0[\"a#34;#93;#59; end#92;U+000A--#62;U+0000 #60;b#62; #35;35#59; #38;lt#59; größe 日本\"]"
    );
}
