//! A plain HTTP/1.1 client: it sends exactly what it is told to, wrong things included.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::waiting::DEADLINE;

/// A request as it will stand on the wire. `Host` and `Connection: close` are added where they are missing.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether `Content-Length` is added.
    is_measured: bool,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            is_measured: true,
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST of JSON text, which need not be JSON.
    pub(crate) fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        let request = Self::new("POST", target).header("Content-Type", "application/json");
        Self { body: body.into(), ..request }
    }

    /// Another method with JSON text.
    pub(crate) fn put(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { method: "PUT".to_owned(), ..Self::post(target, body) }
    }

    pub(crate) fn delete(target: &str) -> Self {
        Self::new("DELETE", target)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Leaves `Content-Length` to the caller.
    pub(crate) fn unmeasured(self) -> Self {
        Self { is_measured: false, ..self }
    }

    fn bytes(&self, addr: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let has =
            |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !has("host") {
            head.push_str(&format!("Host: {addr}\r\n"));
        }
        if !has("connection") {
            head.push_str("Connection: close\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.is_measured && (!self.body.is_empty() || self.method == "POST") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        let mut bytes = format!("{head}\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends the request, and reads the head of the answer.
    pub(crate) fn open(&self, addr: SocketAddr) -> Reply {
        self.try_open(addr).expect("the daemon answers")
    }

    /// As [`Self::open`], for a daemon that may be gone.
    pub(crate) fn try_open(&self, addr: SocketAddr) -> std::io::Result<Reply> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        // A daemon that refuses by the head alone need not take the body in.
        let sent = stream.write_all(&self.bytes(addr));
        Reply::read(stream).or_else(|error| sent.and(Err(error)))
    }

    /// Sends the request, and reads the whole answer.
    pub(crate) fn send(&self, addr: SocketAddr) -> Answer {
        self.open(addr).answer()
    }
}

/// An answer whose body is still to be read.
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: BufReader<Box<dyn Read + Send>>,
}

impl Reply {
    fn read(stream: TcpStream) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("no status: {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let value = |name: &str| {
            headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        let body: Box<dyn Read + Send> = if value("transfer-encoding") == Some("chunked") {
            Box::new(Chunked { reader, left: 0, is_over: false, is_first: true })
        } else {
            let length = value("content-length").and_then(|length| length.parse().ok());
            // An answer without a length and without chunks has no body here.
            Box::new(reader.take(length.unwrap_or(0)))
        };
        Ok(Self { status, headers, body: BufReader::new(body) })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The next line of the body without its end; `None` at the body's end. A connection that breaks
    /// counts as an end.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.body.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) if line.last() != Some(&b'\n') => None,
            Ok(_) => Some(String::from_utf8(line).unwrap().trim_end_matches('\n').to_owned()),
            Err(error) => {
                let is_timeout = error.kind() == std::io::ErrorKind::WouldBlock;
                assert!(!is_timeout, "the stream was silent for {DEADLINE:?}");
                None
            }
        }
    }

    /// Reads to the end.
    pub(crate) fn answer(mut self) -> Answer {
        let mut body = Vec::new();
        self.body.read_to_end(&mut body).expect("the body is whole");
        Answer { status: self.status, headers: self.headers, body }
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

/// A body in chunks.
struct Chunked {
    reader: BufReader<TcpStream>,
    left: usize,
    is_over: bool,
    is_first: bool,
}

impl Read for Chunked {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        if self.left == 0 {
            let mut line = String::new();
            if !self.is_first {
                self.reader.read_line(&mut line)?;
                line.clear();
            }
            self.is_first = false;
            self.reader.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16);
            self.left = length.map_err(|_cut| std::io::Error::other("the body is cut"))?;
            self.is_over = self.left == 0;
        }
        let most = buffer.len().min(self.left);
        let read = self.reader.read(&mut buffer[..most])?;
        self.left -= read;
        Ok(read)
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// Asserts status and code of a native error, and that it has the one shape of errors.
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{body}");
        assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        assert!(body["retriable"].is_boolean(), "{body}");
        assert_eq!(body["correlation_id"].as_str(), self.header("x-correlation-id"), "{body}");
        let known = [
            "code",
            "message",
            "retriable",
            "correlation_id",
            "retry_after_ms",
            "policy_label",
            "engine",
            "pool_id",
            "node_id",
            "task_id",
            "field",
            "details",
        ];
        for name in body.as_object().unwrap().keys() {
            assert!(known.contains(&name.as_str()), "{name} in {body}");
        }
        body
    }
}
