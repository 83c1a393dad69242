//! Parts that tests of several crates share. Only tests depend on this crate.
//!
//! The *scripted engine* is a process of its own (`scripted-engine`) that speaks the OpenAI-compatible
//! protocol over HTTP. What it says is a [`Script`]: it depends on the prompt and the index of the token
//! only, so that an answer put together from several engines can be compared with an undisturbed one.
//! Its faults are directives in the prompt and flags of the process; no daemon knows of them.
//!
//! [`adapter_conformance`] holds the contract of engine adapters as checks that each adapter's tests run.

pub mod adapter_conformance;
mod directives;
mod script;
mod scripted_engine;

pub use directives::{Directives, Fault, FaultKind};
pub use script::{Alphabet, Script, prompt_of_messages};
pub use scripted_engine::ScriptedEngine;
