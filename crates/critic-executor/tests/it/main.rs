//! Tests of critic-executor through its public interface.

#[cfg(test)]
mod values;
