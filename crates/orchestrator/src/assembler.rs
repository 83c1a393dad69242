use std::collections::VecDeque;

use adapter_host::{Channel, Output, ToolCallPart};
use bytes::Bytes;

/// Makes text of the bytes of one answer: whole UTF-8 sequences, nothing of a stop string, and every token
/// counted in the piece that releases its last byte.
///
/// Equal outputs give equal pieces, however they were batched, so that a restart can make the numbered
/// events again from the generation log.
#[derive(Debug, Clone)]
pub(crate) struct Assembler {
    choice: u16,
    stops: Vec<Vec<u8>>,
    stop_bytes_max: usize,
    channel: Channel,
    /// Bytes accepted and not released.
    held: Vec<u8>,
    /// Bytes released or dropped since the start of the channel's run.
    released: u64,
    /// What was accepted and is not counted yet.
    uncounted: VecDeque<Uncounted>,
    /// Tokens counted, or chunks where the engine does not count tokens.
    next_index: u64,
    /// Whether some chunk came without a token count.
    uncountable: bool,
    stopped: bool,
}

/// Tokens that wait for the release of their last byte.
#[derive(Debug, Clone)]
struct Uncounted {
    /// End offset of their bytes.
    end: u64,
    tokens: u32,
    logprobs: Option<Bytes>,
}

/// Text to be shown as one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) index: u64,
    /// `None` where the engine's chunks are not tokens.
    pub(crate) tokens: Option<u32>,
    pub(crate) text: String,
    pub(crate) channel: Channel,
    pub(crate) choice: u16,
    pub(crate) tool: Option<ToolCallPart>,
    /// JSON lists of log probabilities, to be joined.
    pub(crate) logprobs: Vec<Bytes>,
}

impl Piece {
    /// Takes in the piece that follows, to be shown with this one. It is given back where they must not
    /// share an event: of different answers, channels or tool calls, or without a count of tokens.
    pub(crate) fn join(&mut self, next: Self) -> Option<Self> {
        let goes_on = self.choice == next.choice
            && self.channel == next.channel
            && match (&self.tool, &next.tool) {
                (None, None) => true,
                (Some(tool), Some(next)) => {
                    tool.index == next.index && next.id.is_none() && next.name.is_none()
                }
                _ => false,
            };
        match (&mut self.tokens, next.tokens) {
            (Some(tokens), Some(more)) if goes_on => {
                *tokens += more;
                self.text.push_str(&next.text);
                self.logprobs.extend(next.logprobs);
                None
            }
            _ => Some(next),
        }
    }
}

impl Assembler {
    pub(crate) fn new(choice: u16, stops: &[String]) -> Self {
        Self {
            choice,
            stops: stops.iter().map(|stop| stop.clone().into_bytes()).collect(),
            stop_bytes_max: stops.iter().map(String::len).max().unwrap_or(0),
            channel: Channel::Content,
            held: Vec::new(),
            released: 0,
            uncounted: VecDeque::new(),
            next_index: 0,
            uncountable: false,
            stopped: false,
        }
    }

    /// Whether a stop string was met: nothing more is accepted.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Tokens shown so far; `None` where they could not be counted.
    pub(crate) fn tokens_shown(&self) -> Option<u64> {
        (!self.uncountable).then_some(self.next_index)
    }

