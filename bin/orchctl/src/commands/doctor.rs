mod check;
mod daemon;
mod machine;

use camino::Utf8Path;
use client::Client;

use crate::{failure::Failure, output::Output};

use check::{Check, Verdict};

/// `orchctl doctor`: looks at the daemon and, where that runs here, at this machine, and says what to do.
pub(crate) async fn doctor(
    client: &Client,
    data_dir: Option<&Utf8Path>,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut checks = daemon::checks(client).await;
    if client.is_local() {
        checks.extend(machine::data_dir(data_dir));
        checks.push(machine::configuration().await);
    } else {
        for name in ["data directory", "disk space", "configuration"] {
            checks.push(Check::skipped(name, "the daemon runs on another machine; look there"));
        }
    }
    if output.as_json {
        output.write_json(&checks).await?;
    } else {
        output.write(&checks.iter().map(Check::text).collect::<String>()).await?;
    }
    let findings = checks.iter().filter(|check| check.verdict == Verdict::Finding).count();
    if findings == 0 { Ok(()) } else { Err(Failure::Findings { findings }) }
}
