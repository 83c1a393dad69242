//! Tests of declared metrics, their bounds and their page.

#[cfg(test)]
mod page;
