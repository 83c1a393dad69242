//! Tests of the client against a daemon of canned bytes.
