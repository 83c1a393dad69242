use adapter_host::{Channel, ToolCallPart};
use api_types::{EventKind, ToolDelta};
use bytes::Bytes;
use serde::Serialize;

use crate::assembler::Piece;

/// Adds an event with id as it goes over the wire. `data` never holds a line break: it is JSON.
pub(crate) fn write_event(out: &mut Vec<u8>, id: u64, name: &str, data: &[u8]) {
    sse::write_event(out, Some(id), Some(name), data);
}

/// Adds a `token` event, written by hand because it is the token path.
pub(crate) fn write_token(out: &mut Vec<u8>, id: u64, piece: &Piece) {
    out.extend_from_slice(b"id: ");
    write_json(out, &id);
    out.extend_from_slice(b"\nevent: token\ndata: {\"i\":");
    write_json(out, &piece.index);
    out.extend_from_slice(b",\"t\":");
    write_json(out, &piece.text);
    out.extend_from_slice(b",\"n\":");
    write_json(out, &piece.tokens);
    match piece.channel {
        Channel::Content => {}
        Channel::Reasoning => out.extend_from_slice(b",\"channel\":\"reasoning\""),
        Channel::Tool => out.extend_from_slice(b",\"channel\":\"tool\""),
    }
    if piece.choice > 0 {
        out.extend_from_slice(b",\"choice\":");
        write_json(out, &piece.choice);
    }
    if let Some(tool) = &piece.tool {
        write_delta(out, tool);
    }
    if !piece.logprobs.is_empty() {
        write_logprobs(out, &piece.logprobs);
    }
    out.extend_from_slice(b"}\n\n");
}

fn write_delta(out: &mut Vec<u8>, tool: &ToolCallPart) {
    let delta = ToolDelta { index: tool.index, id: tool.id.clone(), name: tool.name.clone() };
    out.extend_from_slice(b",\"delta\":");
    write_json(out, &delta);
}

/// Joins lists that are JSON already.
fn write_logprobs(out: &mut Vec<u8>, lists: &[Bytes]) {
    out.extend_from_slice(b",\"logprobs\":[");
    let start = out.len();
    for list in lists {
        let entries = list.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        let entries = entries.filter(|entries| !entries.is_empty());
        if entries.is_some() && out.len() > start {
            out.push(b',');
        }
        out.extend_from_slice(entries.unwrap_or_default());
    }
    out.push(b']');
}

/// Adds an event that carries no id.
pub(crate) fn write_unnumbered(out: &mut Vec<u8>, kind: EventKind, data: &impl Serialize) {
    let data = serde_json::to_vec(data).expect("wire types are JSON");
    sse::write_event(out, None, Some(kind.name()), &data);
}

/// Numbers and strings go past the machinery of formatting.
fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("wire types are JSON and memory takes it");
}

/// The part of a run of events that begins with the `skip`-th one.
pub(crate) fn skip_events(events: &bytes::Bytes, skip: usize) -> bytes::Bytes {
    let mut start = 0;
    for _ in 0..skip {
        let rest = &events[start..];
        let end = rest.windows(2).position(|pair| pair == b"\n\n").map_or(rest.len(), |at| at + 2);
        start += end;
    }
    events.slice(start..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: u64, piece: &Piece) -> String {
        let mut out = Vec::new();
        write_token(&mut out, id, piece);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_token_written_by_hand_is_the_wire_type() {
        let piece = Piece {
            index: 3,
            tokens: Some(1),
            text: "a \"quote\"\n\u{2028}🦀".to_owned(),
            channel: Channel::Content,
            choice: 0,
            tool: None,
            logprobs: Vec::new(),
        };
        let text = token(7, &piece);
        let data = text.strip_prefix("id: 7\nevent: token\ndata: ").unwrap();
        let event: api_types::TokenEvent = serde_json::from_str(data.trim_end()).unwrap();
        assert_eq!((event.i, event.n, event.channel.as_deref()), (3, Some(1), None));
        assert_eq!(event.t, piece.text);
        let reasoning = Piece { tokens: None, channel: Channel::Reasoning, ..piece };
        assert!(token(7, &reasoning).contains(r#","n":null,"channel":"reasoning"}"#));
    }

    /// Verifies: ORCH-075
    #[test]
    fn choices_calls_and_log_probabilities_are_the_wire_type() {
        let entry = |token: &str| {
            let list = serde_json::json!([{"token": token, "logprob": -1.5, "bytes": [1]}]);
            Bytes::from(list.to_string())
        };
        let piece = Piece {
            index: 3,
            tokens: Some(2),
            text: "{\"a".to_owned(),
            channel: Channel::Tool,
            choice: 2,
            tool: Some(ToolCallPart { index: 1, id: Some("c".to_owned()), name: None }),
            logprobs: vec![entry("x"), Bytes::from_static(b"[]"), entry("\"y")],
        };
        let text = token(7, &piece);
        let data = text.strip_prefix("id: 7\nevent: token\ndata: ").unwrap();
        let event: api_types::TokenEvent = serde_json::from_str(data.trim_end()).unwrap();
        assert_eq!((event.choice, event.channel.as_deref()), (Some(2), Some("tool")));
        let delta = event.delta.unwrap();
        assert_eq!((delta.index, delta.id.as_deref(), delta.name), (1, Some("c"), None));
        let logprobs = event.logprobs.unwrap();
        let tokens: Vec<_> = logprobs.iter().map(|entry| entry.token.as_str()).collect();
        assert_eq!(tokens, ["x", "\"y"]);
    }

    #[test]
    fn events_are_skipped_whole() {
        let mut out = Vec::new();
        for id in 1..=3 {
            write_event(&mut out, id, "token", b"{}");
        }
        let rest = skip_events(&out.into(), 2);
        assert_eq!(rest, "id: 3\nevent: token\ndata: {}\n\n");
        assert!(skip_events(&rest, 1).is_empty());
    }
}
