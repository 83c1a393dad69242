use camino::Utf8Path;
use url::Url;

/// Longest id of a pool or a replica; ids of pools are part of the ids of models.
const ID_CHARS_MAX: usize = 64;

/// Longest name of a model, in bytes.
const MODEL_BYTES_MAX: usize = 256;

/// Most devices of a mask, and flags of an engine; longest of each, in bytes.
const DEVICES_MAX: usize = 64;
const FLAGS_MAX: usize = 256;
const FLAG_BYTES_MAX: usize = 4096;

const SHORT_BYTES_MAX: usize = 64;

/// Notes what is wrong with the keys of one file.
#[derive(Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    /// Notes that `key` is not what is allowed, unless it is.
    pub(crate) fn check(&mut self, key: &str, is_allowed: bool, allowed: &str) {
        if !is_allowed {
            self.0.push(format!("{key}: allowed is {allowed}"));
        }
    }

    /// Everything in one text; `None` where nothing is wrong.
    pub(crate) fn told(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join("; "))
    }
}

pub(crate) fn is_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

pub(crate) fn is_model(text: &str) -> bool {
    is_text(text, MODEL_BYTES_MAX)
}

pub(crate) fn is_short(text: &str) -> bool {
    is_text(text, SHORT_BYTES_MAX)
}

pub(crate) fn is_digest(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

/// As `/proc/sys/kernel/random/boot_id` gives it.
pub(crate) fn is_boot_id(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || is_part(byte))
}

pub(crate) fn is_device_mask(devices: &[String]) -> bool {
    devices.len() <= DEVICES_MAX && devices.iter().all(|device| is_short(device))
}

pub(crate) fn are_flags(flags: &[String]) -> bool {
    flags.len() <= FLAGS_MAX
        && flags.iter().all(|flag| flag.is_empty() || is_text(flag, FLAG_BYTES_MAX))
}

pub(crate) fn is_absolute(path: &Utf8Path) -> bool {
    path.is_absolute() && !path.as_str().contains('\0')
}

/// The address of a server: `http` or `https`, a host, at most a port and a path.
pub(crate) fn server(text: &str) -> Option<Url> {
    let is_plain = text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let url = Url::parse(text).ok().filter(|_| is_plain)?;
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_bare = url.query().is_none() && url.fragment().is_none() && !text.contains('\\');
    (is_http && is_bare && !has_credentials).then_some(url)
}

fn is_text(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control)
}
