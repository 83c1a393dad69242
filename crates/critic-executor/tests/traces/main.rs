//! Spans of a run. In a process of its own, because whether anybody listens to a span is remembered per process:
//! another test's thread could be the first to ask.

#[cfg(test)]
mod spans;
