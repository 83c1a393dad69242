//! The program, run.

use std::process::Stdio;

use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

use crate::canned_daemon::CannedDaemon;

/// How a run ended.
pub(crate) struct Done {
    /// `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Starts it with pipes for input and output.
pub(crate) fn start(url: &str, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_orchctl"))
        .args(args)
        .env("ORCHD_URL", url)
        .env_remove("ORCHD_TOKEN_FILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

pub(crate) async fn wait(child: Child) -> Done {
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) async fn orchctl(daemon: &CannedDaemon, args: &[&str]) -> Done {
    wait(start(&daemon.url(), args)).await
}

pub(crate) async fn orchctl_with_input(daemon: &CannedDaemon, args: &[&str], input: &str) -> Done {
    let mut child = start(&daemon.url(), args);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    wait(child).await
}

impl Done {
    /// The output of a run that went well and had nothing to say beside it.
    pub(crate) fn well(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }
}
