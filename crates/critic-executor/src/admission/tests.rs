//! The admission against a model that keeps plain lists and looks at everything each time.

use std::time::Duration;

use proptest::prelude::*;

use crate::context::CriticContext;
use crate::finding::CriticOutput;
use crate::money::MicroDollars;
use crate::settings::{BreakerPolicy, RateLimit};
use crate::spec::CriticSpec;
use crate::stage::Stage;

mod breaker;
mod model;
mod pair;

use pair::Pair;

const MS: u64 = 1_000_000;
const AGING_NS: u64 = 20 * MS;
const STAGES: [Stage; 2] = [Stage::FastCritics, Stage::DeepAnalysis];
const RUNS: u32 = 4;
const KINDS: u32 = 4;
const PRICE: MicroDollars = MicroDollars(10);

#[derive(Debug, Clone)]
enum Op {
    Offer { run: u32, critic: u32, priority: u8, waited_ms: u64, patience_ms: u64, costly: bool },
    Settle { which: usize, signal: u8, extra: u64 },
    Release { which: usize },
    TakeBack { which: usize },
    Withdraw { which: usize },
    CloseRun { run: u32 },
    Pass { millis: u64 },
    LimitAll { limit: Option<usize> },
    LimitStage { stage: usize, limit: Option<usize> },
    LimitCritic { kind: u32, limit: Option<usize> },
    Rebind { kind: u32, limit: Option<usize>, interval_ms: Option<u64>, has_breaker: bool },
    Force { forced: Option<bool> },
}

fn op() -> impl Strategy<Value = Op> {
    let limit = || prop::option::of(0_usize..4);
    prop_oneof![
        12 => (0..RUNS, 0..2 * KINDS, 1_u8..=10, 0_u64..90, 0_u64..120, any::<bool>()).prop_map(
            |(run, critic, priority, waited_ms, patience_ms, costly)| Op::Offer {
                run, critic, priority, waited_ms, patience_ms, costly,
            }
        ),
        4 => (any::<usize>(), 0_u8..3, 0_u64..12).prop_map(
            |(which, signal, extra)| Op::Settle { which, signal, extra }
        ),
        6 => any::<usize>().prop_map(|which| Op::Release { which }),
        2 => any::<usize>().prop_map(|which| Op::TakeBack { which }),
        2 => any::<usize>().prop_map(|which| Op::Withdraw { which }),
        1 => (0..RUNS).prop_map(|run| Op::CloseRun { run }),
        6 => (0_u64..60).prop_map(|millis| Op::Pass { millis }),
        1 => limit().prop_map(|limit| Op::LimitAll { limit }),
        1 => (0_usize..2, limit()).prop_map(|(stage, limit)| Op::LimitStage { stage, limit }),
        1 => (0..KINDS, limit()).prop_map(|(kind, limit)| Op::LimitCritic { kind, limit }),
        2 => (0..KINDS, limit(), prop::option::of(1_u64..50), any::<bool>()).prop_map(
            |(kind, limit, interval_ms, has_breaker)| Op::Rebind {
                kind, limit, interval_ms, has_breaker,
            }
        ),
        1 => prop::option::of(any::<bool>()).prop_map(|forced| Op::Force { forced }),
    ]
}

fn breaker_policy() -> BreakerPolicy {
    BreakerPolicy {
        open: Duration::from_millis(40),
        probes: 2,
        successes: 2,
        ..BreakerPolicy::consecutive(2)
    }
}

fn spec(
    kind: u32,
    limit: Option<usize>,
    interval_ms: Option<u64>,
    has_breaker: bool,
) -> CriticSpec {
    let critic = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
    let mut spec = CriticSpec::new(format!("kind-{kind}"), critic);
    spec.concurrency = limit;
    spec.rate_limit =
        interval_ms.map(|millis| RateLimit::per_second(1000.0 / millis as f64).burst(2));
    spec.breaker = has_breaker.then(breaker_policy);
    spec
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Verifies: CRIT-302, CRIT-085, CRIT-087, CRIT-101, CRIT-102, CRIT-107, CRIT-110, CRIT-202
    #[test]
    fn admission_does_what_a_plain_list_would(ops in prop::collection::vec(op(), 1..150)) {
        let mut pair = Pair::new();
        for op in ops {
            pair.apply(op);
        }
        pair.end();
    }
}

/// Verifies: CRIT-302, CRIT-143
#[test]
fn what_an_old_breaker_let_through_counts_for_nothing_in_a_new_one() {
    let mut pair = Pair::new();
    let offer = |run| Op::Offer {
        run,
        critic: 3,
        priority: 5,
        waited_ms: 0,
        patience_ms: 100,
        costly: false,
    };
    let rebind = |has_breaker| Op::Rebind { kind: 3, limit: None, interval_ms: None, has_breaker };
    // Two failures in a row open a breaker of this kind, and both come from before it was there.
    let failed = || Op::Settle { which: 0, signal: 1, extra: 0 };
    let ops = [offer(0), offer(1), rebind(false), rebind(true), failed(), failed(), offer(2)];
    ops.into_iter().for_each(|op| pair.apply(op));
    pair.end();
}
