mod attempts;
mod clients;
mod faults;
mod recovery;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use orchestrator_core::{
    Action, EndedBy, Event, Forecast, Lease, Limits, Offer, QueueLimit, Replica, Restored, TaskId,
    TaskState, Work,
};
use placement::{Request, Wish, WishMode};

use crate::{
    agenda::Agenda,
    dice::Dice,
    engine::Engine,
    journal::{Commit, Journal, Row, Then},
    judge::Judge,
    names::{Names, task_id, task_number},
    plant::{Plant, PlantedScheduler},
    scenario::{FaultKind, Scenario, TaskPlan, WishPlan},
    tally::Tally,
    violation::{Violation, ensure},
};

/// How long the daemon waits before it tries a full device again.
const FULL_RETRY_MS: u64 = 250;

/// Wait before a task is offered again to engines that had no room.
const OVERLOADED_RETRY_MS: u64 = 500;

/// Waits before a task is tried again alone, by how many times the daemon died under it.
const ALONE_AFTER_MS: [u64; 3] = [1000, 10_000, 60_000];

/// What clients ask for at most.
const ANSWER_TOKENS_MAX: u64 = 2048;

/// Generated tokens of the last moments are lost with the power.
const UNSYNCED_MS: u64 = 100;

/// One run of a scenario: clients, the daemon with its scheduler and store, and the workers.
pub(crate) struct World<'a> {
    plan: &'a Scenario,
    plant: Option<Plant>,
    names: Names,
    /// What the daemon is configured with now.
    limits: Limits,
    now_ms: u64,
    agenda: Agenda<Happening>,
    dice: Dice,
    /// By number in the scenario.
    tasks: BTreeMap<u32, &'a TaskPlan>,
    journal: Journal,
    engines: Vec<Engine>,
    /// Tokens of each task that the event log has.
    logged: BTreeMap<u32, u64>,
    daemon: Option<Daemon>,
    daemons: u32,
    boots: u32,
    booted_ms: u64,
    last_attempt: u64,
    /// Clients that are away.
    absent: BTreeSet<u32>,
    /// How often a client came back.
    arrivals: BTreeMap<u32, u32>,
    /// Tasks that gave a token to the daemon that died last.
    progressed: BTreeSet<u32>,
    judge: Judge,
    shown: Shown,
    /// Faults are over.
    is_calm: bool,
    tally: Tally,
    trace: Option<Vec<String>>,
}

/// What clients were told.
#[derive(Debug, Default)]
struct Shown {
    /// Tasks whose 202 left.
    accepted: BTreeSet<u32>,
    /// Which task each key stood for, as it was told last.
    keys: BTreeMap<u32, u32>,
    ended: BTreeMap<u32, TaskState>,
}

/// What the daemon has in memory: gone when it dies.
struct Daemon {
    number: u32,
    core: PlantedScheduler,
    live: BTreeMap<u32, Live>,
    runs: BTreeMap<Lease, Run>,
    pools: Vec<Pool>,
    parked: BTreeMap<u32, Restored>,
    /// Tasks that end with the commit of a newcomer, by its number.
    evicting: BTreeMap<u32, Vec<u32>>,
    /// Requests that wait for one with the same key that is being admitted.
    gates: BTreeMap<u32, Vec<u32>>,
    /// When tasks should start, as they were told when they came.
    foretold: BTreeMap<u32, Foretold>,
    next_sequence: u64,
    is_store_full: bool,
    wakes_ms: Option<u64>,
    /// Whether it took over what the last one left.
    is_ready: bool,
}

/// To an offer: the numbers of tasks that make room for it, or the bound in its way.
type Answer = Result<Vec<u32>, QueueLimit>;

/// A task that has not ended.
#[derive(Debug, Clone)]
struct Live {
    row: Row,
    stop: Option<Stop>,
    /// Its end is being committed.
    is_ending: bool,
}

