//! Tests of critic-executor through its public interface.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod exports;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod gates;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod guards;
#[cfg(test)]
mod pipelines;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod records;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod simple;
#[cfg(test)]
mod support;
#[cfg(test)]
mod values;
