/// The content of the only fenced code block of a Markdown text, or the whole text where there is none.
///
/// A fence is a line of three or more backticks or tildes, closed by one of the same sign that is at least as
/// long (CommonMark 0.31, section 4.5); one that is never closed goes to the end.
///
/// # Errors
/// The number of blocks, if there are several.
pub(crate) fn only_fence(text: &str) -> Result<&str, usize> {
    let mut blocks: Vec<&str> = Vec::new();
    let mut open: Option<(char, usize, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        let mark = fence(line);
        match (open, mark) {
            (None, Some((sign, length, _))) => open = Some((sign, length, end)),
            (Some((sign, length, start)), Some((closing, closing_length, is_bare)))
                if is_bare && closing == sign && closing_length >= length =>
            {
                blocks.push(&text[start..at]);
                open = None;
            }
            _ => {}
        }
        at = end;
    }
    if let Some((_, _, start)) = open {
        blocks.push(&text[start..]);
    }
    match blocks.as_slice() {
        [] => Ok(text),
        [block] => Ok(block),
        several => Err(several.len()),
    }
}

/// The sign and length of the fence that a line is, and whether nothing follows it.
fn fence(line: &str) -> Option<(char, usize, bool)> {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let rest = line[indent..].trim_end();
    let sign = rest.chars().next().filter(|sign| matches!(sign, '`' | '~'))?;
    let length = rest.len() - rest.trim_start_matches(sign).len();
    let info = &rest[length..];
    // A backtick in the info string makes it inline code.
    let is_fence = indent < 4 && length >= 3 && !(sign == '`' && info.contains('`'));
    is_fence.then_some((sign, length, info.is_empty()))
}
