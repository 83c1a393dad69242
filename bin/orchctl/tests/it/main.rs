//! Tests of the built program against a daemon of canned bytes.
