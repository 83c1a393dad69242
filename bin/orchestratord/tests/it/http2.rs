//! Frames of HTTP/2, written by hand: for what no well-behaved library sends.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

const DATA_END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const CONTINUATION: u8 = 0x9;

/// Bytes that are collected before they are sent.
const BATCH_BYTES: usize = 16 * 1024;

/// A connection that says what it is told to, and throws away what it hears.
pub(crate) struct RawHttp2 {
    stream: TcpStream,
    batch: Vec<u8>,
}

impl RawHttp2 {
    pub(crate) fn greet(stream: TcpStream) -> Self {
        let mut it = Self { stream, batch: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec() };
        assert!(it.settings());
        it
    }

    /// Opens a stream with a GET.
    pub(crate) fn get(&mut self, stream: u32, path: &str, ends: bool) -> bool {
        let flags = END_HEADERS | if ends { DATA_END_STREAM } else { 0 };
        let block = head_of_get(path);
        self.send(HEADERS, flags, stream, &block)
    }

    pub(crate) fn reset(&mut self, stream: u32) -> bool {
        self.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
    }

    pub(crate) fn ping(&mut self) -> bool {
        self.send(PING, 0, 0, &[7; 8])
    }

    pub(crate) fn settings(&mut self) -> bool {
        self.send(SETTINGS, 0, 0, &[])
    }

    /// The first part of a head that goes on in [`Self::continue_headers`].
    pub(crate) fn begin_headers(&mut self, stream: u32) -> bool {
        self.send(HEADERS, 0, stream, &head_of_get("/v2/status"))
    }

    pub(crate) fn continue_headers(&mut self, stream: u32) -> bool {
        // A field that is not indexed: `x: yyy…`.
        let mut block = vec![0x00, 1, b'x', 100];
        block.resize(block.len() + 100, b'y');
        self.send(CONTINUATION, 0, stream, &block)
    }

    pub(crate) fn close(&mut self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// False once the peer has gone.
    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.batch.extend_from_slice(&length[1..]);
        self.batch.extend_from_slice(&[kind, flags]);
        self.batch.extend_from_slice(&stream.to_be_bytes());
        self.batch.extend_from_slice(payload);
        if self.batch.len() < BATCH_BYTES {
            return true;
        }
        let is_sent = self.stream.write_all(&self.batch).is_ok();
        self.batch.clear();
        is_sent && self.listens()
    }

    /// Empties what has come, so that the peer may go on answering.
    fn listens(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let mut buffer = [0; 64 * 1024];
        let is_open = loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break false,
                Ok(_) => {}
                Err(error) => break error.kind() == std::io::ErrorKind::WouldBlock,
            }
        };
        self.stream.set_nonblocking(false).is_ok() && is_open
    }
}

/// The fields of a GET, in HPACK: indexed where its static table has them, literal where not.
fn head_of_get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86]; // GET, http
    for (name, value) in [(0x04, path), (0x01, "localhost")] {
        block.extend_from_slice(&[name, u8::try_from(value.len()).unwrap()]);
        block.extend_from_slice(value.as_bytes());
    }
    block
}
