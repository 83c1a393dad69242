use std::{net::SocketAddr, sync::Arc, time::Duration};

use handoff_schema::HandoffFile;

use crate::{
    Binding, EngineProbe, Evidence, Outcome, ProcessId, Skip, Unanswered, WorkerKey,
    listeners::{Listener, listeners_for, parse_listeners},
    process,
    safe_file::Owners,
};

/// Longest wait for an engine to tell its models.
const ANSWER: Duration = Duration::from_secs(5);

/// A key that no engine has; one that takes it would take any.
const WRONG_KEY: &str = "not-the-key-of-any-worker";

/// What was found out about a file that is right in itself.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    Usable(Arc<Binding>),
    /// It may become usable by itself.
    Awaited(Skip),
    Refused(Skip),
}

/// Who listens where a file's engine is to be.
enum Listens {
    /// The process that the file names, and nobody else.
    Named,
    Nobody,
    Another,
    /// It cannot be told: another user's process does not show its sockets.
    Unknown(std::io::Error),
}

/// Finds out whether the engine that a file means is the one that answers.
pub(crate) async fn prove(
    file: Arc<HandoffFile>,
    owners: Owners,
    probe: Arc<dyn EngineProbe>,
) -> Verdict {
    match examine(&file, owners, &*probe).await {
        Ok((evidence, key)) => Verdict::Usable(Arc::new(Binding { file, key, evidence })),
        Err(skip) if skip.outcome == Outcome::Awaited => Verdict::Awaited(skip),
        Err(skip) => Verdict::Refused(skip),
    }
}

async fn examine(
    file: &Arc<HandoffFile>,
    owners: Owners,
    probe: &dyn EngineProbe,
) -> Result<(Evidence, Option<WorkerKey>), Skip> {
    let local = Arc::clone(file);
    let looked = tokio::task::spawn_blocking(move || look_around(&local, owners)).await;
    let (evidence, key) = looked.map_err(|_panic| {
        Skip::new(Outcome::Unproven, "the file's process could not be looked at")
    })??;
    let asked = async {
        if key.is_some() {
            check_locked(file, probe).await?;
        } else if evidence == Evidence::External {
            // Nothing that it could say would show who it is.
            return Ok(());
        }
        let offered = probe.models(file, key.as_ref()).await.map_err(|error| match error {
            Unanswered::KeyRefused if key.is_none() => {
                unproven("the engine asks for a key; name its file in key_file")
            }
            Unanswered::KeyRefused => unproven("the engine does not take the key of key_file"),
            silent @ Unanswered::Silent { .. } => not_yet(&silent),
        })?;
        let model = offered.iter().find(|offered| offered.name == file.model_ref);
        let model = model.ok_or_else(|| {
            unproven(&format!("the engine does not offer the model {:?}", file.model_ref))
        })?;
        match (model.ctx_max, file.ctx_max) {
            (Some(has), Some(told)) if told > has => Err(unproven(&format!(
                "the engine has a context of {has} tokens, and the file says {told}"
            ))),
            _ => Ok(()),
        }
    };
    let silent = || Unanswered::Silent { reason: "the engine does not answer".to_owned() };
    tokio::time::timeout(ANSWER, asked).await.map_err(|_elapsed| not_yet(&silent()))??;
    match evidence.process() {
        Some(process) if !process.lives() => Err(gone(process.pid)),
        _ => Ok((evidence, key)),
    }
}

/// An engine that asks for a key takes neither none nor a wrong one.
async fn check_locked(file: &HandoffFile, probe: &dyn EngineProbe) -> Result<(), Skip> {
    let wrong = WorkerKey::new(WRONG_KEY);
    for wrong in [None, Some(&wrong)] {
        match probe.models(file, wrong).await {
            Err(Unanswered::KeyRefused) => {}
            Ok(_) => {
                return Err(unproven("the engine answers without the key of key_file too"));
            }
            Err(silent @ Unanswered::Silent { .. }) => return Err(not_yet(&silent)),
        }
    }
    Ok(())
}

/// What this machine shows without asking the engine. A key is not sent to anybody who is not meant.
fn look_around(file: &HandoffFile, owners: Owners) -> Result<(Evidence, Option<WorkerKey>), Skip> {
    let key = file.key_file.as_deref().map(|path| owners.read_key(path)).transpose()?;
    let key = key.as_deref().map(WorkerKey::new);
    let Some(process) = named_process(file)? else { return Ok((Evidence::External, key)) };
    let address = file.loopback().ok_or_else(|| not_loopback(file))?;
    let evidence = match listens(process, address) {
        Listens::Named => Evidence::Socket(process),
        Listens::Unknown(_) if key.is_some() => Evidence::Key(process),
        Listens::Unknown(error) => {
            let pid = process.pid;
            return Err(unproven(&format!(
                "the sockets of process {pid} cannot be looked at ({error}); run it as the daemon's user, or give the engine a key and name its file in key_file"
            )));
        }
        Listens::Nobody => {
            let reason = format!("nobody listens on {address} yet");
            return Err(Skip::new(Outcome::Awaited, reason));
        }
        Listens::Another => {
            let pid = process.pid;
            return Err(unproven(&format!("another process than {pid} listens on {address}")));
        }
    };
    Ok((evidence, key))
}

pub(crate) fn not_loopback(file: &HandoffFile) -> Skip {
    let reason =
        format!("{} is not on this machine; write the address as 127.0.0.1 or [::1]", file.url);
    Skip::new(Outcome::NotLoopback, reason)
}

/// The process that the file names; `None` where it names none.
fn named_process(file: &HandoffFile) -> Result<Option<ProcessId>, Skip> {
    let Some(pid) = file.pid else { return Ok(None) };
    if file.boot_id.as_ref().is_some_and(|told| process::boot_id().as_ref() != Some(told)) {
        let reason = format!("process {pid} is of an earlier run of this machine");
        return Err(Skip::new(Outcome::ProcessGone, reason));
    }
    let process = ProcessId::of(pid).ok_or_else(|| gone(pid))?;
    if file.pid_start_time.is_some_and(|told| told != process.start_time) {
        let reason = format!("process {pid} is gone, and another one has its number");
        return Err(Skip::new(Outcome::ProcessGone, reason));
    }
    Ok(Some(process))
}

/// Why a bound engine can be used no longer; `None` where it can.
pub(crate) fn lost(binding: &Binding) -> Option<Skip> {
    let process = binding.evidence.process()?;
    (!process.lives()).then(|| gone(process.pid))
}

fn listens(process: ProcessId, address: SocketAddr) -> Listens {
    let own = match process.sockets() {
        Ok(own) => own,
        Err(error) => return Listens::Unknown(error),
    };
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    // Where one of the two is missing, the machine does not speak that protocol.
    let mut all = parse_listeners(&read("/proc/net/tcp"));
    all.extend(parse_listeners(&read("/proc/net/tcp6")));
    let there: Vec<Listener> = listeners_for(address, &all);
    if there.is_empty() {
        Listens::Nobody
    } else if there.iter().all(|one| own.contains(&one.inode)) {
        Listens::Named
    } else {
        Listens::Another
    }
}

fn gone(pid: u32) -> Skip {
    Skip::new(Outcome::ProcessGone, format!("process {pid} is gone"))
}

fn unproven(reason: &str) -> Skip {
    Skip::new(Outcome::Unproven, reason)
}

fn not_yet(unanswered: &Unanswered) -> Skip {
    Skip::new(Outcome::Awaited, unanswered.to_string())
}
