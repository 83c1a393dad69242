//! Tests of provisioning against an index of their own on loopback.

#[cfg(test)]
mod archives;
#[cfg(test)]
mod files;
#[cfg(test)]
mod https;
#[cfg(test)]
mod hub;
#[cfg(test)]
mod idempotence;
#[cfg(test)]
mod indexes;
#[cfg(test)]
mod network;
#[cfg(test)]
mod pip_config;
#[cfg(test)]
mod world;
