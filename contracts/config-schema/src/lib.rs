//! Configuration types, defaults and validation.
