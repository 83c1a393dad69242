//! Tests of the hints: that they name what they should, and do no harm.

mod lines;
