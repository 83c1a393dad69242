/// Parameters of `POST /v1/chat/completions` that take effect. The parser takes no other, and what describes
/// the route lists the same.
pub const CHAT_PARAMETERS: [&str; 23] = [
    "frequency_penalty",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "min_p",
    "model",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "repeat_penalty",
    "repetition_penalty",
    "response_format",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
];

/// Parameters of `POST /v1/completions` that take effect.
pub const COMPLETION_PARAMETERS: [&str; 17] = [
    "frequency_penalty",
    "logprobs",
    "max_tokens",
    "min_p",
    "model",
    "n",
    "presence_penalty",
    "prompt",
    "repeat_penalty",
    "repetition_penalty",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "top_k",
    "top_p",
];

/// Parameters of `POST /v1/embeddings` that take effect.
pub const EMBEDDING_PARAMETERS: [&str; 3] = ["encoding_format", "input", "model"];
