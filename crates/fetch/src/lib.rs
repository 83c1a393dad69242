//! Resumable, digest-checked, policy-bound downloads.