/// What a task was told about its start, and when.
#[derive(Debug, Clone, Copy)]
struct Foretold {
    at_ms: u64,
    forecast: Forecast,
}

/// Why a task is to end before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancel,
    Deadline,
}

/// An attempt under way, by its lease.
#[derive(Debug, Clone, Copy)]
struct Run {
    task: u32,
    replica: usize,
    attempt: u64,
    phase: Phase,
    /// What follows from a failure, once it is committed.
    retry_after_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its beginning is being committed.
    Beginning,
    /// The engine is asked.
    Submitting,
    Streaming,
    /// It is over, and what follows is being committed.
    Settling,
}

/// What the daemon believes of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pool {
    is_ready: bool,
    slots: u32,
}

/// What happens at an instant. What concerns a daemon names its number, and is void once that one is gone.
#[derive(Debug, Clone)]
enum Happening {
    Arrives(u32),
    Cancels(u32),
    Leaves(u32),
    Returns(u32),
    /// Nobody may be listening any more.
    Alone {
        daemon: u32,
        task: u32,
        arrivals: u32,
    },
    /// The store's fsync is over.
    Written {
        store: u32,
    },
    Retries {
        daemon: u32,
        commit: Commit,
    },
    /// What a store said that answers too soon.
    TooSoon {
        daemon: u32,
        then: Then,
    },
    Submitted {
        daemon: u32,
        lease: Lease,
    },
    /// An engine is done with an attempt.
    Done {
        replica: usize,
        attempt: u64,
    },
    /// An engine learns that its client is gone.
    Dropped {
        replica: usize,
        attempt: u64,
    },
    /// The watchdog looks at an attempt.
    Watch {
        daemon: u32,
        lease: Lease,
    },
    /// The daemon gives an attempt's slot back, whether or not the engine confirmed.
    Freed {
        daemon: u32,
        lease: Lease,
    },
    Wakes {
        daemon: u32,
    },
    Looks {
        daemon: u32,
        replica: usize,
    },
    LooksForRoom {
        daemon: u32,
    },
    Breaks(usize),
    Mends(FaultKind),
    Starts {
        daemon: u32,
    },
    /// No fault lasts beyond this.
    Calm,
}

impl<'a> World<'a> {
    pub(crate) fn new(plan: &'a Scenario, plant: Option<Plant>, is_traced: bool) -> Self {
        let models = plan.replicas.iter().flat_map(|it| &it.models).max().map_or(0, |it| it + 1);
        let identities = plan.tasks.iter().map(|it| it.identity).max().map_or(0, |it| it + 1);
        let names = Names::new(models.into(), plan.replicas.len(), identities.into());
        let mut agenda = Agenda::new();
        agenda.add(0, Happening::Starts { daemon: 1 });
        for task in &plan.tasks {
            agenda.add(task.at_ms, Happening::Arrives(task.number));
        }
        for (index, fault) in plan.faults.iter().enumerate() {
            agenda.add(fault.at_ms, Happening::Breaks(index));
        }
        agenda.add(plan.until_ms, Happening::Calm);
        Self {
            plan,
            plant,
            judge: Judge::new(plan.settings.limits.clone(), names.clone()),
            names,
            limits: plan.settings.limits.clone(),
            now_ms: 0,
            agenda,
            dice: Dice::new(plan.seed, 101),
            tasks: plan.tasks.iter().map(|task| (task.number, task)).collect(),
            journal: Journal::new(plan.seed, plan.commit_ms),
            engines: plan.replicas.iter().cloned().map(Engine::new).collect(),
            logged: BTreeMap::new(),
            daemon: None,
            daemons: 1,
            boots: 1,
            booted_ms: 0,
            last_attempt: 0,
            absent: BTreeSet::new(),
            arrivals: BTreeMap::new(),
            progressed: BTreeSet::new(),
            shown: Shown::default(),
            is_calm: false,
            tally: Tally::default(),
            trace: is_traced.then(Vec::new),
        }
    }

