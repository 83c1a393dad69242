use critics::{PiiKind, find_pii};
use proptest::prelude::*;

fn check(text: &str, expected: &[(PiiKind, &str)]) {
    let found = find_pii(text, &PiiKind::ALL);
    let found: Vec<_> = found.iter().map(|one| (one.kind, &text[one.span.clone()])).collect();
    assert_eq!(found, expected, "in {text:?}");
}

/// Verifies: CRIT-241
#[test]
fn addresses_are_found_where_people_write_them() {
    use PiiKind::Email;
    let positive = [
        ("write to ada@example.org.", "ada@example.org"),
        ("<ada.lovelace+orders@mail.example.co.uk>", "ada.lovelace+orders@mail.example.co.uk"),
        ("mailto:o'brien@example.ie?subject=x", "o'brien@example.ie"),
        ("'ada@example.org'", "ada@example.org"),
        ("**ada@example.org**", "ada@example.org"),
        ("用户@例子.广告 ist eine Adresse", "用户@例子.广告"),
        ("a@b.xn--p1ai", "a@b.xn--p1ai"),
        ("x_y-z@sub-domain.example.museum,", "x_y-z@sub-domain.example.museum"),
        ("ada@example.org-Adresse", "ada@example.org-Adresse"),
        ("A@EXAMPLE.ORG", "A@EXAMPLE.ORG"),
    ];
    for (text, address) in positive {
        check(text, &[(Email, address)]);
    }
    check(
        "ada@example.org,bob@example.org",
        &[(Email, "ada@example.org"), (Email, "bob@example.org")],
    );
    let negative = [
        "root@localhost",
        "ada@",
        "@example.org",
        "ada @ example.org",
        "a..b@example.org",
        "user@10.0.0.1",
        "cargo@1.95",
        "foo@-bar.example",
        "pypi:name@1.2.3#member",
        "@@@@@@@@",
        "ada.@example.org",
        "git@host",
    ];
    for text in negative {
        check(text, &[]);
    }
}

/// Verifies: CRIT-241
#[test]
fn telephone_numbers_are_found_in_international_and_national_forms() {
    use PiiKind::Phone;
    let positive = [
        ("call +1 415 555 0132 now", "+1 415 555 0132"),
        ("+14155550132", "+14155550132"),
        ("+49 (0) 30 901820", "+49 (0) 30 901820"),
        ("+44 20 7946 0018.", "+44 20 7946 0018"),
        ("0033 1 23 45 67 89", "0033 1 23 45 67 89"),
        ("tel:(415) 555-0132", "(415) 555-0132"),
        ("415-555-0132", "415-555-0132"),
        ("415.555.0132", "415.555.0132"),
        ("1-415-555-0132", "1-415-555-0132"),
        ("Tel. 030 1234567", "030 1234567"),
        ("089/1234567-0", "089/1234567-0"),
        ("01 23 45 67 89", "01 23 45 67 89"),
        ("020 7946 0018", "020 7946 0018"),
        ("(0221) 4710-123", "(0221) 4710-123"),
        ("+358 9 1234567", "+358 9 1234567"),
        ("+49\u{a0}30\u{a0}1234567", "+49\u{a0}30\u{a0}1234567"),
    ];
    for (text, number) in positive {
        check(text, &[(Phone, number)]);
    }
    check(
        "+1 415 555 0132, +44 20 7946 0018",
        &[(Phone, "+1 415 555 0132"), (Phone, "+44 20 7946 0018")],
    );
    let negative = [
        "2024-01-02",
        "01.02.2024 12:30",
        "01/02/2024 08",
        "version 1.22.333",
        "4155550132",
        "order 123-456",
        "192.168.100.200",
        "+12",
        "+0 415 555 0132",
        "0x0415555013",
        "id_020 7946 0018",
        "3.14159265358979",
        "1234567890123456789012345678901234567890",
        "111-555-0132",
        "415-055-0132",
        "2+4155550132",
        "00000000000",
    ];
    for text in negative {
        check(text, &[]);
    }
}

