/// Choices that depend on a seed, and on what they are for, only. Threads that each make their own from
/// one seed do not disturb each other, so a run with the same seed asks the same things.
#[derive(Debug, Clone)]
pub(crate) struct Choices {
    state: u64,
}

impl Choices {
    /// The choices of a run about one subject, and one number of it.
    pub(crate) fn of(seed: u64, subject: &str, number: u64) -> Self {
        let subject = subject.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)));
        Self { state: mix(mix(mix(seed) ^ subject) ^ number) }
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(1);
        mix(self.state)
    }

    /// A number from 0 to `max`.
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        match max.checked_add(1) {
            Some(count) => self.number() % count,
            None => self.number(),
        }
    }

    /// A number from `min` to `max`.
    pub(crate) fn within(&mut self, min: u64, max: u64) -> u64 {
        min + self.up_to(max - min)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, share: u64) -> bool {
        self.up_to(99) < share
    }

    /// One of a list that is not empty.
    pub(crate) fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let place = self.up_to(list.len() as u64 - 1);
        &list[usize::try_from(place).expect("an index of the list")]
    }
}

/// The finaliser of SplitMix64, with its increment.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
