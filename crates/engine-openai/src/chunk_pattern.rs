use adapter_host::Channel;
use prefetch::Lines;

/// What the chunks of one answer have in common: engines repeat everything but the text. A chunk that is the
/// same around its text, and whose text has nothing to unescape, says the same as the one that the pattern
/// was taken from, but for the text: it need not be read as JSON again.
#[derive(Debug)]
pub(crate) struct ChunkPattern {
    /// What stands before the text, and behind it from `text_at` on: one run of bytes, which is read at each
    /// token.
    around: Box<[u8]>,
    text_at: usize,
    pub(crate) choice: u16,
    pub(crate) channel: Channel,
}

impl ChunkPattern {
    /// The pattern of a chunk that says `text`, a part of `data`, and nothing else. `None` where `text` is no
    /// part of it.
    pub(crate) fn of(data: &[u8], text: &str, choice: u16, channel: Channel) -> Option<Self> {
        let start = (text.as_ptr() as usize).checked_sub(data.as_ptr() as usize)?;
        let end = start.checked_add(text.len()).filter(|end| *end <= data.len())?;
        let (before, behind) = (&data[..start], &data[end..]);
        let is_quoted = before.ends_with(b"\"") && behind.starts_with(b"\"");
        is_quoted.then(|| Self {
            around: [before, behind].concat().into(),
            text_at: start,
            choice,
            channel,
        })
    }

    /// What each comparison reads.
    pub(crate) fn lines(&self) -> Lines {
        Lines::of(&*self.around)
    }

    /// The text of a chunk of this pattern.
    pub(crate) fn text_of<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        let (before, behind) = self.around.split_at(self.text_at);
        let text = data.strip_prefix(before)?.strip_suffix(behind)?;
        // Without a branch for each byte.
        let (mut is_plain, mut is_ascii) = (true, true);
        for byte in text {
            is_plain &= !matches!(byte, b'"' | b'\\' | ..b' ');
            is_ascii &= byte.is_ascii();
        }
        let is_text = is_plain && (is_ascii || std::str::from_utf8(text).is_ok());
        is_text.then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(text: &str) -> Vec<u8> {
        format!(r#"{{"a":"b","choices":[{{"delta":{{"content":"{text}"}}}}]}}"#).into()
    }

    fn pattern() -> ChunkPattern {
        let data = chunk("x");
        let at = data.windows(3).position(|bytes| bytes == b"\"x\"").unwrap() + 1;
        let text = std::str::from_utf8(&data[at..=at]).unwrap();
        ChunkPattern::of(&data, text, 0, Channel::Content).unwrap()
    }

    #[test]
    fn only_plain_text_between_the_same_bytes_is_taken() {
        let pattern = pattern();
        assert_eq!(pattern.text_of(&chunk(" two")).unwrap(), b" two");
        assert_eq!(pattern.text_of(&chunk("")).unwrap(), b"");
        for other in [chunk("\\n"), chunk("\",\"x\":\""), chunk("\n"), b"{}".to_vec()] {
            assert_eq!(pattern.text_of(&other), None, "{other:?}");
        }
        let mut cut = chunk("é");
        cut.remove(chunk("").windows(2).position(|bytes| bytes == b"\"\"").unwrap() + 1);
        assert_eq!(pattern.text_of(&cut), None);
    }

    #[test]
    fn a_text_from_elsewhere_makes_no_pattern() {
        assert!(ChunkPattern::of(&chunk("x"), "x", 0, Channel::Content).is_none());
    }

    proptest! {
        #[test]
        fn what_is_taken_is_what_json_says(text in any::<String>(), raw in "[a-z\"\\\\{}:,é\n]{0,12}") {
            let escaped = serde_json::to_string(&text).unwrap();
            for inner in [&escaped[1..escaped.len() - 1], &raw] {
                let data = chunk(inner);
                if let Some(taken) = pattern().text_of(&data) {
                    let json: serde_json::Value = serde_json::from_slice(&data).unwrap();
                    let said = json["choices"][0]["delta"]["content"].as_str().unwrap();
                    prop_assert_eq!(taken, said.as_bytes());
                    prop_assert_eq!(&chunk(said), &data);
                }
            }
        }
    }
}
