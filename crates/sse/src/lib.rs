//! Event-stream framing and incremental parsing, both directions, without I/O.
