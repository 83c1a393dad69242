use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;
use prefetch::Lines;

/// The newest of the bytes that were ever appended, as many as there is room for.
///
/// What is handed out is copied: events are short, and a reference count that each of them shares with others
/// costs more than their bytes do.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    bytes: VecDeque<u8>,
    /// Bytes that were dropped from the front so far.
    dropped_bytes: u64,
    bytes_max: usize,
}

impl Ring {
    /// A ring of so many bytes; what was appended last is held even where that alone is longer.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// Appends bytes; the oldest for which there is no room then are dropped. Gives the number of bytes that
    /// were ever appended.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> u64 {
        let excess = (self.bytes.len() + bytes.len()).saturating_sub(self.bytes_max);
        let dropped = excess.min(self.bytes.len());
        self.bytes.drain(..dropped);
        self.dropped_bytes += dropped as u64;
        self.bytes.extend(bytes);
        self.dropped_bytes + self.bytes.len() as u64
    }

    /// The bytes between two such numbers, where all of them are held.
    pub(crate) fn get(&self, range: Range<u64>) -> Option<Bytes> {
        let place = |at: u64| usize::try_from(at.checked_sub(self.dropped_bytes)?).ok();
        let (start, end) = (place(range.start)?, place(range.end)?);
        if end > self.bytes.len() {
            return None;
        }
        let (front, back) = self.bytes.as_slices();
        Some(if let Some(bytes) = front.get(start..end) {
            Bytes::copy_from_slice(bytes)
        } else if let Some(start) = start.checked_sub(front.len()) {
            Bytes::copy_from_slice(&back[start..end - front.len()])
        } else {
            [&front[start..], &back[..end - front.len()]].concat().into()
        })
    }

    /// Where so many further bytes will go, most likely.
    pub(crate) fn next(&self, bytes: usize) -> Lines {
        let (front, back) = self.bytes.as_slices();
        let last = if back.is_empty() { front } else { back };
        Lines::at(last.as_ptr_range().end, bytes)
    }

    /// Gives its room back, and everything in it.
    pub(crate) fn clear(&mut self) {
        self.dropped_bytes += self.bytes.len() as u64;
        self.bytes = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_newest_bytes_are_held_and_each_piece_as_it_came(
            bytes_max in 0_usize..200,
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 1..60),
            cleared in prop::option::of(0_usize..60),
        ) {
            let mut ring = Ring::new(bytes_max);
            let mut came: Vec<(Range<u64>, Vec<u8>)> = Vec::new();
            let mut end = 0;
            for (place, piece) in pieces.into_iter().enumerate() {
                let start = std::mem::replace(&mut end, ring.push(&piece));
                prop_assert_eq!(end - start, piece.len() as u64);
                came.push((start..end, piece));
                let mut room = bytes_max;
                for (age, (range, piece)) in came.iter().rev().enumerate() {
                    let fits = piece.len() <= room;
                    room = if fits { room - piece.len() } else { 0 };
                    match ring.get(range.clone()) {
                        Some(held) => prop_assert_eq!(&held[..], &piece[..]),
                        None => prop_assert!(age > 0 && !fits),
                    }
                    prop_assert!(fits || age == 0 || ring.get(range.clone()).is_none());
                }
                prop_assert!(ring.get(end..end + 1).is_none());
                if cleared == Some(place) {
                    ring.clear();
                    came.clear();
                }
            }
        }
    }
}