    /// Lets everything happen, until all is done or something is broken.
    pub(crate) fn run(mut self) -> (Tally, Vec<String>, Option<(u64, Violation)>) {
        let outcome = self.go_on();
        let broken = outcome.err().map(|violation| (self.now_ms, violation));
        self.tally.simulated_ms = self.now_ms;
        self.tally.positions += self.judge.positions_tried;
        (self.tally, self.trace.unwrap_or_default(), broken)
    }

    fn go_on(&mut self) -> Result<(), Violation> {
        let mut bound_ms = u64::MAX;
        while let Some((at_ms, happening)) = self.agenda.pop() {
            ensure(at_ms <= bound_ms || self.is_done(), 12, || {
                format!(
                    "{} tasks do not end although nothing is broken any more",
                    self.left().len()
                )
            })?;
            self.now_ms = at_ms;
            let is_calm = self.is_calm;
            self.happen(happening)?;
            if self.is_calm && !is_calm {
                bound_ms = self.bound_ms();
            }
            self.check_runs()?;
            if self.is_calm && self.is_idle() {
                break;
            }
        }
        let left = self.left();
        ensure(left.is_empty(), 12, || {
            format!("tasks {left:?} never end: nothing is to happen any more")
        })?;
        self.check_kept()?;
        match &self.daemon {
            Some(daemon) => self.judge.check_empty(&daemon.core.real),
            None => Err(Violation::new(12, "the daemon is down in the end")),
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Arrives(task) => self.arrive(task),
            Happening::Cancels(task) => self.client_cancels(task),
            Happening::Leaves(task) => self.leave(task),
            Happening::Returns(task) => self.come_back(task),
            Happening::Written { store } if store == self.daemons => self.written(),
            Happening::Breaks(index) => self.break_down(index),
            Happening::Mends(kind) => self.mend(&kind),
            Happening::Calm => self.calm_down(),
            Happening::Done { replica, attempt } => self.engine_done(replica, attempt),
            Happening::Dropped { replica, attempt } => {
                self.engines[replica].active.remove(&attempt);
                Ok(())
            }
            Happening::Starts { daemon } => self.start_daemon(daemon),
            Happening::Alone { daemon, task, arrivals } if self.lives(daemon) => {
                self.check_alone(task, arrivals)
            }
            Happening::Retries { daemon, commit } if self.lives(daemon) => {
                self.commit(commit);
                Ok(())
            }
            Happening::TooSoon { daemon, then } if self.lives(daemon) => self.committed(then),
            Happening::Submitted { daemon, lease } if self.lives(daemon) => self.submitted(lease),
            Happening::Watch { daemon, lease } if self.lives(daemon) => self.watch(lease),
            Happening::Freed { daemon, lease } if self.lives(daemon) => self.free(lease),
            Happening::Wakes { daemon } if self.lives(daemon) => self.wake(),
            Happening::Looks { daemon, replica } if self.lives(daemon) => self.look(replica),
            Happening::LooksForRoom { daemon } if self.lives(daemon) => {
                self.look_for_room();
                Ok(())
            }
            // Of a daemon that is gone.
            _ => Ok(()),
        }
    }

    fn lives(&self, daemon: u32) -> bool {
        self.daemon.as_ref().is_some_and(|it| it.number == daemon)
    }

    /// The daemon, which is up: only its own happenings ask.
    fn up(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("only a daemon that is up is asked")
    }

    /// The machine's clock since it booted.
    fn boot_ms(&self) -> u64 {
        self.now_ms - self.booted_ms
    }

