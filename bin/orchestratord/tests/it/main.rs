//! Tests of the built daemon: each starts its own, in a folder of its own, and speaks HTTP with it. Engines
//! are scripted ones, and here and there the starter model, which `cargo xtask setup` fetches.

#[cfg(test)]
mod abuse;
#[cfg(test)]
mod admission;
#[cfg(test)]
mod attaching;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod cancelling;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod catalog_states;
#[cfg(test)]
mod choke_point;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod config_command;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod descriptors;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod engine_loss;
#[cfg(test)]
mod erasing;
#[cfg(test)]
mod events;
#[cfg(test)]
mod facade;
#[cfg(test)]
mod facade_contract;
#[cfg(test)]
mod features;
#[cfg(test)]
mod fetching;
#[cfg(test)]
mod guides;
#[cfg(test)]
mod handoff;
#[cfg(test)]
mod http;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod killing;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod memory_limit;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod model_sources;
#[cfg(test)]
mod openai_client;
#[cfg(test)]
mod openmetrics;
#[cfg(test)]
mod otlp;
#[cfg(test)]
mod package_index;
#[cfg(test)]
mod placing;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod schemathesis;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod service_manager;
#[cfg(test)]
mod starter;
#[cfg(test)]
mod starting;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod subscribing;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod waiting;
