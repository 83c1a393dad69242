use std::{
    fs::File,
    io::{self, Write as _},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use camino::Utf8Path;
use serde_json::{Value, json};

/// The log of requests, if one is wanted.
#[derive(Debug, Clone)]
pub(crate) struct RequestLog {
    file: Option<Arc<Mutex<File>>>,
    last_id: Arc<AtomicU64>,
}

/// One request being answered. Dropped before its end, it is logged as aborted by the client.
#[derive(Debug)]
pub(crate) struct Entry {
    log: RequestLog,
    id: u64,
    tokens: u32,
    is_over: bool,
}

impl RequestLog {
    pub(crate) fn open(path: Option<&Utf8Path>) -> io::Result<Self> {
        let file =
            path.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
        let file = file.map(|file| Arc::new(Mutex::new(file)));
        Ok(Self { file, last_id: Arc::default() })
    }

    pub(crate) fn start(&self, path: &str, headers: &Value, fields: &Value) -> Entry {
        let id = self.next_id();
        self.write(&json!({"event": "started", "id": id, "path": path, "headers": headers, "fields": fields}));
        Entry { log: self.clone(), id, tokens: 0, is_over: false }
    }

    pub(crate) fn refuse(&self, path: &str, status: u16) {
        self.write(
            &json!({"event": "refused", "id": self.next_id(), "path": path, "status": status}),
        );
    }

    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// One write for each line, so that a process that dies leaves whole lines.
    fn write(&self, entry: &Value) {
        if let Some(file) = &self.file {
            let mut file = file.lock().expect("no holder panics");
            file.write_all(format!("{entry}\n").as_bytes()).expect("the log can be written");
        }
    }
}

impl Entry {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn count_token(&mut self) {
        self.tokens += 1;
    }

    pub(crate) fn end(&mut self) {
        self.close("ended");
    }

    /// The answer breaks off because that was directed.
    pub(crate) fn fail(&mut self) {
        self.close("failed");
    }

    fn close(&mut self, event: &str) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.log.write(&json!({"event": event, "id": self.id, "tokens": self.tokens}));
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.close("aborted");
    }
}
