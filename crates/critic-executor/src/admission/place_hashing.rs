use std::hash::{BuildHasherDefault, Hasher};

/// Hashing of places, which nobody outside chooses: each is mixed in by one multiplication.
pub(super) type PlaceHashing = BuildHasherDefault<PlaceHasher>;

#[derive(Default)]
pub(super) struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, place: u32) {
        // The multiplier of Knuth's multiplicative hashing, 2^64 divided by the golden ratio.
        let mixed = (self.0.rotate_left(29) ^ u64::from(place)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
