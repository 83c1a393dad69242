use crate::logging;

/// Tells the person who started the daemon something, beside the log.
#[expect(clippy::print_stderr, reason = "it is for the person who started the daemon")]
pub(crate) fn announce(text: &str) {
    eprintln!("{}", logging::masker().mask(text));
}
