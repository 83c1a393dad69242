use std::ops::Range;

/// What may stand between the digits of a number, one or two at a time.
const SEPARATORS: &str = " -./()\u{a0}\u{2011}\u{202f}";

/// Country calling codes (ITU-T E.164, list of 2016 with later assignments); each stands for itself and is
/// never the start of another one.
const COUNTRY_CODES: &[&str] = &[
    "1", "7", "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45",
    "46", "47", "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63",
    "64", "65", "66", "81", "82", "84", "86", "90", "91", "92", "93", "94", "95", "98", "211",
    "212", "213", "216", "218", "220", "221", "222", "223", "224", "225", "226", "227", "228",
    "229", "230", "231", "232", "233", "234", "235", "236", "237", "238", "239", "240", "241",
    "242", "243", "244", "245", "246", "247", "248", "249", "250", "251", "252", "253", "254",
    "255", "256", "257", "258", "260", "261", "262", "263", "264", "265", "266", "267", "268",
    "269", "290", "291", "297", "298", "299", "350", "351", "352", "353", "354", "355", "356",
    "357", "358", "359", "370", "371", "372", "373", "374", "375", "376", "377", "378", "380",
    "381", "382", "383", "385", "386", "387", "389", "420", "421", "423", "500", "501", "502",
    "503", "504", "505", "506", "507", "508", "509", "590", "591", "592", "593", "594", "595",
    "596", "597", "598", "599", "670", "672", "673", "674", "675", "676", "677", "678", "679",
    "680", "681", "682", "683", "685", "686", "687", "688", "689", "690", "691", "692", "800",
    "808", "850", "852", "853", "855", "856", "870", "878", "880", "881", "882", "883", "886",
    "888", "960", "961", "962", "963", "964", "965", "966", "967", "968", "970", "971", "972",
    "973", "974", "975", "976", "977", "979", "992", "993", "994", "995", "996", "998",
];

/// Numbers with `+` or `00` and a country code, and the national forms that are told from other numbers:
/// those with a leading 0 that are grouped (Europe, much of Asia) and the North American one (three, three and four digits).
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = next_start(text, at) {
        let candidate = Candidate::at(text, start);
        match candidate.phone(text) {
            Some(span) => {
                at = span.end;
                found.push(span);
            }
            None => at = candidate.end().max(start + 1),
        }
    }
    found
}

/// The next `+`, `(` or digit at which a number may start: not inside a word or a longer number.
fn next_start(text: &str, from: usize) -> Option<usize> {
    let mut before = text[..from].chars().next_back();
    for (offset, one) in text[from..].char_indices() {
        let is_glued =
            before.is_some_and(|before| before.is_alphanumeric() || "_#=+".contains(before));
        if matches!(one, '+' | '(' | '0'..='9') && !is_glued {
            return Some(from + offset);
        }
        before = Some(one);
    }
    None
}

/// A run of groups of digits.
struct Candidate {
    start: usize,
    has_plus: bool,
    groups: Vec<Range<usize>>,
}

/// Digits in a run that are looked at: more are no telephone number, however they are grouped.
const DIGITS_MAX: usize = 24;

impl Candidate {
    fn at(text: &str, start: usize) -> Self {
        let mut groups: Vec<Range<usize>> = Vec::new();
        let (mut has_plus, mut between, mut digits) = (false, 0, 0);
        for (offset, one) in text[start..].char_indices() {
            let at = start + offset;
            match one {
                '+' if offset == 0 => has_plus = true,
                '0'..='9' => {
                    digits += 1;
                    match groups.last_mut().filter(|_| between == 0) {
                        Some(group) => group.end = at + 1,
                        None => groups.push(at..at + 1),
                    }
                    between = 0;
                }
                // `+49 (0) 30` has two in a row on either side of the zero.
                other if SEPARATORS.contains(other) && between < 2 => between += 1,
                _ => break,
            }
            if digits > DIGITS_MAX {
                break;
            }
        }
        Self { start, has_plus, groups }
    }

    fn end(&self) -> usize {
        self.groups.last().map_or(self.start, |group| group.end)
    }

    /// The longest row of groups from the start that is a number; what follows may be another one.
    fn phone(&self, text: &str) -> Option<Range<usize>> {
        (1..=self.groups.len()).rev().find_map(|count| {
            let groups = &self.groups[..count];
            let end = groups.last()?.end;
            let follows = text[end..].chars().next();
            let is_glued =
                follows.is_some_and(|next| next.is_alphanumeric() || "_@%".contains(next));
            let digits: String = groups.iter().map(|group| &text[group.clone()]).collect();
            let lengths: Vec<usize> = groups.iter().map(ExactSizeIterator::len).collect();
            let is_phone = if self.has_plus {
                is_international(&digits)
            } else if let Some(number) = digits.strip_prefix("00") {
                is_international(number)
            } else {
                is_north_american(&digits, &lengths)
                    || (is_trunk_number(&digits, &lengths) && !is_date(text, groups))
            };
            (is_phone && !is_glued).then_some(self.start..end)
        })
    }
}

/// A country code and a number, 8 to 15 digits together (E.164 sets the upper bound). A trunk zero in
/// parentheses, as in `+49 (0) 30`, counts as a digit.
fn is_international(digits: &str) -> bool {
    let has_code = COUNTRY_CODES.iter().any(|code| digits.starts_with(code));
    has_code && (8..=15).contains(&digits.len())
}

/// `(415) 555-0132`, `415-555-0132`, `415.555.0132`, `1-415-555-0132`: area code and exchange start with 2
/// to 9 (North American Numbering Plan). A bare run of ten digits is taken for something else.
fn is_north_american(digits: &str, lengths: &[usize]) -> bool {
    let (digits, lengths) = match (digits.strip_prefix('1'), lengths) {
        (Some(rest), [1, rest_lengths @ ..]) => (rest, rest_lengths),
        _ => (digits, lengths),
    };
    let starts = |at: usize| digits.as_bytes().get(at).is_some_and(|digit| *digit >= b'2');
    lengths == [3, 3, 4] && starts(0) && starts(3)
}

/// `030 1234567`, `089/12 34 56 7`, `01 23 45 67 89`, `020 7946 0018`, `(0221) 4710-0`: nine to twelve
/// digits with a trunk prefix 0, in groups.
fn is_trunk_number(digits: &str, lengths: &[usize]) -> bool {
    let second = digits.as_bytes().get(1).copied().unwrap_or(b'0');
    let is_grouped = lengths.len() >= 2;
    is_grouped && (9..=12).contains(&digits.len()) && digits.starts_with('0') && second != b'0'
}

/// `01.02.2024` and what follows it, such as an hour.
fn is_date(text: &str, groups: &[Range<usize>]) -> bool {
    let [day, month, year, ..] = groups else { return false };
    let gap = |left: &Range<usize>, right: &Range<usize>| &text[left.end..right.start];
    let lengths = [day.len(), month.len(), year.len()];
    lengths == [2, 2, 4]
        && gap(day, month) == gap(month, year)
        && [".", "/", "-"].contains(&gap(day, month))
}
