use adapter_host::{Channel, Finish, FinishReason, Output};
use bytes::{Buf as _, Bytes};

/// One entry of a task's generation log: what an engine said, before any of it became text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    /// Accepted output.
    Output(Output),
    /// What the engine needs again for equal arithmetic, as JSON.
    Settings(Bytes),
    /// The engine was done; nothing follows.
    Finished(Finish),
}

const OUTPUT: u8 = 1;
const SETTINGS: u8 = 2;
const FINISHED: u8 = 3;

/// Adds an output to a frame's generation part.
///
/// Layout: kind, channel, then as LEB128 numbers: choice, id + 1 or 0, tokens + 1 or 0, length; then
/// the bytes.
pub(crate) fn write_output(out: &mut Vec<u8>, output: &Output) {
    out.push(OUTPUT);
    out.push(match output.channel {
        Channel::Content => 0,
        Channel::Reasoning => 1,
        Channel::Tool => 2,
    });
    write_number(out, u64::from(output.choice));
    write_optional(out, output.id);
    write_optional(out, output.tokens);
    write_number(out, output.bytes.len() as u64);
    out.extend_from_slice(&output.bytes);
}

/// Adds an engine's settings to a frame's generation part.
pub(crate) fn write_settings(out: &mut Vec<u8>, json: &[u8]) {
    out.push(SETTINGS);
    write_number(out, json.len() as u64);
    out.extend_from_slice(json);
}

/// Adds the engine's end to a frame's generation part.
pub(crate) fn write_finished(out: &mut Vec<u8>, finish: &Finish) {
    out.push(FINISHED);
    out.push(match finish.reason {
        FinishReason::Stop => 0,
        FinishReason::Length => 1,
        FinishReason::ToolCalls => 2,
        FinishReason::ContentFilter => 3,
    });
    write_optional(out, finish.prompt_tokens);
    write_optional(out, finish.output_tokens);
}

/// The generation part of a frame is not what was written: a mistake of this program or a damage that no
/// checksum saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the generation log of the task cannot be read; its event log was written by another version"
)]
pub(crate) struct Unreadable;

/// Reads a frame's generation part.
pub(crate) fn read_entries(mut bytes: Bytes, entries: &mut Vec<Entry>) -> Result<(), Unreadable> {
    while bytes.has_remaining() {
        let entry = match bytes.get_u8() {
            OUTPUT => Entry::Output(read_output(&mut bytes)?),
            SETTINGS => Entry::Settings(read_bytes(&mut bytes)?),
            FINISHED => Entry::Finished(read_finish(&mut bytes)?),
            _ => return Err(Unreadable),
        };
        entries.push(entry);
    }
    Ok(())
}

fn read_output(bytes: &mut Bytes) -> Result<Output, Unreadable> {
    let channel = match bytes.try_get_u8().map_err(|_short| Unreadable)? {
        0 => Channel::Content,
        1 => Channel::Reasoning,
        2 => Channel::Tool,
        _ => return Err(Unreadable),
    };
    let choice = u16::try_from(read_number(bytes)?).map_err(|_large| Unreadable)?;
    let id = read_optional(bytes)?;
    let tokens = read_optional(bytes)?;
    Ok(Output { choice, channel, id, tokens, bytes: read_bytes(bytes)? })
}

fn read_finish(bytes: &mut Bytes) -> Result<Finish, Unreadable> {
    let reason = match bytes.try_get_u8().map_err(|_short| Unreadable)? {
        0 => FinishReason::Stop,
        1 => FinishReason::Length,
        2 => FinishReason::ToolCalls,
        3 => FinishReason::ContentFilter,
        _ => return Err(Unreadable),
    };
    Ok(Finish {
        reason,
        prompt_tokens: read_optional(bytes)?,
        output_tokens: read_optional(bytes)?,
    })
}

fn write_optional(out: &mut Vec<u8>, value: Option<u32>) {
    write_number(out, value.map_or(0, |value| u64::from(value) + 1));
}

fn read_optional(bytes: &mut Bytes) -> Result<Option<u32>, Unreadable> {
    let number = read_number(bytes)?;
    let value = number.checked_sub(1).map(u32::try_from);
    value.transpose().map_err(|_large| Unreadable)
}

fn read_bytes(bytes: &mut Bytes) -> Result<Bytes, Unreadable> {
    let len = usize::try_from(read_number(bytes)?).map_err(|_large| Unreadable)?;
    if len > bytes.remaining() {
        return Err(Unreadable);
    }
    Ok(bytes.split_to(len))
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("below 0x80"));
}

fn read_number(bytes: &mut Bytes) -> Result<u64, Unreadable> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().map_err(|_short| Unreadable)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Unreadable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outputs() -> impl Strategy<Value = Vec<Output>> {
        let channel =
            prop::sample::select(vec![Channel::Content, Channel::Reasoning, Channel::Tool]);
        let bytes = prop::collection::vec(any::<u8>(), 0..20);
        let output = (any::<u16>(), channel, any::<Option<u32>>(), any::<Option<u32>>(), bytes)
            .prop_map(|(choice, channel, id, tokens, bytes)| Output {
                choice,
                channel,
                id,
                tokens,
                bytes: bytes.into(),
            });
        prop::collection::vec(output, 0..8)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(outputs in outputs()) {
            let mut written = Vec::new();
            write_settings(&mut written, b"{\"threads\":2}");
            for output in &outputs {
                write_output(&mut written, output);
            }
            let finish = Finish {
                reason: FinishReason::Length,
                prompt_tokens: None,
                output_tokens: Some(u32::MAX),
            };
            write_finished(&mut written, &finish);
            let mut entries = Vec::new();
            read_entries(written.into(), &mut entries).unwrap();
            let mut expected = vec![Entry::Settings(Bytes::from_static(b"{\"threads\":2}"))];
            expected.extend(outputs.into_iter().map(Entry::Output));
            expected.push(Entry::Finished(finish));
            prop_assert_eq!(entries, expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut entries = Vec::new();
            let _ = read_entries(bytes.into(), &mut entries);
        }
    }
}
