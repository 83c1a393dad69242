use std::{
    io::{self, BufRead as _, BufReader, Read, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longest silence of the daemon. It sends a sign of life on a stream every second.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request; each has a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: "GET", path, headers: Vec::new(), body: None }
    }

    /// Sends it, and leaves the answer to whoever reads it.
    pub(crate) fn send(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_write_timeout(Some(READ_TIMEOUT))?;
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {address}\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = self.body {
            let length = body.len();
            text += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        }
        text += "Connection: close\r\n\r\n";
        text += self.body.unwrap_or_default();
        stream.write_all(text.as_bytes())?;
        Ok(stream)
    }

    /// Sends it and reads the head of the answer.
    pub(crate) fn answer(&self, address: SocketAddr) -> io::Result<Answer> {
        Answer::read(self.send(address)?)
    }
}

/// The head of an answer, and the body still to be read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

impl Answer {
    fn read(stream: TcpStream) -> io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let first = line(&mut reader)?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| malformed("the first line", &first))?;
        let mut headers = Vec::new();
        loop {
            let line = line(&mut reader)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("a header", &line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Self { status, headers, body: Body { reader, left: Left::Bytes(0) } };
        answer.body.left =
            match (answer.header("transfer-encoding"), answer.header("content-length")) {
                (Some("chunked"), _) => Left::Chunks,
                (_, Some(length)) => {
                    Left::Bytes(length.parse().map_err(|_form| malformed("the length", length))?)
                }
                _ => Left::Bytes(0),
            };
        Ok(answer)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The whole body as JSON.
    pub(crate) fn json(mut self) -> io::Result<serde_json::Value> {
        let mut bytes = Vec::new();
        self.body.read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// A body. Reading it ends in order, or with an error where the connection broke before.
#[derive(Debug)]
pub(crate) struct Body {
    reader: BufReader<TcpStream>,
    left: Left,
}

#[derive(Debug)]
enum Left {
    /// So many bytes of the body, without framing.
    Bytes(usize),
    /// A chunk has to begin.
    Chunks,
    /// So many bytes of a chunk.
    InChunk(usize),
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.left, Left::Chunks) {
            let size = line(&mut self.reader)?;
            let bytes = usize::from_str_radix(size.trim(), 16)
                .map_err(|_form| malformed("the size of a chunk", &size))?;
            self.left = if bytes > 0 { Left::InChunk(bytes) } else { Left::Bytes(0) };
        }
        let (Left::Bytes(left) | Left::InChunk(left)) = &mut self.left else { return Ok(0) };
        if *left == 0 {
            return Ok(0);
        }
        let wanted = buffer.len().min(*left);
        let read = self.reader.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *left -= read;
        if matches!(self.left, Left::InChunk(0)) {
            line(&mut self.reader)?;
            self.left = Left::Chunks;
        }
        Ok(read)
    }
}

fn line(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.trim_end_matches('\r').to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn malformed(what: &str, text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is malformed: {text:?}"))
}
