//! Spans on their way to a collector of the test's own.

#[cfg(test)]
mod collector;
#[cfg(test)]
mod exporting;
#[cfg(test)]
mod headers;
