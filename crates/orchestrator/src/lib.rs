//! The embeddable orchestrator: admission, scheduling loop, task runs, recovery.
