//! A folder, what lies in it, and a watcher before it.

use std::{
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use camino_tempfile::Utf8TempDir;
use handoff::{
    Change, EngineProbe, Notification, OfferedModel, Options, Unanswered, Watcher, WorkerKey,
};
use handoff_schema::HandoffFile;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long anything may take on a machine with much else to do.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct House {
    folder: Utf8TempDir,
    pub(crate) watcher: Watcher,
    /// Files whose engines are used, as the changes so far say.
    pub(crate) up: Vec<String>,
}

impl House {
    pub(crate) fn new(notification: Notification) -> Self {
        Self::with(notification, Arc::new(Http))
    }

    pub(crate) fn with(notification: Notification, probe: Arc<dyn EngineProbe>) -> Self {
        let folder = camino_tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("engines")).unwrap();
        let dir = folder.path().join("engines");
        let watcher = Watcher::new(Options { dir, notification }, probe);
        Self { folder, watcher, up: Vec::new() }
    }

    pub(crate) fn dir(&self) -> Utf8PathBuf {
        self.folder.path().join("engines")
    }

    pub(crate) fn beside(&self) -> &Utf8Path {
        self.folder.path()
    }

    /// Puts a file there under the name that it is to have.
    pub(crate) fn put(&self, file: &Value) -> Utf8PathBuf {
        let text = |key: &str| file[key].as_str().unwrap().to_owned();
        let name = format!("{}.{}.json", text("pool_id"), text("replica_id"));
        self.write(&name, &file.to_string())
    }

    /// Lets a file have this text, all at once: what is seen does not depend on when it is looked at.
    pub(crate) fn write(&self, name: &str, text: &str) -> Utf8PathBuf {
        let (path, written) = (self.dir().join(name), self.dir().join(format!(".{name}.tmp")));
        std::fs::write(&written, text).unwrap();
        std::fs::rename(&written, &path).unwrap();
        path
    }

    /// Waits for a change, told as `bound gpu.0.json` or `unsafe gpu.0.json`; all changes up to it.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: &str) -> impl Future<Output = Vec<String>> {
        let place = std::panic::Location::caller();
        async move {
            let mut told: Vec<String> = Vec::new();
            while !told.iter().any(|one| one == wanted) {
                let Ok(changes) = tokio::time::timeout(DEADLINE, self.watcher.changes()).await
                else {
                    panic!("{place}: {wanted:?} did not come, but {told:?}");
                };
                told.extend(changes.iter().map(|change| self.note(change)));
            }
            told
        }
    }

    /// Waits until the engines of so many files are used.
    pub(crate) async fn until_up(&mut self, count: usize) {
        while self.up.len() != count {
            let changes = tokio::time::timeout(DEADLINE, self.watcher.changes()).await.unwrap();
            for change in changes {
                self.note(&change);
            }
        }
    }

    fn note(&mut self, change: &Change) -> String {
        match change {
            Change::Bound { name, .. } => {
                assert!(!self.up.contains(name), "{name} is bound twice");
                self.up.push(name.clone());
                format!("bound {name}")
            }
            Change::Replaced { name, .. } => {
                assert!(self.up.contains(name), "{name} was not there");
                format!("replaced {name}")
            }
            Change::Awaited { name, .. } => format!("awaited {name}"),
            Change::Gone { name, was_up } => {
                assert_eq!(self.up.contains(name), *was_up);
                self.up.retain(|up| up != name);
                format!("gone {name}")
            }
            Change::Skipped { name, skip } => {
                assert!(!skip.reason.is_empty());
                format!("{} {name}", skip.outcome.name())
            }
        }
    }
}

/// A file that names no process.
pub(crate) fn external(pool: &str, replica: &str) -> Value {
    json!({
        "schema": 1, "pool_id": pool, "replica_id": replica, "engine": "openai",
        "url": "http://127.0.0.1:9", "model_ref": "scripted",
    })
}

pub(crate) fn with(file: &Value, more: &Value) -> Value {
    let mut file = file.clone();
    file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    file
}

pub(crate) fn set_mode(path: &Utf8Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Asks engines over HTTP.
pub(crate) struct Http;

#[async_trait]
impl EngineProbe for Http {
    async fn models(
        &self,
        file: &HandoffFile,
        key: Option<&WorkerKey>,
    ) -> Result<Vec<OfferedModel>, Unanswered> {
        let silent = |error: std::io::Error| Unanswered::Silent { reason: error.to_string() };
        let address = file.loopback().unwrap();
        let mut socket = TcpStream::connect(address).await.map_err(silent)?;
        let key =
            key.map_or(String::new(), |key| format!("authorization: Bearer {}\r\n", key.reveal()));
        let request =
            format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{key}\r\n");
        socket.write_all(request.as_bytes()).await.map_err(silent)?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.map_err(silent)?;
        if answer.starts_with("HTTP/1.1 401") {
            return Err(Unanswered::KeyRefused);
        }
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let list: Value = serde_json::from_str(body).unwrap();
        let model = |model: &Value| OfferedModel {
            name: model["id"].as_str().unwrap().to_owned(),
            ctx_max: model["max_model_len"].as_u64().map(|ctx| ctx.try_into().unwrap()),
        };
        Ok(list["data"].as_array().unwrap().iter().map(model).collect())
    }
}

/// An engine that offers `scripted` as soon as it is told to answer.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) answers: Mutex<bool>,
}

#[async_trait]
impl EngineProbe for Told {
    async fn models(
        &self,
        _file: &HandoffFile,
        _key: Option<&WorkerKey>,
    ) -> Result<Vec<OfferedModel>, Unanswered> {
        if *self.answers.lock().unwrap() {
            Ok(vec![OfferedModel { name: "scripted".to_owned(), ctx_max: None }])
        } else {
            Err(Unanswered::Silent { reason: "it loads its model".to_owned() })
        }
    }
}
