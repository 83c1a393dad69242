use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use super::{CriticNames, lock};
use crate::admission::breaker::BreakerState;
use crate::executor::{Counters, ExecShared, Executor, HookCounters};
use crate::stage::Stage;

/// The executors whose gauges are looked up, and the counts that they keep themselves.
pub(super) struct Sources {
    names: Arc<CriticNames>,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    sources: Vec<Source>,
    /// What executors had counted that are gone, so that no counter goes back.
    ended: Counted,
}

struct Source {
    executor: Weak<ExecShared>,
    counters: Arc<Counters>,
    hooks: Arc<HookCounters>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    late_results: u64,
    hook_errors: u64,
    hook_events_dropped: u64,
    cleanup_errors: u64,
}

impl Counted {
    fn add(&mut self, source: &Source) {
        self.late_results += source.counters.late_results.load(Ordering::Relaxed);
        self.cleanup_errors += source.counters.cleanup_errors.load(Ordering::Relaxed);
        self.hook_errors += source.hooks.errors.load(Ordering::Relaxed);
        self.hook_events_dropped += source.hooks.dropped.load(Ordering::Relaxed);
    }
}

impl Sources {
    pub(super) fn new(names: Arc<CriticNames>) -> Self {
        Self { names, list: Mutex::default() }
    }

    pub(super) fn add(&self, executor: &Arc<ExecShared>) {
        let list = &mut *lock(&self.list);
        let ended = &mut list.ended;
        list.sources.retain(|source| {
            let is_alive = source.executor.strong_count() > 0;
            if !is_alive {
                ended.add(source);
            }
            is_alive
        });
        list.sources.push(Source {
            executor: Arc::downgrade(executor),
            counters: Arc::clone(&executor.counters),
            hooks: Arc::clone(&executor.hooks.counters),
        });
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

type Samples = BTreeMap<Vec<(&'static str, Arc<str>)>, u64>;

/// Gauges, added up over all executors.
#[derive(Default)]
struct Gauges {
    queue_depth: Samples,
    permits_in_use: Samples,
    permits_limit: Samples,
    circuit_state: Samples,
    detached_blocking: u64,
}

impl Gauges {
    fn add(&mut self, executor: Executor, names: &CriticNames) {
        let snapshot = executor.snapshot();
        let scope = |name: &str| vec![("scope", Arc::from(name))];
        let add = |samples: &mut Samples, key, value: usize| {
            *samples.entry(key).or_default() += value as u64;
        };
        add(&mut self.queue_depth, scope("critics"), snapshot.queue_depth);
        add(&mut self.queue_depth, scope("runs"), snapshot.waiting_runs);
        let stages = Stage::ALL.iter().zip(snapshot.stages).map(|(stage, it)| (stage.as_str(), it));
        for (name, permits) in [("global", snapshot.permits)].into_iter().chain(stages) {
            add(&mut self.permits_in_use, scope(name), permits.in_use);
            if let Some(limit) = permits.limit {
                add(&mut self.permits_limit, scope(name), limit);
            }
        }
        self.detached_blocking += snapshot.detached_blocking as u64;
        for critic in snapshot.critics {
            let Some(now) = critic.breaker else { continue };
            for state in [BreakerState::Closed, BreakerState::HalfOpen, BreakerState::Open] {
                let key =
                    vec![("critic", names.label(&critic.name)), ("state", state.as_str().into())];
                add(&mut self.circuit_state, key, usize::from(state == now));
            }
        }
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let list = lock(&self.list);
        let mut counted = list.ended;
        list.sources.iter().for_each(|source| counted.add(source));
        let executors: Vec<_> =
            list.sources.iter().filter_map(|source| source.executor.upgrade()).collect();
        drop(list);
        let mut gauges = Gauges::default();
        for shared in executors {
            gauges.add(Executor { shared }, &self.names);
        }
        let counters = [
            ("late_results", "Results that came too late", counted.late_results),
            ("hook_errors", "Hooks that failed or took too long", counted.hook_errors),
            ("hook_events_dropped", "Events that no hook was told of", counted.hook_events_dropped),
            ("cleanup_errors", "Cleanups that failed or took too long", counted.cleanup_errors),
        ];
        for (name, help, value) in counters {
            const NO_EXEMPLAR: Option<&Exemplar<Vec<(&str, &str)>, f64>> = None;
            encoder
                .encode_descriptor(name, help, None, MetricType::Counter)?
                .encode_counter(&value, NO_EXEMPLAR)?;
        }
        encoder
            .encode_descriptor(
                "detached_blocking",
                "Blocking calls that go on after their attempts have ended",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&gauges.detached_blocking)?;
        let families = [
            ("queue_depth", "What waits", gauges.queue_depth),
            ("permits_in_use", "Attempts outstanding", gauges.permits_in_use),
            ("permits_limit", "Attempts that may be outstanding", gauges.permits_limit),
            ("circuit_state", "1 for the state that a breaker is in", gauges.circuit_state),
        ];
        for (name, help, samples) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (labels, value) in samples {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}
