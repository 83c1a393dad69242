//! Time to look through a megabyte of text.

use critics::{Folding, Keyword, KeywordSet, PiiKind, find_pii};
use divan::{Bencher, counter::BytesCount};

const MEBIBYTE: usize = 1024 * 1024;

fn main() {
    divan::main();
}

/// Words of 3 to 11 letters by a fixed recurrence (Numerical Recipes' quick generator), so that runs compare.
fn words(seed: u32) -> impl Iterator<Item = String> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    std::iter::from_fn(move || {
        let length = 3 + next() % 9;
        let letter = |value: u32| char::from(b'a' + u8::try_from(value % 26).expect("below 26"));
        Some((0..length).map(|_| letter(next())).collect())
    })
}

fn text(between: &str) -> String {
    let mut text = String::with_capacity(MEBIBYTE + 16);
    for word in words(7) {
        text.push_str(&word);
        text.push_str(between);
        if text.len() >= MEBIBYTE {
            break;
        }
    }
    text
}

/// CRIT-240: a mebibyte against a thousand keywords.
#[divan::bench(args = [" ", " é "])]
fn thousand_keywords(bencher: Bencher<'_, '_>, between: &str) {
    let keywords: Vec<_> =
        words(99).take(1000).map(|text| Keyword { text, is_whole_word: true }).collect();
    let set = KeywordSet::new(&keywords, Folding::ALL).expect("words are keywords");
    let text = text(between);
    bencher.counter(BytesCount::new(text.len())).bench_local(|| {
        let mut count = 0_u32;
        set.search(&text, |_| {
            count += 1;
            true
        });
        count
    });
}

#[divan::bench]
fn personal_data(bencher: Bencher<'_, '_>) {
    let text = text(" 415-555-0132 ada@example.org 4111 1111 1111 1112 ");
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| find_pii(&text, &PiiKind::ALL).len());
}
