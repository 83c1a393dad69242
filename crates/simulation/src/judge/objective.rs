use std::collections::VecDeque;

use orchestrator_core::{Class, Offer, QueueLimit, WaitObjective};

use super::{Judge, Known, Place, order::Lane};
use crate::{
    names::task_number,
    violation::{Violation, ensure},
};

/// Of so many starts one may come late.
const ONE_IN: usize = 20;

/// Share of the objective that has to be kept to again before it counts as met, in per cent.
const RECOVERED_PERCENT: u64 = 80;

/// What the judge knows of the waits of one model's interactive tasks. The scheduler counts in tenths of the
/// window; here each start is kept, and what lies on the edge of the last tenth is not judged.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Starts within the window: when, and after how long a wait.
    starts: VecDeque<(u64, u64)>,
    /// When a wait was last seen that could begin a breach of the objective, or keep one up.
    strained_ms: Option<u64>,
}

impl Waits {
    fn started(&mut self, objective: WaitObjective, waited_ms: u64, now_ms: u64) {
        self.starts.push_back((now_ms, waited_ms));
        let near_ms = objective.wait_p95_ms * RECOVERED_PERCENT / 100;
        if waited_ms > near_ms {
            self.strained_ms = Some(now_ms);
        }
        self.forget(objective, now_ms);
    }

    fn forget(&mut self, objective: WaitObjective, now_ms: u64) {
        let is_old = |(at_ms, _): &mut (u64, u64)| now_ms - *at_ms > objective.window_ms;
        while self.starts.pop_front_if(is_old).is_some() {}
    }

    /// Whether too many starts were late, however the tenths of the window lie.
    fn are_late(&mut self, objective: WaitObjective, now_ms: u64) -> bool {
        self.forget(objective, now_ms);
        let certain_ms = objective.window_ms / 10 * 9;
        let late = self.starts.iter().filter(|(at_ms, waited_ms)| {
            *waited_ms > objective.wait_p95_ms && now_ms - at_ms < certain_ms
        });
        late.count() * ONE_IN > self.starts.len()
    }
}

impl Judge {
    /// A queued task starts; its wait counts if it is its first one.
    pub(super) fn note_start(&mut self, known: &Known) {
        if let Some(objective) = self.limits.objective
            && known.offer.class == Class::Interactive
            && known.place == Place::Fresh
        {
            let waited_ms = self.now_ms.saturating_sub(known.since_ms);
            let waits = self.waits.entry(known.model).or_default();
            waits.started(objective, waited_ms, self.now_ms);
        }
    }

    /// While interactive tasks wait for too long, batch is refused, and it is refused for nothing else
    /// (ORCH-052).
    pub(super) fn check_objective(
        &mut self,
        offer: &Offer,
        answer: Option<QueueLimit>,
    ) -> Result<(), Violation> {
        let task = task_number(offer.task);
        let is_shed = answer == Some(QueueLimit::Objective);
        let Some(objective) = self.limits.objective.filter(|_| offer.class == Class::Batch) else {
            return ensure(!is_shed, 9, || {
                format!("task {task} makes way, but no objective asks that of it")
            });
        };
        let model = self.names.model_number(&offer.model);
        let now_ms = self.now_ms;
        // Which client has the next turn cannot be told from outside: one of these has it.
        let firsts = self.lanes.get(&(model, Class::Interactive)).into_iter();
        let waited_ms: Vec<u64> = firsts
            .flat_map(Lane::firsts)
            .map(|first| now_ms.saturating_sub(self.tasks[&first].since_ms))
            .collect();
        let is_stuck = |waited_ms: &u64| *waited_ms > objective.wait_p95_ms;
        let may_be_stuck = waited_ms.iter().any(is_stuck);
        let are_stuck = !waited_ms.is_empty() && waited_ms.iter().all(is_stuck);
        let waits = self.waits.entry(model).or_default();
        if may_be_stuck {
            waits.strained_ms = Some(now_ms);
        }
        let must_go = are_stuck || waits.are_late(objective, now_ms);
        // A breach looks back over one window and lasts for another one.
        let may_go =
            waits.strained_ms.is_some_and(|at_ms| now_ms - at_ms <= 2 * objective.window_ms);
        ensure(may_go || !is_shed, 9, || {
            format!("batch task {task} makes way, but nobody has waited for long")
        })?;
        ensure(is_shed || !must_go, 9, || {
            format!("batch task {task} is not sent away while interactive ones wait for too long")
        })
    }
}
