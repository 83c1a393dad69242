//! Append-only, checksummed segments of task events and generation logs.