    /// Takes an output in, and gives what can be shown now.
    pub(crate) fn push(&mut self, output: &Output, pieces: &mut Vec<Piece>) {
        if self.stopped {
            return;
        }
        if output.channel != self.channel {
            self.flush(pieces);
            self.channel = output.channel;
        }
        if output.channel == Channel::Tool {
            return self.show_tool(output, pieces);
        }
        let matches_stops = self.channel == Channel::Content && !self.stops.is_empty();
        if !matches_stops
            && self.held.is_empty()
            && self.uncounted.is_empty()
            && let Ok(text) = std::str::from_utf8(&output.bytes)
            && !text.is_empty()
        {
            // Nearly every token of nearly every answer: nothing is held before it, and nothing of it.
            self.released += text.len() as u64;
            self.uncountable |= output.tokens.is_none();
            let logprobs = output.logprobs.clone().into_iter().collect();
            let tokens = output.tokens.unwrap_or(1);
            return self.put(text.to_owned(), tokens, None, logprobs, pieces);
        }
        self.held.extend_from_slice(&output.bytes);
        let end = self.released + self.held.len() as u64;
        if output.tokens.is_none() {
            self.uncountable = true;
        }
        let (tokens, logprobs) = (output.tokens.unwrap_or(1), output.logprobs.clone());
        self.uncounted.push_back(Uncounted { end, tokens, logprobs });
        if matches_stops && let Some(at) = self.find_stop() {
            self.held.truncate(at);
            self.stopped = true;
            let text = self.take_text(at);
            self.held.clear();
            if !text.is_empty() {
                self.emit(text, pieces);
            }
            return;
        }
        let limit = self.held.len() - if matches_stops { self.stop_prefix_bytes() } else { 0 };
        let text = self.take_text(limit);
        if !text.is_empty() {
            self.emit(text, pieces);
        }
    }

    /// The engine is done: what was held back for a stop string or a missing token is shown; bytes of a
    /// sequence that was never finished are not text and are dropped.
    pub(crate) fn finish(&mut self, pieces: &mut Vec<Piece>) {
        if !self.stopped {
            self.flush(pieces);
        }
    }

    fn flush(&mut self, pieces: &mut Vec<Piece>) {
        let text = self.take_text(self.held.len());
        self.released += self.held.len() as u64;
        self.held.clear();
        if !text.is_empty() || !self.uncounted.is_empty() {
            self.emit(text, pieces);
        }
    }

    /// Parts of tool calls are whole characters, and are never matched against stop strings.
    fn show_tool(&mut self, output: &Output, pieces: &mut Vec<Piece>) {
        self.uncountable |= output.tokens.is_none();
        let text = String::from_utf8_lossy(&output.bytes).into_owned();
        let logprobs = output.logprobs.clone().into_iter().collect();
        self.put(text, output.tokens.unwrap_or(1), output.tool.clone(), logprobs, pieces);
    }

    fn emit(&mut self, text: String, pieces: &mut Vec<Piece>) {
        let mut tokens = 0;
        let mut logprobs = Vec::new();
        while let Some(first) = self.uncounted.pop_front_if(|first| first.end <= self.released) {
            tokens += first.tokens;
            logprobs.extend(first.logprobs);
        }
        self.put(text, tokens, None, logprobs, pieces);
    }

    fn put(
        &mut self,
        text: String,
        tokens: u32,
        tool: Option<ToolCallPart>,
        logprobs: Vec<Bytes>,
        pieces: &mut Vec<Piece>,
    ) {
        let index = self.next_index;
        self.next_index += u64::from(tokens);
        let tokens = (!self.uncountable).then_some(tokens);
        let (channel, choice) = (self.channel, self.choice);
        pieces.push(Piece { index, tokens, text, channel, choice, tool, logprobs });
    }

    /// Releases the valid UTF-8 in the first `limit` held bytes; an unfinished sequence at their end
    /// stays held, bytes that cannot be UTF-8 become U+FFFD.
    fn take_text(&mut self, limit: usize) -> String {
        let mut text = String::new();
        let mut taken = 0;
        while taken < limit {
            match std::str::from_utf8(&self.held[taken..limit]) {
                Ok(valid) => {
                    text.push_str(valid);
                    taken = limit;
                }
                Err(error) => {
                    let valid_end = taken + error.valid_up_to();
                    text.push_str(
                        std::str::from_utf8(&self.held[taken..valid_end]).expect("checked above"),
                    );
                    taken = valid_end;
                    let Some(invalid) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    taken += invalid;
                }
            }
        }
        self.held.drain(..taken);
        self.released += taken as u64;
        text
    }

    /// Where the first stop string starts in the held bytes.
    fn find_stop(&self) -> Option<usize> {
        self.stops
            .iter()
            .filter_map(|stop| self.held.windows(stop.len()).position(|window| window == stop))
            .min()
    }

