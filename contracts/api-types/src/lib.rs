//! Types of the native API: requests, answers, events, errors.
