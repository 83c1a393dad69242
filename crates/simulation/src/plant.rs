use std::sync::Arc;

use orchestrator_core::{Action, Event, Identity, Limits, Scheduler};
use placement::Wish;

/// A fault put between the simulated daemon and the scheduler or the store, to see that it is found. None of
/// them is in any code that ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plant {
    /// Some releases of slots never reach the scheduler.
    LostWakeup,
    /// Some dispatches are carried out twice.
    DoubleDispatch,
    /// All clients count as one, so that whoever sends most gets most.
    UnfairRotation,
    /// Batch gets its turn far more seldom than configured.
    UnfairShare,
    /// The store answers before what it wrote is on the disk.
    SkippedFsync,
    /// Batch makes way for nobody, however long interactive tasks wait.
    DeafToWaits,
    /// Some ends of tasks by their deadline are never carried out.
    ForgottenDeadline,
    /// The scheduler goes on with the bounds that it began with.
    StaleLimits,
    /// A request that is repeated while the first one is being admitted is admitted as well.
    UngatedKeys,
    /// Where some tasks want to go is forgotten.
    LostWish,
}

impl Plant {
    /// All of them, with the names that the command line knows.
    pub const ALL: [(&'static str, Self); 10] = [
        ("lost-wakeup", Self::LostWakeup),
        ("double-dispatch", Self::DoubleDispatch),
        ("unfair-rotation", Self::UnfairRotation),
        ("unfair-share", Self::UnfairShare),
        ("skipped-fsync", Self::SkippedFsync),
        ("deaf-to-waits", Self::DeafToWaits),
        ("forgotten-deadline", Self::ForgottenDeadline),
        ("stale-limits", Self::StaleLimits),
        ("ungated-keys", Self::UngatedKeys),
        ("lost-wish", Self::LostWish),
    ];
}

/// How many times the occasion is let pass before a plant acts.
const EVERY: u64 = 20;

/// The scheduler as the simulated daemon drives it, with what was planted.
#[derive(Debug, Clone)]
pub(crate) struct PlantedScheduler {
    pub(crate) real: Scheduler,
    plant: Option<Plant>,
    occasions: u64,
}

impl PlantedScheduler {
    pub(crate) fn new(limits: Limits, plant: Option<Plant>) -> Self {
        Self { real: Scheduler::new(planted(limits, plant)), plant, occasions: 0 }
    }

    /// As [`Scheduler::set_limits`].
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        if self.plant != Some(Plant::StaleLimits) {
            self.real.set_limits(planted(limits, self.plant));
        }
    }

    /// As [`Scheduler::step`].
    pub(crate) fn step(&mut self, mut event: Event, now_ms: u64) -> Vec<Action> {
        match (&mut event, self.plant) {
            (Event::LeaseReleased { .. }, Some(Plant::LostWakeup)) if self.is_occasion() => {
                event = Event::Tick;
            }
            (Event::Offered(offer), Some(Plant::LostWish))
                if offer.request.wish != Wish::default() && self.is_occasion() =>
            {
                Arc::make_mut(&mut offer.request).wish = Wish::default();
            }
            (Event::Offered(offer), Some(Plant::UnfairRotation)) => {
                offer.identity = Identity("everybody".into());
            }
            _ => {}
        }
        let mut actions = self.real.step(event, now_ms);
        let is_target = |action: &Action| match self.plant {
            Some(Plant::DoubleDispatch) => matches!(action, Action::Dispatch { .. }),
            Some(Plant::ForgottenDeadline) => {
                matches!(action, Action::Ended { by: orchestrator_core::EndedBy::Deadline, .. })
            }
            _ => false,
        };
        if let Some(index) = actions.iter().position(is_target)
            && self.is_occasion()
        {
            match self.plant {
                Some(Plant::DoubleDispatch) => actions.insert(index, actions[index].clone()),
                _ => drop(actions.remove(index)),
            }
        }
        actions
    }

    fn is_occasion(&mut self) -> bool {
        self.occasions += 1;
        self.occasions.is_multiple_of(EVERY)
    }
}

/// The limits as a planted fault lets the scheduler have them.
fn planted(mut limits: Limits, plant: Option<Plant>) -> Limits {
    if plant == Some(Plant::UnfairShare) {
        limits.interactive_weight = limits
            .interactive_weight
            .saturating_mul(std::num::NonZeroU32::new(4).expect("four is not zero"));
    }
    if plant == Some(Plant::DeafToWaits) {
        limits.objective = None;
    }
    limits
}
