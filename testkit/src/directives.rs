use crate::Alphabet;

/// What a prompt tells the scripted engine to do, written as `[[name]]` or `[[name=value]]` anywhere in
/// it. Whatever does not read as a directive is ordinary text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directives {
    /// `[[emoji]]`, `[[cjk]]`: what tokens are made of.
    pub alphabet: Alphabet,
    /// `[[tokens=N]]`: natural length of the answer.
    pub tokens: Option<u32>,
    /// `[[die_after=N]]` and its like: what goes wrong after N tokens.
    pub fault: Option<Fault>,
    /// `[[error=STATUS]]`: the request is refused with this HTTP status.
    pub error_status: Option<u16>,
    /// `[[error_bytes=N]]`: length of the text in the body of such an error.
    pub error_bytes: Option<u32>,
    /// `[[retry_after=N]]`: seconds in the `Retry-After` header of such an error.
    pub retry_after_s: Option<u32>,
    /// `[[slow_prefill_ms=N]]`: silence before the head of the response, in milliseconds.
    pub prefill_ms: u64,
    /// `[[call_tool]]`: the answer calls the first tool of the request, and its tokens are the arguments.
    pub call_tool: bool,
    /// `[[reason=N]]`: the first N tokens are reasoning.
    pub reasoning_tokens: u32,
}

/// Something that goes wrong in the middle of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// So many tokens are sent first; an answer that ends before has no fault.
    pub after_tokens: u32,
    /// What happens then.
    pub kind: FaultKind,
}

/// Ways in which an answer can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// `die_after`: the process exits at once.
    Die,
    /// `stall_after`: the connection stays open and nothing more comes.
    Stall,
    /// `garbage_after`: one event is not JSON.
    Garbage,
    /// `close_after`: the connection is closed in the middle of the body.
    Close,
    /// `truncate_after`: the body ends in order, but without a finish reason.
    Truncate,
    /// `huge_line_after`: two mebibytes come without a line end.
    HugeLine,
    /// `error_after`: an error object comes in place of a chunk.
    Error,
}

impl Directives {
    /// The directives in `prompt`; the last of a name counts.
    #[must_use]
    pub fn read(prompt: &str) -> Self {
        let mut directives = Self::default();
        for part in prompt.split("[[").skip(1) {
            let Some((directive, _)) = part.split_once("]]") else { continue };
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            directives.apply(name, value);
        }
        directives
    }

    fn apply(&mut self, name: &str, value: &str) {
        let number = value.parse::<u32>().ok();
        let fault = |kind| number.map(|after_tokens| Fault { after_tokens, kind });
        match name {
            "emoji" => self.alphabet = Alphabet::Emoji,
            "cjk" => self.alphabet = Alphabet::Cjk,
            "tokens" => self.tokens = number,
            "die_after" => self.fault = fault(FaultKind::Die),
            "stall_after" => self.fault = fault(FaultKind::Stall),
            "garbage_after" => self.fault = fault(FaultKind::Garbage),
            "close_after" => self.fault = fault(FaultKind::Close),
            "truncate_after" => self.fault = fault(FaultKind::Truncate),
            "huge_line_after" => self.fault = fault(FaultKind::HugeLine),
            "error_after" => self.fault = fault(FaultKind::Error),
            "error" => self.error_status = value.parse().ok(),
            "error_bytes" => self.error_bytes = number,
            "retry_after" => self.retry_after_s = number,
            "call_tool" => self.call_tool = true,
            "reason" => self.reasoning_tokens = number.unwrap_or(0),
            "slow_prefill_ms" => self.prefill_ms = number.map_or(0, u64::from),
            _ => {}
        }
    }
}
