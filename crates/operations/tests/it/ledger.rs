use std::collections::BTreeMap;

use api_types::{ErrorBody, ErrorCode};
use operations::{
    Admission, Ledger, Limits, NewOperation, OperationId, OperationState, Outcome, Progress,
    Refused,
};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

fn id(number: u32) -> OperationId {
    OperationId(Uuid::from_u128(number.into()))
}

fn wish(target: &str, input: u8) -> NewOperation {
    NewOperation {
        kind: "model_fetch",
        target: target.to_owned(),
        input: json!(input),
        correlation_id: "c".to_owned(),
    }
}

fn ledger() -> Ledger {
    Ledger::new(Limits { running_max: 2, ended_max: 3, keep_ms: 100 }, [])
}

fn end(ledger: &mut Ledger, number: u32, outcome: Outcome, now_ms: u64) {
    let ended = ledger.ended(id(number), outcome, now_ms).unwrap();
    ledger.show(ended);
}

/// Verifies: ORCH-012
#[test]
fn one_operation_of_a_kind_and_target_runs_at_a_time() {
    let mut ledger = ledger();
    let Ok(Admission::New(first)) = ledger.admit(wish("a", 1), id(1), 0) else { panic!() };
    assert_eq!(ledger.admit(wish("a", 1), id(2), 0), Ok(Admission::Running(first)));
    assert_eq!(ledger.admit(wish("a", 2), id(2), 0), Err(Refused::Busy { running: id(1) }));
    assert!(matches!(ledger.admit(wish("b", 1), id(2), 0), Ok(Admission::New(_))));
    assert_eq!(ledger.admit(wish("c", 1), id(3), 0), Err(Refused::Full { limit: 2 }));
    end(&mut ledger, 1, Outcome::Canceled, 5);
    assert!(matches!(ledger.admit(wish("a", 2), id(3), 0), Ok(Admission::New(_))));
}

/// Verifies: ORCH-012
#[test]
fn an_end_is_for_good() {
    let mut ledger = ledger();
    ledger.admit(wish("a", 1), id(1), 0).unwrap();
    let late = ledger.ended(id(1), Outcome::Canceled, 6).unwrap();
    end(&mut ledger, 1, Outcome::Succeeded(json!({"done": true})), 5);
    assert_eq!(ledger.ended(id(1), Outcome::Canceled, 6), None);
    ledger.show(late);
    ledger.note(id(1), Progress { bytes_done: Some(1), ..Progress::default() });
    let record = ledger.get(id(1)).unwrap();
    assert_eq!(record.state, OperationState::Succeeded);
    assert_eq!((record.result.clone(), record.ended_at_ms), (Some(json!({"done": true})), Some(5)));
    assert_eq!(record.progress, Progress::default());
}

/// Verifies: ORCH-012
#[test]
fn ended_operations_are_kept_for_their_time_and_number_and_running_ones_always() {
    let mut ledger = ledger();
    for number in 1..=4 {
        ledger.admit(wish("a", 1), id(number), 0).unwrap();
        let error = ErrorBody::new(ErrorCode::Internal, "no", "c");
        end(&mut ledger, number, Outcome::Failed(Box::new(error)), u64::from(number) * 10);
    }
    ledger.admit(wish("a", 1), id(5), 0).unwrap();
    assert_eq!(ledger.forget_old(50), [id(1)], "one more than are kept");
    assert_eq!(ledger.forget_old(119), []);
    assert_eq!(ledger.forget_old(120), [id(2)]);
    assert_eq!(ledger.forget_old(10_000), [id(3), id(4)]);
    assert_eq!(ledger.iter().map(|record| record.id).collect::<Vec<_>>(), [id(5)]);
}

#[derive(Debug, Clone)]
enum Step {
    Admit { target: u8, input: u8 },
    End { number: u32, outcome: u8 },
    Forget,
    Withdraw { number: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, 0..2_u8).prop_map(|(target, input)| Step::Admit { target, input }),
        3 => (0..40_u32, 0..3_u8).prop_map(|(number, outcome)| Step::End { number, outcome }),
        1 => Just(Step::Forget),
        1 => (0..40_u32).prop_map(|number| Step::Withdraw { number }),
    ]
}

proptest! {
    /// Verifies: ORCH-012
    #[test]
    fn whatever_happens_the_bounds_hold_and_ends_stay(steps in prop::collection::vec(step(), 1..200)) {
        let mut ledger = ledger();
        let mut ends: BTreeMap<OperationId, OperationState> = BTreeMap::new();
        let mut next = 0;
        for (now_ms, step) in (0_u64..).step_by(7).zip(steps) {
            match step {
                Step::Admit { target, input } => {
                    let admitted = ledger.admit(wish(&target.to_string(), input), id(next), now_ms);
                    next += u32::from(matches!(admitted, Ok(Admission::New(_))));
                }
                Step::End { number, outcome } => {
                    let outcome = match outcome {
                        0 => Outcome::Canceled,
                        1 => Outcome::Succeeded(json!(1)),
                        _ => Outcome::Failed(Box::new(ErrorBody::new(ErrorCode::Internal, "", ""))),
                    };
                    if let Some(ended) = ledger.ended(id(number), outcome, now_ms) {
                        ends.insert(ended.id, ended.state);
                        ledger.show(ended);
                    }
                }
                Step::Forget => {
                    ledger.forget_old(now_ms);
                    let ended = ledger.iter().filter(|it| it.ended_at_ms.is_some()).count();
                    prop_assert!(ended <= 3);
                }
                Step::Withdraw { number } => {
                    let running = ledger.get(id(number)).is_some_and(|it| it.ended_at_ms.is_none());
                    if running {
                        ledger.withdraw(id(number));
                    }
                }
            }
            let running: Vec<_> = ledger.running().map(|it| it.target.clone()).collect();
            let targets: std::collections::BTreeSet<_> = running.iter().collect();
            prop_assert!(running.len() <= 2 && targets.len() == running.len());
            for record in ledger.iter() {
                let ended = ends.get(&record.id).copied();
                prop_assert_eq!(ended.unwrap_or(OperationState::Running), record.state);
                prop_assert_eq!(record.ended_at_ms.is_some(), ended.is_some());
                prop_assert_eq!(record.result.is_some(), ended == Some(OperationState::Succeeded));
                prop_assert_eq!(record.error.is_some(), ended == Some(OperationState::Failed));
            }
        }
    }
}
