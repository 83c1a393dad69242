use adapter_host::{Channel, Finish, FinishReason, Output, ToolCallPart};
use bytes::{Buf as _, Bytes};

/// One entry of a task's generation log: what an engine said, before any of it became text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    /// Accepted output.
    Output(Output),
    /// What the engine needs again for equal arithmetic, as JSON.
    Settings(Bytes),
    /// What the work gave where that is no text, as JSON.
    Result(Bytes),
    /// The engine was done; nothing follows.
    Finished(Finish),
}

const OUTPUT: u8 = 1;
const SETTINGS: u8 = 2;
const FINISHED: u8 = 3;
/// An output that is part of a tool call, or has log probabilities.
const RICH_OUTPUT: u8 = 4;
/// The end of several answers.
const ALL_FINISHED: u8 = 5;
const RESULT: u8 = 6;

/// Adds an output to a frame's generation part.
///
/// Layout: kind, channel, then as LEB128 numbers: choice, id + 1 or 0, tokens + 1 or 0, length; then
/// the bytes. A rich output goes on with: 0, or 1, the call's index, its id and its name; then the log
/// probabilities; each of the last three with its length + 1 before it, or 0 where there is none.
pub(crate) fn write_output(out: &mut Vec<u8>, output: &Output) {
    let is_rich = output.tool.is_some() || output.logprobs.is_some();
    out.push(if is_rich { RICH_OUTPUT } else { OUTPUT });
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
    if !is_rich {
        return;
    }
    write_number(out, output.tool.is_some().into());
    if let Some(tool) = &output.tool {
        write_number(out, tool.index.into());
        write_optional_bytes(out, tool.id.as_deref().map(str::as_bytes));
        write_optional_bytes(out, tool.name.as_deref().map(str::as_bytes));
    }
    write_optional_bytes(out, output.logprobs.as_deref());
}

/// Adds an engine's settings to a frame's generation part.
pub(crate) fn write_settings(out: &mut Vec<u8>, json: &[u8]) {
    out.push(SETTINGS);
    write_number(out, json.len() as u64);
    out.extend_from_slice(json);
}

/// Adds a result to a frame's generation part.
pub(crate) fn write_result(out: &mut Vec<u8>, json: &[u8]) {
    out.push(RESULT);
    write_number(out, json.len() as u64);
    out.extend_from_slice(json);
}

/// Adds the engine's end to a frame's generation part.
pub(crate) fn write_finished(out: &mut Vec<u8>, finish: &Finish) {
    out.push(if finish.further.is_empty() { FINISHED } else { ALL_FINISHED });
    out.push(reason_byte(finish.reason));
    write_optional(out, finish.prompt_tokens);
    write_optional(out, finish.output_tokens);
    if !finish.further.is_empty() {
        write_number(out, finish.further.len() as u64);
        out.extend(finish.further.iter().map(|reason| reason_byte(*reason)));
    }
}

fn reason_byte(reason: FinishReason) -> u8 {
    match reason {
        FinishReason::Stop => 0,
        FinishReason::Length => 1,
        FinishReason::ToolCalls => 2,
        FinishReason::ContentFilter => 3,
    }
}

fn read_reason(bytes: &mut Bytes) -> Result<FinishReason, Unreadable> {
    match bytes.try_get_u8().map_err(|_short| Unreadable)? {
        0 => Ok(FinishReason::Stop),
        1 => Ok(FinishReason::Length),
        2 => Ok(FinishReason::ToolCalls),
        3 => Ok(FinishReason::ContentFilter),
        _ => Err(Unreadable),
    }
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
            RICH_OUTPUT => Entry::Output(read_rich_output(&mut bytes)?),
            RESULT => Entry::Result(read_bytes(&mut bytes)?),
            SETTINGS => Entry::Settings(read_bytes(&mut bytes)?),
            FINISHED => Entry::Finished(read_finish(&mut bytes)?),
            ALL_FINISHED => Entry::Finished(read_all_finished(&mut bytes)?),
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
    let text = Output::text(id, tokens, read_bytes(bytes)?);
    Ok(Output { choice, channel, ..text })
}

fn read_rich_output(bytes: &mut Bytes) -> Result<Output, Unreadable> {
    let output = read_output(bytes)?;
    let tool = match read_number(bytes)? {
        0 => None,
        1 => Some(ToolCallPart {
            index: u32::try_from(read_number(bytes)?).map_err(|_large| Unreadable)?,
            id: read_optional_text(bytes)?,
            name: read_optional_text(bytes)?,
        }),
        _ => return Err(Unreadable),
    };
    Ok(Output { tool, logprobs: read_optional_bytes(bytes)?, ..output })
}

fn read_all_finished(bytes: &mut Bytes) -> Result<Finish, Unreadable> {
    let finish = read_finish(bytes)?;
    let count = read_number(bytes)?;
    let further = (0..count).map(|_| read_reason(bytes)).collect::<Result<_, _>>()?;
    Ok(Finish { further, ..finish })
}

fn read_finish(bytes: &mut Bytes) -> Result<Finish, Unreadable> {
    Ok(Finish {
        reason: read_reason(bytes)?,
        further: Vec::new(),
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

fn write_optional_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    write_number(out, bytes.map_or(0, |bytes| bytes.len() as u64 + 1));
    out.extend_from_slice(bytes.unwrap_or_default());
}

fn read_optional_bytes(bytes: &mut Bytes) -> Result<Option<Bytes>, Unreadable> {
    let Some(len) = read_number(bytes)?.checked_sub(1) else { return Ok(None) };
    let len = usize::try_from(len).map_err(|_large| Unreadable)?;
    if len > bytes.remaining() {
        return Err(Unreadable);
    }
    Ok(Some(bytes.split_to(len)))
}

fn read_optional_text(bytes: &mut Bytes) -> Result<Option<String>, Unreadable> {
    let text = read_optional_bytes(bytes)?.map(|text| String::from_utf8(text.into()));
    text.transpose().map_err(|_not_utf8| Unreadable)
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
        let tool = (any::<u32>(), any::<Option<String>>(), any::<Option<String>>())
            .prop_map(|(index, id, name)| ToolCallPart { index, id, name });
        let rich = (prop::option::of(tool), prop::option::of("[a-z]{0,9}"));
        let output =
            (any::<u16>(), channel, any::<Option<u32>>(), any::<Option<u32>>(), bytes, rich)
                .prop_map(|(choice, channel, id, tokens, bytes, (tool, logprobs))| Output {
                    choice,
                    channel,
                    id,
                    tokens,
                    bytes: bytes.into(),
                    tool,
                    logprobs: logprobs.map(Bytes::from),
                });
        prop::collection::vec(output, 0..8)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(outputs in outputs(), further in 0..3usize) {
            let mut written = Vec::new();
            write_settings(&mut written, b"{\"threads\":2}");
            for output in &outputs {
                write_output(&mut written, output);
            }
            let finish = Finish {
                reason: FinishReason::Length,
                further: vec![FinishReason::ToolCalls; further],
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
