//! What a daemon tells: its sentences, its lines, and what it keeps to itself.

#[cfg(test)]
mod lines;
#[cfg(test)]
mod masking;
#[cfg(test)]
mod sentences;
#[cfg(test)]
mod traces;
