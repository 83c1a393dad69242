//! The real model, which `cargo xtask setup` fetches.

use std::sync::{Mutex, MutexGuard, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};

use crate::daemon::{Daemon, Home};

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Utf8Path {
    Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

pub(crate) fn starter_file() -> Utf8PathBuf {
    let path = workspace().join("target/setup/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    path.canonicalize_utf8()
        .unwrap_or_else(|_| panic!("{path} is missing; run `cargo xtask setup`"))
}

/// Python with what the tests need.
pub(crate) fn python() -> Utf8PathBuf {
    let path = workspace().join("target/setup/venv/bin/python");
    assert!(path.exists(), "{path} is missing; run `cargo xtask setup`");
    path
}

/// A home with the model, and the right to compute: one at a time, as a model takes all cores.
pub(crate) fn home() -> (Home, MutexGuard<'static, ()>) {
    static COMPUTING: Mutex<()> = Mutex::new(());
    let turn = COMPUTING.lock().unwrap_or_else(PoisonError::into_inner);
    let home = Home::new(&format!("[models.starter]\nsource = \"file:{}\"\n", starter_file()));
    (home, turn)
}

impl Daemon {
    /// A daemon whose embedded pool is ready.
    pub(crate) fn with_starter(self) -> Self {
        self.wait_for_pool("embedded", "ready");
        self
    }
}
