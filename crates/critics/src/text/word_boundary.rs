use std::ops::Range;

/// Whether `span` of `text` is not a part of a longer word. An edge of the span that is no letter, digit or
/// underscore itself needs no boundary there.
pub(crate) fn is_whole_word(text: &str, span: &Range<usize>) -> bool {
    let (before, found, after) = (&text[..span.start], &text[span.clone()], &text[span.end..]);
    let joins = |left: Option<char>, right: Option<char>| {
        left.is_some_and(is_word_character) && right.is_some_and(is_word_character)
    };
    !joins(before.chars().next_back(), found.chars().next())
        && !joins(found.chars().next_back(), after.chars().next())
}

/// Letters and digits of every script, and the underscore.
pub(crate) fn is_word_character(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
