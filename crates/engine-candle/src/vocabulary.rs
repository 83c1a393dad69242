/// What the engine asks about the tokens of its model.
pub trait Vocabulary: Send + Sync {
    /// The bytes that a token stands for in an answer; empty for control tokens and unknown ids. They may
    /// begin or end inside a UTF-8 sequence.
    fn token_bytes(&self, id: u32) -> &[u8];

    /// Whether the token ends an answer.
    fn ends_generation(&self, id: u32) -> bool;
}
