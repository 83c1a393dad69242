use orchestrator_core::{Class, Offer, QueueLimit, WhenFull};

use super::{Judge, Known, Place};
use crate::{
    names::task_number,
    violation::{Violation, ensure},
};

/// Most tasks that make room for one newcomer.
const VICTIMS_MAX: usize = 16;

impl Judge {
    /// A newcomer holds a place: it breaks no bound, and only those went for it who were to go.
    pub(super) fn reserve(&mut self, offer: &Offer, victims: &[u32]) -> Result<(), Violation> {
        let newcomer = task_number(offer.task);
        for victim in victims {
            let known = self.known(*victim)?;
            ensure(known.place == Place::Fresh && !known.has_run, 1, || {
                format!("task {victim} is evicted while it is {:?}", known.place)
            })?;
            let is_above = known.offer.class == Class::Interactive && offer.class == Class::Batch;
            ensure(!is_above, 1, || {
                format!("batch task {newcomer} evicts interactive task {victim}")
            })?;
        }
        let expected = self.admission(offer);
        ensure(expected.as_deref() == Ok(victims), 1, || {
            format!("task {newcomer} is let in for {victims:?}, and not for {expected:?}")
        })?;
        for victim in victims {
            self.dequeue(*victim);
            self.known_mut(*victim).place = Place::Evicting { newcomer };
        }
        let known = self.new_task(offer);
        self.tasks.insert(newcomer, known);
        Ok(())
    }

    /// A newcomer is refused: there is a bound in its way, and nobody who was to go.
    pub(super) fn check_refusal(&self, offer: &Offer, limit: QueueLimit) -> Result<(), Violation> {
        let is_bound = matches!(
            limit,
            QueueLimit::Model | QueueLimit::BatchShare | QueueLimit::Daemon | QueueLimit::Bytes
        );
        let expected = self.admission(offer);
        ensure(!is_bound || expected == Err(limit), 1, || {
            let task = task_number(offer.task);
            format!("task {task} is refused for {limit:?}, but it is {expected:?}")
        })
    }

    /// Who has to go for a newcomer, or the bound in its way.
    fn admission(&self, offer: &Offer) -> Result<Vec<u32>, QueueLimit> {
        let mut going = Vec::new();
        while let Some(limit) = self.limit_hit(offer, &going) {
            let may_evict = self.limits.when_full == WhenFull::DropLru
                && going.len() < VICTIMS_MAX
                && (limit != QueueLimit::Bytes || offer.prompt_bytes <= self.limits.bytes_max);
            let is_of_model = matches!(limit, QueueLimit::Model | QueueLimit::BatchShare);
            let oldest = |class: Class| {
                let may_go = |(task, known): &(&u32, &Known)| {
                    known.place == Place::Fresh
                        && !known.has_run
                        && known.offer.class == class
                        && (!is_of_model || known.offer.model == offer.model)
                        && !going.contains(*task)
                };
                let all = self.tasks.iter().filter(may_go);
                all.min_by_key(|(_, known)| known.offer.sequence).map(|(task, _)| *task)
            };
            let interactive =
                || oldest(Class::Interactive).filter(|_| offer.class == Class::Interactive);
            let victim = oldest(Class::Batch).or_else(interactive).filter(|_| may_evict);
            going.push(victim.ok_or(limit)?);
        }
        Ok(going)
    }

    /// The bound that one more task would break if some others were gone.
    fn limit_hit(&self, offer: &Offer, gone: &[u32]) -> Option<QueueLimit> {
        let counts = |(task, known): &(&u32, &Known)| {
            !matches!(known.place, Place::Running(_) | Place::Evicting { .. })
                && !gone.contains(*task)
        };
        let held = || self.tasks.iter().filter(counts).map(|(_, known)| &known.offer);
        let own = || held().filter(|it| it.model == offer.model);
        let limits = self.limits.of(&offer.model);
        let batch = || own().filter(|it| it.class == Class::Batch).count() as u64;
        let bytes: u64 = held().map(|it| it.prompt_bytes).sum();
        if own().count() as u64 >= limits.capacity {
            Some(QueueLimit::Model)
        } else if offer.class == Class::Batch && batch() >= limits.batch_capacity() {
            Some(QueueLimit::BatchShare)
        } else if held().count() as u64 >= self.limits.total_capacity {
            Some(QueueLimit::Daemon)
        } else if bytes + offer.prompt_bytes > self.limits.bytes_max {
            Some(QueueLimit::Bytes)
        } else {
            None
        }
    }
}
