use std::hash::{BuildHasherDefault, Hasher};

/// Hashes ids that the server made: cheap, and not keyed, as nobody can choose them.
pub(crate) type IdHash = BuildHasherDefault<IdHasher>;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    /// The halves of the product, folded: each bit of the word moves bits at both ends, which a hash table
    /// takes its place and its tag from.
    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        let [low, high] = [product & u128::from(u64::MAX), product >> 64];
        self.0 = u64::try_from(low ^ high).expect("both are halves");
    }

    /// The length of an id tells nothing.
    fn write_usize(&mut self, _length: usize) {}
}