    fn later(&mut self, after_ms: u64, happening: Happening) {
        self.agenda.add(self.now_ms.saturating_add(after_ms), happening);
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        let now_ms = self.now_ms;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>10}.{:03} s  {}", now_ms / 1000, now_ms % 1000, line()));
        }
    }

    /// Tells the scheduler something and does what it wants. The answer to an offer is returned.
    fn step(&mut self, event: Event) -> Result<Option<Answer>, Violation> {
        let now_ms = self.boot_ms();
        let daemon = self.daemon.as_mut().expect("only a daemon that is up steps");
        let actions = daemon.core.step(event.clone(), now_ms);
        self.tally.steps += 1;
        if self.trace.is_some() && (event != Event::Tick || !actions.is_empty()) {
            self.note(|| format!("    {} -> {}", told(&event), wants(&actions)));
        }
        let daemon = self.daemon.as_ref().expect("as before");
        self.judge.watch(&event, &actions, now_ms, &daemon.core.real)?;
        let mut answer = None;
        for action in actions {
            match action {
                Action::Reserved { victims, .. } => {
                    answer = Some(Ok(victims.into_iter().map(task_number).collect()));
                }
                Action::Rejected { limit, .. } => answer = Some(Err(limit)),
                Action::Dispatch { task, replica, lease, .. } => {
                    let replica = self.names.replica_number(&replica);
                    self.dispatch(task_number(task), replica, lease)?;
                }
                Action::Ended { task, by, lease } => {
                    self.ended_by_scheduler(task_number(task), by, lease.is_some())?;
                }
            }
        }
        self.set_alarm();
        Ok(answer)
    }

    /// Sees to it that time is told when something is due.
    fn set_alarm(&mut self) {
        let booted_ms = self.booted_ms;
        let now_ms = self.now_ms;
        let daemon = self.up();
        let Some(at_ms) = daemon.core.real.next_wake_ms() else { return };
        let at_ms = (at_ms + booted_ms).max(now_ms);
        if daemon.wakes_ms.is_none_or(|set_ms| at_ms < set_ms) {
            daemon.wakes_ms = Some(at_ms);
            let daemon = daemon.number;
            self.agenda.add(at_ms, Happening::Wakes { daemon });
        }
    }

    fn wake(&mut self) -> Result<(), Violation> {
        let now_ms = self.now_ms;
        let boot_ms = self.boot_ms();
        let daemon = self.up();
        if daemon.wakes_ms.is_some_and(|at_ms| at_ms > now_ms) {
            return Ok(()); // an earlier alarm was set meanwhile, and this one again
        }
        daemon.wakes_ms = None;
        if daemon.core.real.next_wake_ms().is_some_and(|at_ms| at_ms <= boot_ms) {
            self.step(Event::Tick)?;
        }
        self.set_alarm();
        Ok(())
    }

    fn commit(&mut self, commit: Commit) {
        if self.plant == Some(Plant::SkippedFsync) {
            let (daemon, then) = (self.daemons, commit.then);
            self.later(0, Happening::TooSoon { daemon, then });
        }
        if let Some(takes_ms) = self.journal.commit(commit) {
            let store = self.daemons;
            self.later(takes_ms, Happening::Written { store });
        }
    }

    /// An fsync is over: whoever waited for it goes on.
    fn written(&mut self) -> Result<(), Violation> {
        let written = self.journal.written();
        if let Some(task) = written.refused {
            return Err(Violation::new(2, format!("task {task} changes behind its end")));
        }
        if let Some(takes_ms) = self.journal.write() {
            let store = self.daemons;
            self.later(takes_ms, Happening::Written { store });
        }
        for commit in written.commits {
            if self.plant == Some(Plant::SkippedFsync) && written.is_kept {
                continue; // answered long ago
            }
            if written.is_kept {
                self.up().is_store_full = false;
                self.committed(commit.then)?;
            } else {
                self.not_committed(commit)?;
            }
        }
        Ok(())
    }

    fn committed(&mut self, then: Then) -> Result<(), Violation> {
        match then {
            Then::Admitted { task } => self.admitted(task),
            Then::Began { lease } => self.began(lease),
            Then::Requeued { lease } => self.requeued(lease),
            Then::Ended { task } => self.ended(task),
            Then::Recovered => self.take_over(),
        }
    }

    /// The device is full: an admission is given up, everything else waits for room.
    fn not_committed(&mut self, commit: Commit) -> Result<(), Violation> {
        let daemon = self.daemons;
        if !std::mem::replace(&mut self.up().is_store_full, true) {
            self.later(1000, Happening::LooksForRoom { daemon });
        }
        match commit.then {
            Then::Admitted { task } => {
                self.up().live.remove(&task);
                for victim in self.up().evicting.remove(&task).unwrap_or_default() {
                    self.live_mut(victim).is_ending = false;
                }
                self.tally.refused("the device is full");
                self.note(|| format!("task {task} is refused: the device is full"));
                self.step(Event::Withdrawn { task: task_id(task) })?;
                self.open_gate(task)?;
            }
            // It cannot start; somebody starts it again.
            Then::Recovered => self.crash(2000)?,
            Then::Began { .. } | Then::Requeued { .. } | Then::Ended { .. } => {
                self.later(FULL_RETRY_MS, Happening::Retries { daemon, commit });
            }
        }
        Ok(())
    }

    /// A task as the scheduler is told of it.
    fn offer(&self, row: &Row) -> Offer {
        let task = self.tasks[&row.task];
        let settings = &self.plan.settings;
        let model = self.names.model(task.model);
        Offer {
            task: task_id(row.task),
            request: Arc::new(Request { alone: row.daemon_ends >= 2, ..self.request(row.task) }),
            model,
            class: task.class,
            identity: self.names.identity(task.identity),
            sequence: row.sequence,
            prompt_bytes: task.prompt_tokens * 4,
            work: Work {
                prompt_tokens: Some(task.prompt_tokens),
                expected_tokens: None,
                answer_tokens_max: Some(ANSWER_TOKENS_MAX),
            },
            is_evictable: row.attempts.is_empty() && !self.logged.contains_key(&row.task),
            waiting_since_ms: self.since(row),
            deadline_ms: task.deadline_ms.map(|after_ms| self.until(row, after_ms)),
            queue_until_ms: self.until(row, settings.queue_max_ms),
        }
    }

    /// What a task asks of its replica before anything happened to it.
    fn request(&self, task: u32) -> Request {
        let task = self.tasks[&task];
        let WishPlan { pin, prefer, no_fallback, avoid } = task.wish;
        let pool = |replica: usize| Arc::clone(self.names.pool(replica));
        let mode = match (pin, prefer) {
            (Some(_), _) => WishMode::Pin,
            (None, Some(_)) => WishMode::Prefer,
            (None, None) => WishMode::Auto,
        };
        let wish = Wish {
            mode,
            pin_pool: pin.map(pool),
            prefer_pools: prefer.into_iter().map(pool).collect(),
            avoid_pools: avoid.into_iter().map(pool).collect(),
            no_fallback,
            ..Wish::default()
        };
        Request { wish, ..Request::new(self.names.model(task.model).0) }
    }

    /// The boot-time instant of a task's admission; one before the machine's start counts as that start.
    fn since(&self, row: &Row) -> u64 {
        if row.boot == self.boots {
            return row.admitted_boot_ms;
        }
        self.boot_ms().saturating_sub(self.now_ms - row.admitted_ms)
    }

    /// The boot-time instant `after_ms` after a task's admission.
    fn until(&self, row: &Row, after_ms: u64) -> u64 {
        if row.boot == self.boots {
            return row.admitted_boot_ms + after_ms;
        }
        let left_ms = (row.admitted_ms + after_ms).saturating_sub(self.now_ms).min(after_ms);
        self.boot_ms() + left_ms
    }

    /// Tasks that have not ended; that none is lost is looked at when a daemon starts, and in the end.
    fn left(&self) -> Vec<u32> {
        self.journal.live().iter().map(|row| row.task).collect()
    }

    fn is_done(&self) -> bool {
        self.left().is_empty()
    }

    /// Whether nothing is under way in the daemon, and all slots are free.
    fn is_idle(&self) -> bool {
        let is_idle =
            |daemon: &Daemon| daemon.is_ready && daemon.live.is_empty() && self.judge.is_empty();
        self.daemon.as_ref().is_some_and(is_idle)
    }

    /// By when everything has ended once nothing is broken any more: as if all ran one after the other on
    /// the slowest replica, with every delay that a task may have to wait for.
    fn bound_ms(&self) -> u64 {
        let settings = &self.plan.settings;
        let waits_ms = settings.idle_ms
            + settings.cancel_grace_ms
            + settings.reattach_ms
            + ALONE_AFTER_MS[ALONE_AFTER_MS.len() - 1]
            + 60_000;
        let busy = self.engines.iter().flat_map(|engine| engine.active.values());
        let busy_ms = busy.map(|it| it.ends_ms.saturating_sub(self.now_ms)).max().unwrap_or(0);
        let service = |task: u32| {
            let task = self.tasks[&task];
            let serving = self.engines.iter().filter(|it| it.plan.models.contains(&task.model));
            let ms = |it: &Engine| it.plan.service_ms(task.prompt_tokens, task.output_tokens);
            serving.map(ms).max().unwrap_or(0) + OVERLOADED_RETRY_MS
        };
        let work_ms: u64 = self.left().into_iter().map(service).sum();
        self.now_ms + waits_ms + busy_ms + work_ms
    }

    /// No task is at work twice.
    fn check_runs(&self) -> Result<(), Violation> {
        let Some(daemon) = &self.daemon else { return Ok(()) };
        let streaming = daemon.runs.values().filter(|run| run.phase == Phase::Streaming);
        let mut tasks = BTreeSet::new();
        for run in streaming {
            ensure(tasks.insert(run.task), 6, || format!("task {} runs twice at once", run.task))?;
        }
        Ok(())
    }
}

