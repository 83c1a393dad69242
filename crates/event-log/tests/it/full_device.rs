use std::process::Command;

use camino::Utf8Path;
use camino_tempfile::tempdir;
use event_log::{LogOptions, SegmentLog};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use orchestrator::{EventStore, EventStoreError};

use crate::log_dir::{ON_DEMAND, events, frame};

const DIR: &str = "EVENT_LOG_TEST_DIR";
/// In the units of `ulimit -f`, which are 512 bytes or 1 KiB: enough for the side file.
const LIMIT: &str = "40";

/// Lets this test binary run `test` once more, under a limit on file sizes, which stands for a full device.
pub(crate) fn run_limited(test: &str, dir: &Utf8Path) {
    let output = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -S -f "$1"; shift; exec "$@""#, "sh", LIMIT])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIR, dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{output:?}");
}

#[expect(clippy::disallowed_methods, reason = "how the parent hands over the directory")]
fn limited_dir() -> Option<String> {
    std::env::var(DIR).ok()
}

/// Verifies: ORCH-098
#[tokio::test]
async fn a_full_device_takes_nothing_and_the_same_frame_later() {
    let Some(dir) = limited_dir() else {
        let dir = tempdir().unwrap();
        run_limited(
            "full_device::a_full_device_takes_nothing_and_the_same_frame_later",
            dir.path(),
        );
        let log = SegmentLog::open(dir.path(), ON_DEMAND).unwrap();
        assert_eq!(log.torn_tails(), 0);
        let found = events(&log).unwrap();
        // The frame that met the full device is there once, after the ones before it.
        assert!(found.len() > 5);
        assert_eq!(found.iter().filter(|events| events.starts_with(b"late")).count(), 1);
        assert!(found.last().unwrap().starts_with(b"late"));
        return;
    };
    let log = SegmentLog::open(Utf8Path::new(&dir), LogOptions { sync_every_ms: 1, ..ON_DEMAND });
    let log = log.unwrap();
    let fits = [b'x'; 3001];
    let mut first_event = 1;
    while let Ok(region) = log.append(&frame(1, first_event, b"ids", &fits)) {
        assert_eq!(region.first_event, first_event);
        first_event += 1;
        assert!(first_event < 100, "the limit is not in force");
    }
    let late = [&b"late"[..], &fits].concat();
    for _ in 0..3 {
        let refused = log.append(&frame(1, first_event, b"ids", &late));
        assert!(matches!(refused, Err(EventStoreError::Full)), "{refused:?}");
        log.sync().await.unwrap();
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
    log.append(&frame(1, first_event, b"ids", &late)).unwrap();
    log.sync().await.unwrap();
}
