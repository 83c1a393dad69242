//! Tests of the wire types through their JSON.

#[cfg(test)]
mod error;
#[cfg(test)]
mod reported;
#[cfg(test)]
mod request;
