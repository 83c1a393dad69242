use orchestrator::{Frame, FrameKind};
use orchestrator_core::TaskId;
use uuid::Uuid;

/// Length of a record's header.
pub(crate) const HEADER_BYTES: usize = HEADER_BYTES_U32 as usize;
pub(crate) const HEADER_BYTES_U32: u32 = 52;
/// A record longer than this, in bytes, is refused; one `write` on Linux takes a little less than 2 GiB.
const RECORD_BYTES_MAX: usize = 1 << 30;
/// Where the kind stands in the header.
pub(crate) const KIND_AT: usize = 44;
/// Where the checksum over kind and content stands in the header; the content follows it.
pub(crate) const CONTENT_SUM_AT: usize = 48;

/// What a record is for. The values are far apart, so that a flipped bit makes no other kind of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordKind {
    Frame(FrameKind),
    /// Its content is gone for good.
    Erased,
}

impl RecordKind {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Frame(FrameKind::Output) => b'O',
            Self::Frame(FrameKind::Replayed) => b'R',
            Self::Erased => 0xE5,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'O' => Some(Self::Frame(FrameKind::Output)),
            b'R' => Some(Self::Frame(FrameKind::Replayed)),
            0xE5 => Some(Self::Erased),
            _ => None,
        }
    }
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: RecordKind,
    pub(crate) task: TaskId,
    pub(crate) attempt: u32,
    pub(crate) first_event: u64,
    pub(crate) event_count: u32,
    /// What follows the header.
    pub(crate) content_bytes: u32,
    /// How much of that is what the engine gave.
    pub(crate) generation_bytes: u32,
    /// Checksum over kind and content.
    pub(crate) content_sum: u32,
}

impl Header {
    /// The header of a frame; `None` where the frame is too long for one.
    pub(crate) fn of(frame: &Frame<'_>) -> Option<Self> {
        let content_bytes = frame.generation.len().checked_add(frame.events.len())?;
        if content_bytes > RECORD_BYTES_MAX - HEADER_BYTES {
            return None;
        }
        let kind = RecordKind::Frame(frame.kind);
        Some(Self {
            kind,
            task: frame.task,
            attempt: frame.attempt,
            first_event: frame.first_event,
            event_count: frame.event_count,
            content_bytes: u32::try_from(content_bytes).ok()?,
            generation_bytes: u32::try_from(frame.generation.len()).ok()?,
            content_sum: content_sum(kind, &[frame.generation, frame.events]),
        })
    }

    /// An erased record that takes the place of `record_bytes` damaged ones.
    pub(crate) fn filler(record_bytes: u32) -> Self {
        Self {
            kind: RecordKind::Erased,
            task: TaskId(Uuid::nil()),
            attempt: 0,
            first_event: 0,
            event_count: 0,
            content_bytes: record_bytes.saturating_sub(HEADER_BYTES_U32),
            generation_bytes: 0,
            content_sum: 0,
        }
    }

    /// Length of the record, header and content.
    pub(crate) fn record_bytes(&self) -> u32 {
        HEADER_BYTES_U32 + self.content_bytes
    }

    /// The header as it stands at `offset` of `segment`.
    pub(crate) fn encode(&self, segment: u64, offset: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[4..8].copy_from_slice(&self.content_bytes.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.generation_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.attempt.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.event_count.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.first_event.to_le_bytes());
        bytes[28..KIND_AT].copy_from_slice(self.task.0.as_bytes());
        bytes[KIND_AT] = self.kind.byte();
        bytes[CONTENT_SUM_AT..].copy_from_slice(&self.content_sum.to_le_bytes());
        let sum = header_sum(segment, offset, &bytes);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header that stands in `bytes`, which begin at `offset` of `segment`; `None` where none does.
    /// The content is not looked at.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES], segment: u64, offset: u64) -> Option<Self> {
        let kind = RecordKind::from_byte(bytes[KIND_AT])?;
        if u32_at(bytes, 0) != header_sum(segment, offset, bytes) {
            return None;
        }
        let header = Self {
            kind,
            task: TaskId(Uuid::from_bytes(array_at(bytes, 28))),
            attempt: u32_at(bytes, 12),
            first_event: u64::from_le_bytes(array_at(bytes, 20)),
            event_count: u32_at(bytes, 16),
            content_bytes: u32_at(bytes, 4),
            generation_bytes: u32_at(bytes, 8),
            content_sum: u32_at(bytes, CONTENT_SUM_AT),
        };
        let fits = header.content_bytes.checked_add(HEADER_BYTES_U32).is_some();
        (fits && header.generation_bytes <= header.content_bytes).then_some(header)
    }

    /// Whether `content` is what was written; an erased record's has no checksum.
    pub(crate) fn fits(&self, content: &[u8]) -> bool {
        self.kind == RecordKind::Erased || content_sum(self.kind, &[content]) == self.content_sum
    }
}

fn header_sum(segment: u64, offset: u64, bytes: &[u8; HEADER_BYTES]) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&segment.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&place);
    sum.update(&bytes[4..KIND_AT]);
    sum.finalize()
}

fn content_sum(kind: RecordKind, parts: &[&[u8]]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&[kind.byte()]);
    for part in parts {
        sum.update(part);
    }
    sum.finalize()
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the fields lie inside of the header")
}
