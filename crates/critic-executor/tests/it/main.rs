//! Tests of critic-executor through its public interface.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod caches;
#[cfg(feature = "cel")]
#[cfg(test)]
mod cel;
#[cfg(all(test, feature = "config"))]
mod config;
#[cfg(test)]
mod contexts;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod engineering;
#[cfg(test)]
mod exports;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod foresight;
#[cfg(test)]
mod gates;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod guards;
#[cfg(all(test, feature = "config"))]
mod guide;
#[cfg(test)]
mod hooks;
#[cfg(all(test, feature = "metrics"))]
mod metrics;
#[cfg(test)]
mod pipelines;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod records;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod simple;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod specs;
#[cfg(test)]
mod statuses;
#[cfg(test)]
mod support;
#[cfg(test)]
mod validations;
#[cfg(test)]
mod values;
