//! Tests of the wire types through their JSON.

#[cfg(test)]
mod error;
#[cfg(test)]
mod request;
