//! OpenAI requests to tasks, task events to OpenAI chunks.
