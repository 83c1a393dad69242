use crate::contestant::Contestant;
use crate::measure::Measured;
use crate::table::find;

/// A number that one contestant is to stay below.
pub(crate) struct Target {
    /// The requirement.
    pub(crate) id: &'static str,
    pub(crate) contestant: Contestant,
    pub(crate) nodes: usize,
    pub(crate) limit: Limit,
}

/// What is limited.
pub(crate) enum Limit {
    /// Microseconds per node. Shown; no reason to fail, because machines differ.
    NodeUs(f64),
    /// The time per node, as a multiple of another contestant's in the same run.
    Times(Contestant, f64),
    /// The time per node, as a multiple of the same contestant's for a smaller graph.
    TimesOwn { nodes: usize, times: f64 },
    /// Bytes per node that are held at once.
    PeakBytes(f64),
}

/// CRIT-260 to CRIT-265, as far as they are numbers of a run.
pub(crate) const ALL: [Target; 11] = [
    Target::new("CRIT-260", Contestant::Spawn, 1000, Limit::NodeUs(2.0)),
    Target::new("CRIT-260", Contestant::Spawn, 1000, Limit::Times(Contestant::JoinSet, 2.0)),
    Target::new("CRIT-260", Contestant::Inline, 1000, Limit::NodeUs(1.0)),
    Target::new("CRIT-260", Contestant::SpawnTraced, 1000, Limit::NodeUs(5.0)),
    Target::new("CRIT-261", Contestant::Spawn, 10, Limit::NodeUs(4.0)),
    Target::new("CRIT-261", Contestant::Spawn, 10000, Limit::TimesOwn { nodes: 100, times: 1.5 }),
    Target::new("CRIT-262", Contestant::Planning, 10000, Limit::NodeUs(5.0)),
    Target::new("CRIT-263", Contestant::Gated, 10000, Limit::NodeUs(10.0)),
    Target::new("CRIT-264", Contestant::Grants, 10000, Limit::NodeUs(5.0)),
    Target::new("CRIT-264", Contestant::Waiters, 10000, Limit::NodeUs(5.0)),
    Target::new("CRIT-265", Contestant::Spawn, 1000, Limit::PeakBytes(1024.0)),
];

impl Target {
    const fn new(id: &'static str, contestant: Contestant, nodes: usize, limit: Limit) -> Self {
        Self { id, contestant, nodes, limit }
    }

    /// What was measured, and what it may be at most.
    fn measured(&self, results: &[Measured]) -> Option<(f64, f64)> {
        let result = find(results, self.contestant.name(), self.nodes)?;
        let own = result.node_ns;
        Some(match &self.limit {
            Limit::PeakBytes(limit) => (result.peak_bytes?, *limit),
            Limit::NodeUs(limit) => (own / 1000.0, *limit),
            Limit::Times(other, limit) => {
                (own / find(results, other.name(), self.nodes)?.node_ns, *limit)
            }
            Limit::TimesOwn { nodes, times } => {
                (own / find(results, self.contestant.name(), *nodes)?.node_ns, *times)
            }
        })
    }

    fn is_ratio(&self) -> bool {
        !matches!(self.limit, Limit::NodeUs(_))
    }

    /// The target as a sentence, with what was measured.
    pub(crate) fn line(&self, results: &[Measured]) -> String {
        let what = match &self.limit {
            Limit::NodeUs(_) => "µs per node".to_owned(),
            Limit::PeakBytes(_) => "bytes per node held at once".to_owned(),
            Limit::Times(other, _) => format!("× {}", other.name()),
            Limit::TimesOwn { nodes, .. } => format!("× its own time at {nodes} nodes"),
        };
        let Self { id, contestant, nodes, .. } = self;
        match self.measured(results) {
            Some((measured, limit)) => {
                let said = if measured <= limit { "met" } else { "MISSED" };
                let name = contestant.name();
                format!(
                    "{id}: {name}, {nodes} nodes: {measured:.2} {what}, at most {limit}: {said}"
                )
            }
            None => format!("{id}: not measured"),
        }
    }
}

/// What is worse than it may be of ratios and bytes. Times are not compared: they say something of the machine.
pub(crate) fn missed(results: &[Measured]) -> Vec<&'static Target> {
    let is_missed = |target: &&Target| {
        target.measured(results).is_some_and(|(measured, limit)| measured > limit)
    };
    ALL.iter().filter(|target| target.is_ratio()).filter(is_missed).collect()
}

/// CRIT-265: resident memory after 1,000,000 runs as a multiple of that after 10,000.
const GROWTH_MAX: f64 = 1.05;

/// Whether memory grows with the number of runs.
pub(crate) fn grows(growth: Option<f64>) -> bool {
    growth.is_some_and(|growth| growth > GROWTH_MAX)
}

/// The growth as a sentence.
pub(crate) fn growth_line(growth: Option<f64>) -> String {
    let Some(times) = growth else {
        return "CRIT-265: the system does not tell how much memory is resident".to_owned();
    };
    let said = if grows(growth) { "MISSED" } else { "met" };
    format!(
        "CRIT-265: resident memory after 1,000,000 runs: {times:.3} × that after 10,000, at most {GROWTH_MAX}: {said}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(join_set_ns: f64, spawn_ns: f64, spawn_of_100_ns: f64) -> Vec<Measured> {
        let measured = |contestant: Contestant, nodes, node_ns| Measured {
            name: contestant.name().to_owned(),
            nodes,
            node_ns,
            allocations: None,
            peak_bytes: None,
        };
        vec![
            measured(Contestant::JoinSet, 1000, join_set_ns),
            measured(Contestant::Spawn, 1000, spawn_ns),
            measured(Contestant::Spawn, 100, spawn_of_100_ns),
            measured(Contestant::Spawn, 10_000, spawn_ns),
        ]
    }

    #[test]
    fn a_doubling_beside_the_join_set_is_missed_and_a_slow_machine_is_not() {
        assert!(missed(&results(1000.0, 1900.0, 1900.0)).is_empty());
        assert!(missed(&results(9000.0, 17_000.0, 17_000.0)).is_empty());
        assert_eq!(missed(&results(1000.0, 2100.0, 2100.0)).len(), 1);
        assert_eq!(missed(&results(1000.0, 1900.0, 950.0)).len(), 1);
    }
}
