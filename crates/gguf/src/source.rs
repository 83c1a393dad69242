use std::io::Read;

use crate::{GgufError, Limits};

/// Bytes asked for at a time while a long field is read, so that a field that only claims to be long
/// costs one chunk and then an error.
const CHUNK_BYTES: usize = 64 << 10;

/// The header's bytes in order, with the position and the number of bytes that may still be read.
pub(crate) struct Source<R> {
    reader: R,
    position: u64,
    /// First byte that is not there: the end of the file, or of the prefix that was given.
    end: u64,
    limits: Limits,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(reader: R, end: u64, limits: Limits) -> Self {
        Self { reader, position: 0, end, limits }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.end - self.position
    }

    /// Fails unless `bytes` more are there and the header stays below its limit.
    pub(crate) fn require(&self, what: &'static str, bytes: u64) -> Result<(), GgufError> {
        let (offset, available_bytes) = (self.position, self.remaining());
        if bytes > available_bytes {
            return Err(GgufError::Truncated {
                what,
                offset,
                needed_bytes: bytes,
                available_bytes,
            });
        }
        let header_bytes = offset + bytes;
        let limit = self.limits.header_bytes_max;
        if header_bytes > limit {
            return Err(GgufError::OverLimit {
                what: "header length",
                offset,
                found: header_bytes,
                limit,
            });
        }
        Ok(())
    }

    /// Reads exactly `N` bytes.
    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], GgufError> {
        self.require(what, N as u64)?;
        let mut bytes = [0; N];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// Reads a count or length and holds it against `limit`.
    pub(crate) fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, GgufError> {
        let offset = self.position;
        let found = self.u64(what)?;
        if found > limit {
            return Err(GgufError::OverLimit { what, offset, found, limit });
        }
        Ok(found)
    }

    /// Replaces `buffer` by the next `len` bytes. The buffer grows with the bytes that arrive.
    pub(crate) fn bytes(
        &mut self,
        what: &'static str,
        len: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<(), GgufError> {
        self.require(what, len)?;
        buffer.clear();
        let mut left = len;
        while left > 0 {
            let chunk = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
            let filled = buffer.len();
            buffer.resize(filled + chunk, 0);
            self.fill(what, &mut buffer[filled..])?;
            left -= chunk as u64;
        }
        Ok(())
    }

    /// Reads a length and that many bytes of text into `buffer`, and returns them as text.
    pub(crate) fn text<'b>(
        &mut self,
        what: &'static str,
        bytes_max: u64,
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b str, GgufError> {
        let len = self.count(what, bytes_max)?;
        let offset = self.position;
        self.bytes(what, len, buffer)?;
        std::str::from_utf8(buffer).map_err(|source| GgufError::NotUtf8 { what, offset, source })
    }

    fn fill(&mut self, what: &'static str, into: &mut [u8]) -> Result<(), GgufError> {
        let mut filled = 0;
        while filled < into.len() {
            let offset = self.position;
            match self.reader.read(&mut into[filled..]) {
                Ok(0) => {
                    return Err(GgufError::Truncated {
                        what,
                        offset,
                        needed_bytes: (into.len() - filled) as u64,
                        available_bytes: 0,
                    });
                }
                Ok(read) => {
                    filled += read;
                    self.position += read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(GgufError::Io { offset, source }),
            }
        }
        Ok(())
    }
}
