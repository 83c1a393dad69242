use orchestrator_core::TaskState::{
    self, Canceled, Evicted, Expired, Failed, Guarding, Preparing, Queued, Review, Running,
    Succeeded,
};

/// Verifies: ORCH-061
#[test]
fn only_the_listed_moves_are_allowed() {
    let moves: &[(TaskState, &[TaskState])] = &[
        (Queued, &[Preparing, Guarding, Running, Canceled, Expired, Failed, Evicted]),
        (Preparing, &[Queued, Running, Canceled, Expired, Failed]),
        (Guarding, &[Queued, Review, Succeeded, Canceled, Expired, Failed]),
        (Review, &[Guarding, Canceled, Expired, Failed]),
        (Running, &[Queued, Guarding, Succeeded, Canceled, Expired, Failed]),
        (Succeeded, &[]),
        (Failed, &[]),
        (Canceled, &[]),
        (Expired, &[]),
        (Evicted, &[]),
    ];
    assert_eq!(moves.len(), TaskState::ALL.len());
    for (from, allowed) in moves {
        for next in TaskState::ALL {
            assert_eq!(from.may_become(next), allowed.contains(&next), "{from:?} to {next:?}");
        }
        assert_eq!(from.is_terminal(), allowed.is_empty(), "{from:?}");
    }
}
