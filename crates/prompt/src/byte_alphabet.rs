//! The characters that byte-level tokenizers write bytes as (GPT-2's `bytes_to_unicode`): printable Latin-1
//! stands for itself, and the other 68 bytes, in order, for the characters from U+0100.

use std::sync::LazyLock;

static CHARS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut chars = ['\0'; 256];
    let mut next = 0x100;
    for (byte, slot) in (0_u8..=255).zip(&mut chars) {
        *slot = if is_printable(byte) {
            char::from(byte)
        } else {
            next += 1;
            char::from_u32(next - 1).expect("U+0100 to U+0143 are characters")
        };
    }
    chars
});

/// The character that `byte` is written as.
pub(crate) fn char_of(byte: u8) -> char {
    CHARS[usize::from(byte)]
}

/// The byte that `character` stands for, if it is one of the alphabet.
pub(crate) fn byte_of(character: char) -> Option<u8> {
    match u8::try_from(character) {
        Ok(byte) => is_printable(byte).then_some(byte),
        Err(_beyond) => {
            (0_u8..=255).find(|&byte| !is_printable(byte) && char_of(byte) == character)
        }
    }
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}
