//! From a model reference to a verified catalog entry.
