use std::ops::Range;

use super::digits::{DigitRun, digit_runs};

/// Lengths of a primary account number (ISO/IEC 7812-1 allows up to 19; issued cards have 13 or more).
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Groups of digits, parted by single spaces or hyphens, that pass the Luhn check.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for run in digit_runs(text, b" -") {
        let mut first = 0;
        while first < run.groups.len() {
            match card_at(text, &run, first) {
                Some(groups) => {
                    found.push(run.groups[first].start..run.groups[groups - 1].end);
                    first = groups;
                }
                None => first += 1,
            }
        }
    }
    found
}

/// The longest card that starts with group `first`, as the index behind its last group.
fn card_at(text: &str, run: &DigitRun, first: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut digits: Vec<u8> = Vec::with_capacity(*DIGITS.end());
    let mut best = None;
    for (index, group) in run.groups.iter().enumerate().skip(first) {
        if digits.len() + group.len() > *DIGITS.end() {
            break;
        }
        digits.extend(bytes[group.clone()].iter().map(|digit| digit - b'0'));
        let span = run.groups[first].start..group.end;
        let is_card = DIGITS.contains(&digits.len()) && is_issued(&digits) && passes_luhn(&digits);
        if is_card && stands_alone(text, &span) {
            best = Some(index + 1);
        }
    }
    best
}

/// Whether the number is no part of a word, a decimal fraction or a path.
fn stands_alone(text: &str, span: &Range<usize>) -> bool {
    let mut before = text[..span.start].chars().rev();
    let mut after = text[span.end..].chars();
    let is_free = |near: Option<char>, far: Option<char>| match near {
        Some('.' | ',' | '_' | '/') => !far.is_some_and(char::is_alphanumeric),
        Some(other) => !other.is_alphanumeric(),
        None => true,
    };
    is_free(before.next(), before.next()) && is_free(after.next(), after.next())
}

/// Major industry identifiers of payment cards: 2 to 6 (travel, banking, merchandising). Others are issued
/// for aviation, fuel and health, and make most of the chance hits. A card is not one digit repeated.
fn is_issued(digits: &[u8]) -> bool {
    let first = digits.first().copied().unwrap_or_default();
    (2..=6).contains(&first) && digits.iter().any(|digit| *digit != first)
}

/// The check of ISO/IEC 7812-1, annex B.
fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(*digit) * if place % 2 == 1 { 2 } else { 1 };
            value / 10 + value % 10
        })
        .sum();
    sum.is_multiple_of(10)
}
