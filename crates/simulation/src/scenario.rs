mod draw;

use orchestrator_core::{Class, Limits};

/// Everything that happens from the outside in one simulated stretch of time, written out: tasks and faults
/// can be left out one by one, so that a failure shrinks.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Where it came from.
    pub seed: u64,
    /// What kind of load it is.
    pub load: Load,
    /// The last task arrives and the last fault begins before this instant.
    pub until_ms: u64,
    /// Of the daemon.
    pub settings: Settings,
    /// Time of a commit's write and fsync: the least, and the mean of what comes on top.
    pub commit_ms: (u64, f64),
    pub replicas: Vec<ReplicaPlan>,
    /// By instant of arrival.
    pub tasks: Vec<TaskPlan>,
    /// By instant of their beginning.
    pub faults: Vec<Fault>,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// One client, one replica, no faults.
    Small,
    /// Below what the replicas can do, in bursts.
    Bursty,
    /// Twice what the replicas can do, for the whole time; without faults.
    Overload,
    /// One client, slightly more than can be done, a constant rate of service and no faults: for the errors of
    /// estimates.
    Steady,
}

/// What the daemon is configured with; the names are those of its options.
#[derive(Debug, Clone)]
pub struct Settings {
    pub limits: Limits,
    pub queue_max_ms: u64,
    pub idle_ms: u64,
    pub wall_ms: u64,
    pub cancel_grace_ms: u64,
    pub reattach_ms: u64,
    pub max_attempts: u32,
    pub poison_limit: u32,
}

/// One replica and how fast it is.
#[derive(Debug, Clone)]
pub struct ReplicaPlan {
    pub slots: u32,
    /// Numbers of the models that it serves.
    pub models: Vec<u8>,
    /// Prompt tokens a second.
    pub prefill_per_s: u64,
    /// Time of one generated token.
    pub decode_us: u64,
    /// Whether it computes in the daemon: it dies with it, and tasks that it dies under are counted.
    pub in_process: bool,
}

/// One task and what its client does.
#[derive(Debug, Clone)]
pub struct TaskPlan {
    /// Its number in the scenario that was drawn; it stays when others are left out.
    pub number: u32,
    pub at_ms: u64,
    /// Number of the client.
    pub identity: u8,
    pub class: Class,
    pub model: u8,
    pub prompt_tokens: u64,
    /// What the model would answer.
    pub output_tokens: u64,
    /// From arrival.
    pub deadline_ms: Option<u64>,
    /// From arrival, if the client changes its mind.
    pub cancel_after_ms: Option<u64>,
    /// From arrival, if the client goes away; and whether the task is to end then unless it is back in time.
    pub leave_after_ms: Option<u64>,
    /// How long it stays away.
    pub away_ms: Option<u64>,
    /// Its idempotency key: requests of equal keys are one request that its client repeats.
    pub key: Option<u32>,
    pub wish: WishPlan,
}

/// What a task asks of its place, by numbers of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WishPlan {
    /// The only one to take.
    pub pin: Option<usize>,
    /// The one to take as long as it has a slot.
    pub prefer: Option<usize>,
    /// Whether it waits for the preferred one.
    pub no_fallback: bool,
    /// The one not to take.
    pub avoid: Option<usize>,
}

/// Something that breaks.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Its number in the scenario that was drawn.
    pub number: u32,
    pub at_ms: u64,
    pub kind: FaultKind,
}

/// What breaks, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The daemon is killed and started again.
    Kill { down_ms: u64 },
    /// As `Kill`, with the whole machine: what was not synced is gone, the clock begins anew.
    PowerLoss { down_ms: u64 },
    /// The store's device is full.
    DeviceFull { for_ms: u64 },
    /// One fsync takes this long.
    SlowFsync { takes_ms: u64 },
    /// A worker dies and comes back.
    WorkerDies { replica: usize, down_ms: u64 },
    /// A worker stops in the middle of everything and goes on, or not, when its time is over.
    WorkerHangs { replica: usize, for_ms: u64 },
    /// A worker dies again and again.
    WorkerFlaps { replica: usize, times: u32, every_ms: u64 },
    /// A worker takes so many per cent of its usual time.
    WorkerSlow { replica: usize, for_ms: u64, percent: u64 },
    /// The worker does not confirm aborts.
    AbortsUnheard { replica: usize, for_ms: u64 },
    /// The configuration gives the replica other slots for a while; 0 drains it.
    Resized { replica: usize, slots: u32, for_ms: u64 },
    /// The configuration gives the queues other bounds and shares, from now on.
    Reloaded { limits: Box<Limits> },
}

impl Scenario {
    /// The scenario of a seed, `hours` long.
    #[must_use]
    pub fn of_seed(seed: u64, hours: f64) -> Self {
        draw::scenario(seed, hours)
    }

    /// The smallest world: one client, one replica, no faults.
    #[must_use]
    pub fn small(seed: u64, hours: f64) -> Self {
        draw::with_load(seed, hours, Load::Small)
    }

    /// As [`Self::of_seed`] with a load of one's own choice.
    #[must_use]
    pub fn with_load(seed: u64, hours: f64, load: Load) -> Self {
        draw::with_load(seed, hours, load)
    }

    /// Without the tasks and faults whose numbers `keeps_task` and `keeps_fault` deny.
    #[must_use]
    pub fn filtered(
        &self,
        keeps_task: impl Fn(u32) -> bool,
        keeps_fault: impl Fn(u32) -> bool,
    ) -> Self {
        let mut kept = self.clone();
        kept.tasks.retain(|task| keeps_task(task.number));
        kept.faults.retain(|fault| keeps_fault(fault.number));
        kept
    }
}

impl ReplicaPlan {
    /// How long it takes for so many tokens at its usual speed, in milliseconds.
    #[must_use]
    pub fn service_ms(&self, prompt_tokens: u64, output_tokens: u64) -> u64 {
        self.prefill_ms(prompt_tokens) + (output_tokens * self.decode_us).div_ceil(1000)
    }

    /// Until the first token, in milliseconds.
    pub(crate) fn prefill_ms(&self, prompt_tokens: u64) -> u64 {
        (prompt_tokens * 1000).div_ceil(self.prefill_per_s)
    }
}
