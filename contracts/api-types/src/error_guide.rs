use crate::ErrorCode;

/// What an error code tells people; `docs/reference/errors.md` is made of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorGuide {
    /// What happened, as a sentence.
    pub meaning: &'static str,
    /// What to do next, as a sentence.
    pub remedy: &'static str,
}

impl ErrorCode {
    /// The code in words. The `match` has no `_` arm, so a new code must bring its own.
    #[must_use]
    pub fn guide(self) -> ErrorGuide {
        let (meaning, remedy) = match self {
            Self::MalformedJson => (
                "The body is no JSON, or the request cannot be read at all.",
                "Mend the request; `details` has the line and the column.",
            ),
            Self::MissingToken => (
                "The daemon wants a token, and the request has none.",
                "Send `Authorization: Bearer TOKEN`.",
            ),
            Self::BadToken => (
                "The token is none of the daemon's, or no longer.",
                "Look which token file the client reads; after a rotation give it the new one.",
            ),
            Self::PolicyDenied => (
                "The caller may not do this: its scope is too narrow, or a rule forbids it.",
                "Use a token of the scope that the operation names, or change the rule in the message.",
            ),
            Self::BudgetExceeded => (
                "The request does not fit into what is left of a budget.",
                "Ask for less, or raise the budget; `details.budget` names it.",
            ),
            Self::HostNotAllowed => (
                "The request's `Host` or `Origin` is not one that may call.",
                "Call by a loopback address or the configured one, and list the origins of web pages in `cors.allowed_origins`.",
            ),
            Self::NotFound => (
                "There is nothing at this path, or no such thing that the caller may see.",
                "Look at the path and the id; what was deleted or removed by age is gone for good.",
            ),
            Self::ModelNotFound => (
                "No model, alias or attached engine has this name.",
                "`GET /v1/models` lists the names; add the model, or mend `model_ref`.",
            ),
            Self::NodeUnknown => {
                ("No node of this name is registered.", "Let the node register again.")
            }
            Self::MethodNotAllowed => {
                ("The path has no such method.", "Use one of those in the header `Allow`.")
            }
            Self::PayloadTooLarge => (
                "The body is larger than the daemon takes.",
                "Send less, or raise `server.body_max_bytes`.",
            ),
            Self::UnsupportedMediaType => {
                ("The body is of another type.", "Send `Content-Type: application/json`.")
            }
            Self::HeadersTooLarge => (
                "The request's head has too many bytes or fields.",
                "Send fewer headers, or raise `server.header_max_bytes` or `server.headers_max`.",
            ),
            Self::RequestTimeout => (
                "The body did not arrive in time.",
                "Send it again; on slow lines raise `server.body_read_timeout_ms`.",
            ),
            Self::Conflict => (
                "What is asked for does not fit the state that the thing is in.",
                "Read its state, then decide anew; the message says what is in the way.",
            ),
            Self::ModelDeprecated => {
                ("The model was retired.", "Ask for another one, or move the alias to another one.")
            }
            Self::EventsGone => (
                "The events were removed by age or size, while the task itself is still known.",
                "Read the task; keep events for longer with a larger limit if clients come back later than that.",
            ),
            Self::PreconditionFailed => (
                "The thing has changed since the caller read it.",
                "Read it again and repeat the change with the new `ETag`.",
            ),
            Self::InvalidParams => (
                "The request can be read, but a field is missing, of the wrong type, out of range or unknown.",
                "Mend the field that `field` names.",
            ),
            Self::ContextExceeded => (
                "Prompt and answer together are longer than the model's context.",
                "Shorten the prompt, lower `max_tokens`, or use a model with a longer context.",
            ),
            Self::IdempotencyMismatch => (
                "The idempotency key was used before, for another request.",
                "Use a new key for a new request, and the same bytes for a repeated one.",
            ),
            Self::DeadlineUnmet => (
                "The task would not end before its deadline.",
                "Give it more time, or try again when the queue is shorter.",
            ),
            Self::UntrustedArtifact => (
                "A model file is not what was promised: another digest, a damaged or hostile header, or a source that is not trusted.",
                "Do not retry. Fetch it again from a source you trust, or correct the digest if you know that it changed.",
            ),
            Self::AdmissionReject => (
                "The queue, or the list of long-running work, is full.",
                "Try again after `Retry-After`; if it stays so, add slots or raise `[queue]`.",
            ),
            Self::RateLimited => (
                "The client asked for more than `[limits]` allows it.",
                "Try again after `Retry-After`.",
            ),
            Self::TooManyStreams => (
                "Too many streams are open, in all or for this task.",
                "Close some, or raise `stream.subscribers_max` or `stream.subscribers_per_task`.",
            ),
            Self::Internal => (
                "The daemon failed; it is not the request's fault.",
                "Look into the daemon's log for the correlation id.",
            ),
            Self::PoolUnready => {
                ("The pool that was asked for is not ready yet.", "Try again after `Retry-After`.")
            }
            Self::PoolUnavailable => (
                "Every pool of the model has failed.",
                "`orchctl status` says why; mend or restart the engine, and the pool comes back by itself.",
            ),
            Self::ModelNotAvailable => (
                "The model is known, but cannot be had now: no pool may run it, its pool was not heard yet, or its file cannot be fetched.",
                "With `retriable` true try again later; else add it to a pool, or see to its source.",
            ),
            Self::NodeUnavailable => {
                ("The node that was asked for is away.", "Try again when it is back.")
            }
            Self::ShuttingDown => (
                "The daemon is ending.",
                "Try again once it was started anew; what it accepted goes on by itself.",
            ),
            Self::CloudDisabled => (
                "The route is for fleets, and this daemon serves one machine.",
                "Use another route; this one is of no use here.",
            ),
            Self::StorageFull => (
                "The disk of the data directory is full, and nothing new is accepted.",
                "Free room; admission goes on by itself.",
            ),
            Self::QueueFullDropLru => (
                "The task was pushed out of a full queue by a newer one.",
                "Hand it in again when there is less to do.",
            ),
            Self::QueueTimeout => (
                "The task waited longer than `queue.queue_max_ms`.",
                "Hand it in again when there is less to do, or add slots.",
            ),
            Self::EngineRefused => (
                "The engine refused the request and will do so again.",
                "Read the message, which has the engine's words, and change the request.",
            ),
            Self::GuardBlocked => {
                ("A guard blocked the prompt or the answer.", "Change the prompt, or the guard.")
            }
            Self::GuardEscalated => (
                "A guard wants a person to look first.",
                "Let somebody decide; the task does not go on by itself.",
            ),
            Self::DeadlineExceeded => (
                "The task's deadline, or the longest run that is allowed, passed.",
                "Give it more time (`deadline_ms`, `scheduling.wall_ms`), or ask for less.",
            ),
            Self::ReplicaExhausted => (
                "Every attempt that the task may have was lost with its worker.",
                "See in the log why the engine fails; then hand the task in again.",
            ),
            Self::WorkerReset => (
                "The worker was lost, and the task may not go on elsewhere.",
                "Hand it in again, or allow failover.",
            ),
            Self::DecodeTimeout => (
                "The engine fell silent for longer than `scheduling.idle_ms`.",
                "See to the engine; then hand the task in again.",
            ),
            Self::ContinuationMismatch => (
                "A new attempt did not give the text that was shown already, so it could not go on from there.",
                "Hand the task in again; text that was shown stays readable in its events.",
            ),
        };
        ErrorGuide { meaning, remedy }
    }
}
