use crate::answer_head::NotHttp;

/// Longest line before a chunk, and longest trailers, that are read, in bytes.
const LINE_BYTES_MAX: usize = 8 << 10;

/// Where the body of an answer ends, and what of it is left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// So many bytes are left.
    Length(u64),
    Chunked(Chunk),
    /// It goes on until the connection ends.
    UntilClosed,
}

/// What comes next in a body of chunks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// The line with a chunk's size.
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The line end behind a chunk.
    End,
    /// Fields behind the last chunk, of which so many bytes were passed over.
    Trailers(usize),
    Over,
}

impl BodyFraming {
    pub(crate) fn of_length(length_bytes: u64) -> Self {
        Self::Length(length_bytes)
    }

    pub(crate) fn chunked() -> Self {
        Self::Chunked(Chunk::Size)
    }

    /// Takes the next part of the body from the start of `read`; `None` where the body is over, or more has
    /// to be read before.
    ///
    /// # Errors
    /// What is there is not such a body.
    pub(crate) fn take<'a>(&mut self, read: &mut &'a [u8]) -> Result<Option<&'a [u8]>, NotHttp> {
        match self {
            Self::Length(left) => Ok(take_at_most(left, read)),
            Self::Chunked(chunk) => chunk.take(read),
            Self::UntilClosed => Ok(Some(std::mem::take(read)).filter(|part| !part.is_empty())),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Over))
    }

    /// Whether the body is whole where the connection ends here.
    pub(crate) fn is_whole_at_end(&self) -> bool {
        self.is_over() || *self == Self::UntilClosed
    }
}

impl Chunk {
    fn take<'a>(&mut self, read: &mut &'a [u8]) -> Result<Option<&'a [u8]>, NotHttp> {
        loop {
            match self {
                Self::Size => match httparse::parse_chunk_size(read) {
                    Ok(httparse::Status::Complete((line_bytes, size))) => {
                        *read = &read[line_bytes..];
                        *self = if size == 0 { Self::Trailers(0) } else { Self::Data(size) };
                    }
                    Ok(httparse::Status::Partial) if read.len() <= LINE_BYTES_MAX => {
                        return Ok(None);
                    }
                    _ => return Err(NotHttp::Chunk),
                },
                Self::Data(left) => {
                    let data = take_at_most(left, read);
                    if *left == 0 {
                        *self = Self::End;
                        // Mostly it came with the data, and nothing is left to be kept then.
                        if let Some(behind) = read.strip_prefix(b"\r\n") {
                            *read = behind;
                            *self = Self::Size;
                        }
                    }
                    return Ok(data);
                }
                Self::End => match read.first_chunk() {
                    Some(b"\r\n") => {
                        *read = &read[2..];
                        *self = Self::Size;
                    }
                    Some(_) => return Err(NotHttp::Chunk),
                    None => return Ok(None),
                },
                Self::Trailers(passed) => {
                    let line_bytes = read.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
                    *passed += line_bytes.unwrap_or_default();
                    if *passed + line_bytes.map_or(read.len(), |_| 0) > LINE_BYTES_MAX {
                        return Err(NotHttp::Chunk);
                    }
                    let Some(line_bytes) = line_bytes else { return Ok(None) };
                    if matches!(&read[..line_bytes], b"\r\n" | b"\n") {
                        *self = Self::Over;
                    }
                    *read = &read[line_bytes..];
                }
                Self::Over => return Ok(None),
            }
        }
    }
}

fn take_at_most<'a>(left: &mut u64, read: &mut &'a [u8]) -> Option<&'a [u8]> {
    let bytes = usize::try_from(*left).map_or(read.len(), |left| left.min(read.len()));
    *left -= bytes as u64;
    let (part, behind) = read.split_at(bytes);
    *read = behind;
    (bytes > 0).then_some(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body that arrives in `pieces`, whether it is over, and what stands behind it.
    fn read(
        mut framing: BodyFraming,
        pieces: &[&[u8]],
    ) -> Result<(Vec<u8>, bool, Vec<u8>), NotHttp> {
        let (mut read, mut body) = (Vec::new(), Vec::new());
        for piece in pieces {
            read.extend_from_slice(piece);
            let mut left = &read[..];
            while let Some(part) = framing.take(&mut left)? {
                assert!(!part.is_empty());
                body.extend_from_slice(part);
            }
            read = left.to_vec();
        }
        Ok((body, framing.is_over(), read))
    }

    #[test]
    fn chunks_are_joined_and_what_surrounds_them_is_dropped() {
        let text = b"3;name=\"x\"\r\nabc\r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nbehind";
        let (body, is_over, behind) = read(BodyFraming::chunked(), &[text]).unwrap();
        assert_eq!(
            (&body[..], is_over, &behind[..]),
            (&b"abc0123456789"[..], true, &b"behind"[..])
        );
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for text in ["x\r\n", "3\r\nabcd\r\n", "3\r\nabc\n\n0", "-1\r\n", "11111111111111111\r\n"] {
            assert_eq!(
                read(BodyFraming::chunked(), &[text.as_bytes()]),
                Err(NotHttp::Chunk),
                "{text}"
            );
        }
        let line = [b"3;".as_slice(), &[b'x'; LINE_BYTES_MAX]].concat();
        assert_eq!(read(BodyFraming::chunked(), &[&line]), Err(NotHttp::Chunk));
        let trailers = [b"0\r\n".as_slice(), &b"a: b\r\n".repeat(LINE_BYTES_MAX / 5)].concat();
        assert_eq!(read(BodyFraming::chunked(), &[&trailers]), Err(NotHttp::Chunk));
        let trailer = [b"0\r\na: ".as_slice(), &[b'x'; LINE_BYTES_MAX]].concat();
        assert_eq!(read(BodyFraming::chunked(), &[&trailer]), Err(NotHttp::Chunk));
    }

    #[test]
    fn a_body_that_is_cut_off_is_not_taken_for_whole() {
        assert!(!BodyFraming::of_length(1).is_whole_at_end());
        assert!(!BodyFraming::chunked().is_whole_at_end());
        assert!(BodyFraming::UntilClosed.is_whole_at_end());
        assert!(BodyFraming::of_length(0).is_whole_at_end());
        let mut framing = BodyFraming::chunked();
        let mut bytes = &b"3\r\nabc\r\n0\r\n"[..];
        while framing.take(&mut bytes).unwrap().is_some() {}
        assert!(!framing.is_whole_at_end());
    }

    proptest! {
        #[test]
        fn however_a_body_is_cut_the_same_is_read(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                text.extend_from_slice(chunk);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let whole = chunks.concat();
            for (framing, text) in [
                (BodyFraming::chunked(), text),
                (BodyFraming::of_length(whole.len() as u64), whole.clone()),
            ] {
                let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
                ends.push(text.len());
                ends.sort_unstable();
                let mut start = 0;
                let pieces: Vec<_> = ends
                    .iter()
                    .map(|end| &text[std::mem::replace(&mut start, *end)..*end])
                    .collect();
                prop_assert_eq!(read(framing, &pieces).unwrap(), (whole.clone(), true, Vec::new()));
            }
        }
    }
}