/// Verifies: CRIT-241
#[test]
fn card_numbers_are_found_only_with_the_right_check_digit() {
    use PiiKind::PaymentCard;
    let positive = [
        ("4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("4111111111111111", "4111111111111111"),
        ("card 5500-0000-0000-0004.", "5500-0000-0000-0004"),
        ("378282246310005", "378282246310005"),
        ("3782 822463 10005", "3782 822463 10005"),
        ("6011000990139424,", "6011000990139424"),
        ("4222222222222", "4222222222222"),
        ("4111 1111 1111 1111 12/27", "4111 1111 1111 1111"),
        ("(2223003122003222)", "2223003122003222"),
    ];
    for (text, card) in positive {
        check(text, &[(PaymentCard, card)]);
    }
    let negative = [
        "4111 1111 1111 1112",
        "4111111111111112",
        "5555555555555555",
        "0000000000000000",
        "x4111111111111111",
        "4111111111111111e5",
        "0.4111111111111111",
        "41111111111111114111111111111111",
        "1234 5678 9012",
        "4111  1111  1111  1111",
    ];
    for text in negative {
        check(text, &[]);
    }
}

/// Verifies: CRIT-241
#[test]
fn account_numbers_are_found_only_with_their_countrys_length_and_check_digits() {
    use PiiKind::Iban;
    let positive = [
        ("DE89370400440532013000", "DE89370400440532013000"),
        ("IBAN: DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
        ("GB82 WEST 1234 5698 7654 32.", "GB82 WEST 1234 5698 7654 32"),
        ("fr1420041010050500013m02606", "fr1420041010050500013m02606"),
        ("NO9386011117947,", "NO9386011117947"),
        ("CH93 0076 2011 6238 5295 7", "CH93 0076 2011 6238 5295 7"),
    ];
    for (text, account) in positive {
        check(text, &[(Iban, account)]);
    }
    let negative = [
        "DE89370400440532013001",
        "DE8937040044053201300",
        "DE893704004405320130000",
        "XX89370400440532013000",
        "ADE89370400440532013000",
        "GB82 WEST 1234 5698 7654",
        "DE89  3704 0044 0532 0130 00",
    ];
    for text in negative {
        let found = find_pii(text, &[Iban]);
        assert_eq!(found, [], "in {text:?}");
    }
}

/// Verifies: CRIT-241
#[test]
fn what_has_check_digits_is_not_taken_for_a_telephone_number() {
    check("DE89 3704 0044 0532 0130 00", &[(PiiKind::Iban, "DE89 3704 0044 0532 0130 00")]);
    let found = find_pii("020 7946 0018 ada@example.org", &[PiiKind::Email]);
    assert_eq!(found.len(), 1, "only what is asked for is looked for");
}

proptest! {
    /// Verifies: CRIT-241
    #[test]
    fn spans_are_ascending_and_on_character_boundaries(
        text in r"([ -.(/)+@0-9a-z\u{a0}é€🦀]|4111 1111 1111 1111|a@b\.org|DE89){0,60}"
    ) {
        let found = find_pii(&text, &PiiKind::ALL);
        let mut before = 0;
        for one in &found {
            prop_assert!(one.span.start >= before && !one.span.is_empty());
            prop_assert!(text.get(one.span.clone()).is_some());
            before = one.span.end;
        }
    }

    /// Verifies: CRIT-241
    #[test]
    fn a_wrong_digit_is_always_noticed(at in 0..16_usize, by in 1..10_u8) {
        let mut digits = *b"4111111111111111";
        digits[at] = b'0' + (digits[at] - b'0' + by) % 10;
        let text = String::from_utf8(digits.to_vec()).unwrap();
        prop_assert_eq!(find_pii(&text, &[PiiKind::PaymentCard]), []);
    }
}
