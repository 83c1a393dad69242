use crate::Directives;

/// What the tokens of an answer are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alphabet {
    /// English words; all but the first token start with a space.
    #[default]
    Words,
    /// Emoji of one to five code points.
    Emoji,
    /// Chinese, Japanese and Korean characters.
    Cjk,
}

/// The answer to a prompt, computed from it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    seed: u64,
    alphabet: Alphabet,
    tokens: u32,
}

impl Script {
    /// The script of a prompt. Without a length among the directives it has 16 to 63 tokens.
    #[must_use]
    pub fn new(prompt: &str, directives: &Directives) -> Self {
        let seed = fnv1a(prompt.as_bytes());
        let natural = 16 + u32::try_from(mix(seed) % 48).expect("below 48");
        let tokens = directives.tokens.unwrap_or(natural);
        Self { seed, alphabet: directives.alphabet, tokens }
    }

    /// Number of tokens of the whole answer.
    #[must_use]
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// Text of the token at `index`; whole characters.
    #[must_use]
    pub fn token(&self, index: u32) -> &'static str {
        let list = match self.alphabet {
            Alphabet::Words => WORDS,
            Alphabet::Emoji => EMOJI,
            Alphabet::Cjk => CJK,
        };
        let random = mix(self.seed ^ mix(u64::from(index)));
        let place = usize::try_from(random % list.len() as u64).expect("an index of the list");
        let token = list[place];
        if index == 0 { token.trim_start() } else { token }
    }

    /// Text of the first `max_tokens` tokens, or of all if there are fewer.
    #[must_use]
    pub fn text(&self, max_tokens: u32) -> String {
        (0..self.tokens.min(max_tokens)).map(|index| self.token(index)).collect()
    }
}

/// The prompt that a conversation of (role, content) pairs stands for.
#[must_use]
pub fn prompt_of_messages<'a>(messages: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    messages.into_iter().flat_map(|(role, content)| [role, ": ", content, "\n"]).collect()
}

/// FNV-1a in 64 bits: stable over builds and platforms, unlike the standard library's hasher.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The finaliser of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

const WORDS: &[&str] = &[
    " amber",
    " brook",
    " cedar",
    " dawn",
    " ember",
    " fern",
    " grove",
    " harbor",
    " iris",
    " juniper",
    " kelp",
    " lantern",
    " meadow",
    " north",
    " orchard",
    " pebble",
    " quartz",
    " river",
    " stone",
    " thicket",
    " umber",
    " valley",
    " willow",
    " yarrow",
    " zephyr",
    " \"so\"",
    " it's",
    " caf\u{e9}",
    ",",
    ".",
    "\n",
    " back\\slash",
    "\tx",
    " 42",
];

const EMOJI: &[&str] = &[
    "\u{1f600}",
    "\u{1f680}",
    "\u{1f44d}\u{1f3fd}",
    "\u{2764}\u{fe0f}",
    "\u{1f1ef}\u{1f1f5}",
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "\u{1f9d1}\u{200d}\u{1f680}",
    "\u{2728}",
];

const CJK: &[&str] = &[
    "\u{4f60}",
    "\u{597d}",
    "\u{4e16}\u{754c}",
    "\u{3053}",
    "\u{3093}",
    "\u{306b}\u{3061}",
    "\u{306f}",
    "\u{c548}",
    "\u{b155}",
    "\u{d558}\u{c138}\u{c694}",
    "\u{3002}",
    "\u{20bb7}",
];
