use crate::clock::wall_ns;

/// Digits of a stamp: nanoseconds since 1970, as the scripted engine writes them between two `@`.
const DIGITS: usize = 20;
const MARK: u8 = b'@';

/// Finds stamps in a stream of bytes, wherever the stream is cut.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// What began and may still become a stamp.
    rest: Vec<u8>,
}

impl Scanner {
    /// Calls `found` with the age of each stamp in `bytes`, in nanoseconds.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut found: impl FnMut(u64)) {
        self.rest.extend_from_slice(bytes);
        let now_ns = wall_ns();
        let mut from = 0;
        while let Some(place) = self.rest[from..].iter().position(|byte| *byte == MARK) {
            let start = from + place;
            let Some(candidate) = self.rest.get(start + 1..start + 2 + DIGITS) else {
                self.rest.drain(..start);
                return;
            };
            match stamp(candidate) {
                Some(stamp_ns) => {
                    found(now_ns.saturating_sub(stamp_ns));
                    from = start + 2 + DIGITS;
                }
                None => from = start + 1,
            }
        }
        self.rest.clear();
    }
}

/// The number before the closing mark.
fn stamp(candidate: &[u8]) -> Option<u64> {
    let digits = candidate.strip_suffix(&[MARK])?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Scanner;

    /// A stamp is found wherever the stream is cut, and nothing else is.
    #[test]
    fn a_stamp_is_found_wherever_the_stream_is_cut() {
        let text =
            b"x@y data: {\"a\":\"@00000000000000000007@\"}\n\n@short@ @00000000000000000009@";
        for cut in 0..=text.len() {
            let mut scanner = Scanner::default();
            let mut count = 0;
            scanner.feed(&text[..cut], |_| count += 1);
            scanner.feed(&text[cut..], |_| count += 1);
            assert_eq!(count, 2, "cut at {cut}");
        }
    }
}
