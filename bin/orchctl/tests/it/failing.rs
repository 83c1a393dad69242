use camino_tempfile::NamedUtf8TempFile;
use serde_json::{Value, json};

use crate::{
    canned_daemon::{CannedDaemon, json as reply, stream, write},
    program::{orchctl, orchctl_with_input, start, wait},
    wire::{TASK, error, token},
};

#[tokio::test]
async fn wrong_usage_ends_with_2_before_anything_is_sent() {
    let daemon = CannedDaemon::start(|asked| panic!("{}", asked.line)).await;
    let wrong: [&[&str]; 8] = [
        &["run"],
        &["run", "x", "--temperature", "3"],
        &["run", "x", "--max-tokens", "0"],
        &["run", "x", "--raw", "--system", "y"],
        &["run", "x", "--priority", "urgent"],
        &["status", "--url", "ftp://x"],
        &["status", "--token-file", "/nowhere/token"],
        &["dance"],
    ];
    for args in wrong {
        let done = orchctl(&daemon, args).await;
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{args:?}: {}", done.err);
        assert!(!done.err.is_empty(), "{args:?}");
    }
    let too_long = orchctl_with_input(&daemon, &["run", "-"], &"x".repeat((2 << 20) + 1)).await;
    assert_eq!(too_long.code, Some(2), "{}", too_long.err);
}

#[tokio::test]
async fn a_daemon_that_is_not_there_gives_3_and_says_where_it_was_sought() {
    let daemon = CannedDaemon::start(|asked| panic!("{}", asked.line)).await;
    let url = daemon.url();
    daemon.kill().await;
    let done = wait(start(&url, &["status"])).await;
    assert_eq!((done.code, done.out.as_str()), (Some(3), ""));
    let wanted =
        format!("orchctl: the daemon at {url}/ cannot be reached; check that it runs there: ");
    assert!(done.err.starts_with(&wanted), "{}", done.err);
    assert!(done.err.contains("Connection refused"), "{}", done.err);
}

#[tokio::test]
async fn a_refusal_gives_4_with_the_daemons_words() {
    let daemon =
        CannedDaemon::start(|_| reply("404 Not Found", &[], &error("MODEL_NOT_FOUND", false)))
            .await;
    let done = orchctl(&daemon, &["run", "hello"]).await;
    let wanted = "orchctl: the daemon refused with status 404: said MODEL_NOT_FOUND\n  code MODEL_NOT_FOUND, correlation c-1\n";
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(4), "", wanted));

    let done = orchctl(&daemon, &["run", "hello", "--json"]).await;
    let report: Value = serde_json::from_str(&done.err).unwrap();
    assert_eq!((done.code, &report["exit_code"]), (Some(4), &json!(4)));
    assert_eq!(report["body"]["code"], "MODEL_NOT_FOUND");
}

#[tokio::test]
async fn a_stream_with_a_gap_gives_5_and_says_what_is_missing() {
    let daemon = CannedDaemon::start(|_| stream([write(&token(2, "x"))])).await;
    let done = orchctl(&daemon, &["events", TASK]).await;
    assert_eq!((done.code, done.out.as_str()), (Some(5), ""));
    assert!(done.err.contains("event 1 is missing: event 2 came after 0"), "{}", done.err);
}

#[tokio::test]
async fn the_token_of_a_file_is_presented() {
    let daemon =
        CannedDaemon::start(|_| reply("401 Unauthorized", &[], &error("BAD_TOKEN", false))).await;
    let file = NamedUtf8TempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret\n").unwrap();
    let done = orchctl(&daemon, &["--token-file", file.path().as_str(), "status"]).await;
    assert_eq!(done.code, Some(4));
    assert!(!done.err.contains("s3cret"), "{}", done.err);
    assert_eq!(daemon.asked()[0].header("authorization"), Some("Bearer s3cret"));
}

#[tokio::test]
async fn the_help_tells_the_exit_codes() {
    let daemon = CannedDaemon::start(|asked| panic!("{}", asked.line)).await;
    let help = orchctl(&daemon, &["--help"]).await.well();
    let codes = help.split_once("Exit codes:\n").unwrap().1;
    let codes: Vec<&str> =
        codes.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(codes, ["0", "1", "2", "3", "4", "5", "130"]);
}
