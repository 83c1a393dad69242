use placement::{Cursor, Explanation, Snapshot, Strategy, Verdict, decide};

use crate::house::{key, loaded, request};

fn explain(snapshot: &Snapshot, candidates_max: usize) -> Explanation {
    let decision = decide(snapshot, &request(), Strategy::default(), &Cursor::default());
    decision.explain(candidates_max)
}

fn pools(explanation: &Explanation) -> Vec<&str> {
    explanation.candidates.iter().map(|one| &*one.pool).collect()
}

/// Verifies: ORCH-112
#[test]
fn an_explanation_names_the_choice_and_every_candidate() {
    let snapshot = loaded(&[("a", 4), ("b", 1), ("c", 2)]);
    let explanation = explain(&snapshot, 10);
    assert_eq!(explanation.verdict, Verdict::Assign { replica: key("b") });
    assert_eq!(explanation.snapshot_version, snapshot.version());
    assert_eq!((pools(&explanation), explanation.omitted), (vec!["a", "b", "c"], 0));
    let failed: Vec<Vec<_>> =
        explanation.candidates.iter().map(|one| one.failed.names().collect()).collect();
    assert_eq!(failed, [vec!["NO_FREE_SLOT"], vec![], vec![]]);
}

#[test]
fn of_too_many_candidates_the_rejected_ones_are_left_out_first() {
    let snapshot = loaded(&[("a", 4), ("b", 1), ("c", 4), ("d", 0)]);
    let shown = |max| {
        let explanation = explain(&snapshot, max);
        assert_eq!(explanation.candidates.len() + explanation.omitted, 4);
        pools(&explanation).join("")
    };
    assert_eq!([shown(4), shown(3), shown(2), shown(1), shown(0)], ["abcd", "abd", "bd", "b", ""]);
}
