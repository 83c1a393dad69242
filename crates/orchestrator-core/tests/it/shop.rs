//! A scheduler in virtual time whose engine takes for each task as long as a script says.

use std::collections::BTreeMap;

use orchestrator_core::{Action, Event, Forecast, Limits, Offer, ServiceSample, Work};

use crate::house::{House, id, model, starts};

pub(crate) struct Shop {
    pub(crate) house: House,
    /// What task `number` takes.
    script: Box<dyn Fn(u64) -> ServiceSample>,
    /// By end: task and lease.
    running: BTreeMap<(u64, u64), u64>,
    /// When each task started.
    pub(crate) started: BTreeMap<u64, u64>,
}

impl Shop {
    pub(crate) fn new(slots: u32, script: impl Fn(u64) -> ServiceSample + 'static) -> Self {
        let limits = Limits {
            model_capacity: 1 << 20,
            total_capacity: 1 << 20,
            batch_share_percent: 100,
            batch_max_wait_ms: u64::MAX,
            ..Limits::default()
        };
        let mut house = House::with(limits);
        house.serve("pool.0", &["m"], slots);
        let (running, started) = (BTreeMap::new(), BTreeMap::new());
        Self { house, script: Box::new(script), running, started }
    }

    /// Admits a task that says how long its prompt is, and no more.
    pub(crate) fn admit(&mut self, offer: Offer) {
        let prompt_tokens = Some((self.script)(crate::house::number_of(offer.task)).prompt_tokens);
        let work = Work { prompt_tokens, ..offer.work };
        let waiting_since_ms = self.house.now_ms;
        let actions = self.house.admit(Offer { work, waiting_since_ms, ..offer });
        self.begin(&actions);
    }

    pub(crate) fn forecast(&self, number: u64) -> Option<Forecast> {
        self.house.scheduler.forecast(id(number), self.house.now_ms)
    }

    /// When the next attempt ends.
    pub(crate) fn next_end_ms(&self) -> Option<u64> {
        self.running.first_key_value().map(|((end_ms, _), _)| *end_ms)
    }

    /// Lets all attempts end that do until `until_ms`, and time pass up to then.
    pub(crate) fn run_until(&mut self, until_ms: u64) {
        while let Some(end_ms) = self.next_end_ms().filter(|end_ms| *end_ms <= until_ms) {
            let ((_, number), lease) = self.running.pop_first().unwrap();
            self.house.now_ms = end_ms;
            let sample = (self.script)(number);
            self.house.step(Event::Measured { model: model("m"), sample });
            let actions = self.house.finish(number, lease);
            self.begin(&actions);
        }
        self.house.now_ms = until_ms.max(self.house.now_ms);
    }

    pub(crate) fn run_to_the_end(&mut self) {
        while let Some(end_ms) = self.next_end_ms() {
            self.run_until(end_ms);
        }
    }

    fn begin(&mut self, actions: &[Action]) {
        for (number, _, lease) in starts(actions) {
            let sample = (self.script)(number);
            let end_ms = self.house.now_ms + sample.prefill_ms + sample.decode_ms;
            self.started.insert(number, self.house.now_ms);
            self.running.insert((end_ms, number), lease);
        }
    }
}

/// An engine of constant rate.
pub(crate) fn constant(
    (prompt_tokens, prefill_ms_each): (u64, u64),
    (answer_tokens, decode_ms_each): (u64, u64),
) -> impl Fn(u64) -> ServiceSample {
    move |_number| ServiceSample {
        prompt_tokens,
        prefill_ms: prompt_tokens * prefill_ms_each,
        answer_tokens,
        decode_ms: answer_tokens * decode_ms_each,
    }
}
