use std::{
    fmt,
    sync::{Arc, RwLock},
};

const MASK: &str = "***";

/// Shortest text that is taken as a secret to look for; shorter ones would take whole sentences apart.
const SECRET_BYTES_MIN: usize = 6;

/// Most secrets that are looked for; more are left to the patterns.
const SECRETS_MAX: usize = 1024;

/// Longest text that is told, in bytes; what is behind it is cut, so that a line's cost has a bound.
const TEXT_BYTES_MAX: usize = 8192;

/// How the keys of well-known services begin.
const KEY_PREFIXES: [&str; 6] = ["sk-", "sk_", "hf_", "gsk_", "xai-", "ghp_"];

/// What the names of secret values end with.
const SECRET_NAMES: [&str; 7] =
    ["token", "key", "secret", "password", "passwd", "authorization", "credentials"];

/// Names of fields that hold what clients and engines wrote.
const TEXT_NAMES: [&str; 5] = ["prompt", "messages", "completion", "answer", "stop"];

/// Takes secrets out of text: those it was told of, bearer tokens, keys of well-known services, values behind
/// names like `api_key=` and `"token":`, and credentials in addresses. Clones share what they were told of.
#[derive(Clone, Default)]
pub struct Masker {
    secrets: Arc<RwLock<Vec<Box<str>>>>,
}

impl Masker {
    /// Masks `secret` wherever it stands, from now on; it is never forgotten, since a text may be late.
    pub fn register(&self, secret: &str) {
        let mut secrets = self.secrets.write().expect("no holder panics");
        let is_known = secrets.iter().any(|known| **known == *secret);
        if secret.len() >= SECRET_BYTES_MIN && secrets.len() < SECRETS_MAX && !is_known {
            secrets.push(secret.into());
        }
    }

    /// Whether the value of a field with this name is not told at all.
    #[must_use]
    pub fn hides(&self, name: &str) -> bool {
        TEXT_NAMES.contains(&name) || (is_secret_name(name) && name != "key")
    }

    /// The text without what is or looks secret, and without what is behind its first 8 KiB.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        let mut text = text;
        let is_cut = text.len() > TEXT_BYTES_MAX;
        if is_cut {
            text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
        }
        let mut masked = mask_addresses(text);
        for secret in &*self.secrets.read().expect("no holder panics") {
            if masked.contains(&**secret) {
                masked = masked.replace(&**secret, MASK);
            }
        }
        let mut masked = mask_words(&masked);
        if is_cut {
            masked.push('\u{2026}');
        }
        masked
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masker(***)")
    }
}

/// `scheme://user:password@host` loses what is in front of the `@`.
fn mask_addresses(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        masked.push_str(before);
        let ends = |c: char| c.is_whitespace() || "/?#\"'<>`\\".contains(c);
        let authority = &behind[..behind.find(ends).unwrap_or(behind.len())];
        rest = match authority.rfind('@') {
            Some(host) => {
                masked.push_str(MASK);
                &behind[host..]
            }
            None => behind,
        };
    }
    masked + rest
}

/// Masks what looks like a key, follows `Bearer` or `Basic`, or is the value of a secret name.
fn mask_words(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut expects = Expects::Anything;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = &rest[..rest.find(|c| !is_of_a_word(c)).unwrap_or(rest.len())];
        if word.is_empty() {
            masked.push(first);
            rest = &rest[first.len_utf8()..];
            expects = expects.behind(first);
            continue;
        }
        rest = &rest[word.len()..];
        let is_scheme = word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic");
        let is_value = expects == Expects::Secret && !is_scheme;
        masked.push_str(if is_value || is_key(word) { MASK } else { word });
        expects = if is_scheme {
            Expects::Secret
        } else if is_secret_name(word) && !is_value {
            Expects::Assignment
        } else {
            Expects::Anything
        };
    }
    masked
}

/// What a word would be, by what stands before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    Anything,
    /// A secret name was read; `=` or `:` makes what follows a secret.
    Assignment,
    Secret,
}

impl Expects {
    fn behind(self, c: char) -> Self {
        match self {
            Self::Assignment if c == '=' || c == ':' => Self::Secret,
            Self::Assignment | Self::Secret if c == ' ' || "\"'\\=(".contains(c) => self,
            _ => Self::Anything,
        }
    }
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || "-_+/.~*%".contains(c)
}

fn is_key(word: &str) -> bool {
    KEY_PREFIXES.iter().any(|prefix| word.len() > prefix.len() + 4 && word.starts_with(prefix))
}

fn is_secret_name(word: &str) -> bool {
    let is_end_of = |name: &str| {
        let start = word.len().checked_sub(name.len());
        let end = start.and_then(|start| word.get(start..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(name))
    };
    SECRET_NAMES.into_iter().any(is_end_of)
}
