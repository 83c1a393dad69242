//! What naive implementations get wrong: the numbered list of the requirements, each number a test here, or where
//! its subject is tested anyway: 27 in `resources`, `admission` and `retries`, 31 in `caches`, 32 in `deadlines`, each
//! with its number.
//!
//! 21 and 34 have their costs measured by the benchmarks, too. 30 (a verdict forged by the judged text) is in
//! `critics`, whose judge reads verdicts: `tests/it/judges.rs`. 35 (ids in labels) is where metrics are tested.

mod endings;
mod limits;
mod verdicts;