    /// Length of the longest end of the held bytes with which a stop string begins.
    fn stop_prefix_bytes(&self) -> usize {
        let longest = self.held.len().min(self.stop_bytes_max.saturating_sub(1));
        (1..=longest)
            .rev()
            .find(|&len| {
                let end = &self.held[self.held.len() - len..];
                self.stops.iter().any(|stop| stop.len() > len && stop.starts_with(end))
            })
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(bytes: &[u8]) -> Output {
        Output::text(None, Some(1), Bytes::copy_from_slice(bytes))
    }

    fn assemble(stops: &[&str], tokens: &[&[u8]]) -> (Vec<(u64, Option<u32>, String)>, bool) {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut assembler = Assembler::new(0, &stops);
        let mut pieces = Vec::new();
        for bytes in tokens {
            assembler.push(&token(bytes), &mut pieces);
        }
        assembler.finish(&mut pieces);
        let shown =
            pieces.into_iter().map(|piece| (piece.index, piece.tokens, piece.text)).collect();
        (shown, assembler.is_stopped())
    }

    fn piece(index: u64, tokens: u32, text: &str) -> (u64, Option<u32>, String) {
        (index, Some(tokens), text.to_owned())
    }

    /// Verifies: ORCH-075
    #[test]
    fn an_emoji_in_four_tokens_is_one_event_of_four_tokens() {
        let emoji = "🦀".as_bytes();
        let tokens: [&[u8]; 6] = [b"a", &emoji[..1], &emoji[1..2], &emoji[2..3], &emoji[3..], b"b"];
        let (shown, stopped) = assemble(&[], &tokens);
        assert_eq!(shown, [piece(0, 1, "a"), piece(1, 4, "🦀"), piece(5, 1, "b")]);
        assert!(!stopped);
    }

    /// Verifies: ORCH-075, ORCH-104
    #[test]
    fn nothing_of_a_stop_string_is_shown_and_nothing_after_it_counted() {
        let (shown, stopped) = assemble(&["END"], &[b"one ", b"E", b"N", b"D", b" two"]);
        assert_eq!(shown, [piece(0, 1, "one ")]);
        assert!(stopped);
        let (shown, stopped) = assemble(&["END"], &[b"one E", b"Nd", b"."]);
        assert_eq!(shown, [piece(0, 0, "one "), piece(0, 2, "ENd"), piece(2, 1, ".")]);
        assert!(!stopped);
    }

    /// Verifies: ORCH-075
    #[test]
    fn what_was_held_back_for_a_stop_string_is_shown_at_the_end() {
        let (shown, stopped) = assemble(&["\n\n"], &[b"text\n"]);
        assert_eq!(shown, [piece(0, 0, "text"), piece(0, 1, "\n")]);
        assert!(!stopped);
    }

    #[test]
    fn bytes_that_are_no_utf8_never_reach_a_client() {
        let (shown, _) = assemble(&[], &[b"a\xffb", b"\xe2\x82"]);
        assert_eq!(shown, [piece(0, 1, "a\u{fffd}b"), piece(1, 1, "")]);
    }

    proptest! {
        /// Verifies: ORCH-075, ORCH-104
        #[test]
        fn however_the_bytes_are_cut_the_text_is_the_same(
            text in "[a-zé漢🦀\n]{0,40}",
            cuts in prop::collection::vec(0usize..200, 0..12),
            stop in prop::option::of("[a-zé漢🦀]{1,3}"),
        ) {
            let bytes = text.as_bytes();
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
            ends.push(bytes.len());
            ends.sort_unstable();
            let stops: Vec<&str> = stop.iter().map(String::as_str).collect();
            let mut tokens: Vec<&[u8]> = Vec::new();
            let mut start = 0;
            for end in ends {
                tokens.push(&bytes[start..end]);
                start = end;
            }
            let (shown, stopped) = assemble(&stops, &tokens);
            let whole: String = shown.iter().map(|piece| piece.2.as_str()).collect();
            let expected = stop.as_ref().and_then(|stop| text.find(stop.as_str()));
            prop_assert_eq!(stopped, expected.is_some());
            prop_assert_eq!(&whole, &text[..expected.unwrap_or(text.len())]);
            let mut index = 0;
            for (at, tokens, _) in &shown {
                prop_assert_eq!(*at, index);
                index += u64::from(tokens.unwrap());
            }
            if !stopped {
                prop_assert_eq!(index, tokens.len() as u64);
            }
        }
    }
}
