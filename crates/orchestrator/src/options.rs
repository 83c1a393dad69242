/// Limits and times of an orchestrator; each is a configuration key of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Bounds of the queue.
    pub queue: orchestrator_core::Limits,
    /// How replicas are chosen, where a model has no strategy of its own.
    pub strategy: placement::Strategy,
    /// Whether requests may name the only pool or node to use.
    pub allow_pins: bool,
    /// Whether tasks go only to engines of which it is known that they are what they should be
    /// ([`PoolFacts::is_verified`](crate::PoolFacts::is_verified)).
    pub verified_only: bool,
    /// Longest wait of a task in the queue.
    pub queue_max_ms: u64,
    /// Back-off told to whoever meets a full queue.
    pub reject_backoff_ms: u64,
    /// Longest silence of an engine.
    pub idle_ms: u64,
    /// Longest run of a task, over all its attempts.
    pub wall_ms: u64,
    /// How long an engine may take to confirm an abort.
    pub cancel_grace_ms: u64,
    /// Attempts that may fail by their worker's fault.
    pub max_attempts: u32,
    /// Unclean ends of the daemon without progress, under an engine in this process, that mark a task
    /// as poison.
    pub poison_limit: u32,
    /// Events of a task that are kept in memory, in bytes; older ones are read from the store.
    pub ring_bytes: usize,
    /// Whether events are fsynced before they are shown.
    pub sync_before_show: bool,
    /// Subscribers of one task.
    pub subscribers_per_task: usize,
    /// Subscribers in all.
    pub subscribers_max: usize,
    /// How long a task with `cancel_on_disconnect` waits for a subscriber to come back.
    pub reattach_ms: u64,
    /// How much each client may hand in.
    pub rate_limits: crate::RateLimits,
    /// How long tokens wait for others to share an event with; 0 shows each by itself. Otherwise events are
    /// fsynced before they are shown, as generated again they would be cut differently.
    pub coalesce_ms: u64,
    /// What is kept of ended tasks.
    pub retention: Retention,
}

/// How long ended tasks are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Events stay replayable for so long after the end.
    pub event_retention_ms: u64,
    /// The task itself, and its idempotency key, for so long; longer than the events.
    pub task_retention_ms: u64,
    /// Events and tasks together take no more room than this, in bytes; the oldest ended ones go first.
    pub bytes_max: u64,
    /// Pause between two looks for what is due.
    pub look_every_ms: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            event_retention_ms: 24 * 3600 * 1000,
            task_retention_ms: 7 * 24 * 3600 * 1000,
            bytes_max: 1 << 30,
            look_every_ms: 60_000,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue: orchestrator_core::Limits::default(),
            strategy: placement::Strategy::default(),
            allow_pins: true,
            verified_only: false,
            queue_max_ms: 24 * 3600 * 1000,
            reject_backoff_ms: 1000,
            idle_ms: 60_000,
            wall_ms: 3_600_000,
            cancel_grace_ms: 5000,
            max_attempts: 3,
            poison_limit: 5,
            ring_bytes: 64 * 1024,
            sync_before_show: false,
            subscribers_per_task: 16,
            subscribers_max: 1024,
            reattach_ms: 5000,
            rate_limits: crate::RateLimits::default(),
            coalesce_ms: 0,
            retention: Retention::default(),
        }
    }
}
