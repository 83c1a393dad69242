mod digits;
mod email;
mod iban;
mod payment_card;
mod phone;

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Personal data found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PiiMatch {
    /// What it is.
    pub kind: PiiKind,
    /// Bytes of the searched text, on character boundaries.
    pub span: Range<usize>,
}

/// Kinds of personal data that are recognised by their form and, where they have one, their check digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PiiKind {
    /// An e-mail address.
    Email,
    /// A telephone number: international (`+`, E.164) or in a common national form.
    Phone,
    /// A payment card number: 13 to 19 digits that pass the Luhn check.
    PaymentCard,
    /// An international bank account number of its country's length that passes modulo 97.
    Iban,
}

impl PiiKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Email, Self::Phone, Self::PaymentCard, Self::Iban];

    fn find(self, text: &str) -> Vec<Range<usize>> {
        match self {
            Self::Email => email::find(text),
            Self::Phone => phone::find(text),
            Self::PaymentCard => payment_card::find(text),
            Self::Iban => iban::find(text),
        }
    }

    /// The name as it stands in violations and redactions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::PaymentCard => "payment_card",
            Self::Iban => "iban",
        }
    }
}

/// Finds personal data of `kinds`, in the order of their places, without overlaps: bytes of a bank account
/// or a card are no telephone number as well. Linear in the text.
#[must_use]
pub fn find_pii(text: &str, kinds: &[PiiKind]) -> Vec<PiiMatch> {
    // Those with check digits come first: what they claim is taken.
    let order = [PiiKind::Iban, PiiKind::PaymentCard, PiiKind::Email, PiiKind::Phone];
    let mut found: Vec<PiiMatch> = Vec::new();
    for kind in order.into_iter().filter(|kind| kinds.contains(kind)) {
        let known = found.len();
        for span in kind.find(text) {
            // `found[..known]` is sorted and free of overlaps.
            let after = found[..known].partition_point(|other| other.span.end <= span.start);
            let is_taken = found[..known].get(after).is_some_and(|next| next.span.start < span.end);
            if !is_taken {
                found.push(PiiMatch { kind, span });
            }
        }
        found.sort_by_key(|one| one.span.start);
    }
    found
}