fn told(event: &Event) -> String {
    let number = |task: &TaskId| task_number(*task);
    match event {
        Event::Offered(offer) => {
            let Offer { class, identity, model, .. } = offer;
            format!("offered {} {class:?} of {} for {}", number(&offer.task), identity.0, model.0)
        }
        Event::Committed { task } => format!("committed {}", number(task)),
        Event::Withdrawn { task } => format!("withdrawn {}", number(task)),
        Event::Restored(restored) => {
            format!("restored {} requeued={}", number(&restored.offer.task), restored.requeued)
        }
        Event::ReplicaChanged(Replica { replica, .. }) => {
            format!("{} has {} slots", replica.key, replica.slots)
        }
        Event::AttemptEnded { task, lease, next } => {
            format!("attempt of {} under lease {} ended: {next:?}", number(task), lease.0)
        }
        Event::LeaseReleased { lease } => format!("lease {} given back", lease.0),
        Event::Canceled { task } => format!("cancel {}", number(task)),
        other => format!("{other:?}"),
    }
}

fn wants(actions: &[Action]) -> String {
    let one = |action: &Action| match action {
        Action::Reserved { task, position, victims, .. } => {
            let victims: Vec<u32> = victims.iter().map(|it| task_number(*it)).collect();
            format!("reserved {} at {position}, evicting {victims:?}", task_number(*task))
        }
        Action::Rejected { task, limit, .. } => {
            format!("rejected {} by {limit:?}", task_number(*task))
        }
        Action::Dispatch { task, replica, lease, .. } => {
            format!("dispatch {} to {} under lease {}", task_number(*task), replica, lease.0)
        }
        Action::Ended { task, by, .. } => format!("end {} by {by:?}", task_number(*task)),
    };
    if actions.is_empty() {
        return "nothing".to_owned();
    }
    actions.iter().map(one).collect::<Vec<_>>().join(", ")
}
