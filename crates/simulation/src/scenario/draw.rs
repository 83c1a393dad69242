use std::num::NonZeroU32;

use orchestrator_core::{Class, Limits, WaitObjective, WhenFull};

use super::{Fault, FaultKind, Load, ReplicaPlan, Scenario, Settings, TaskPlan, WishPlan};
use crate::dice::Dice;

/// Streams of random numbers, so that the draw of one part does not shift another's.
const OF_LOAD: u64 = 1;
const OF_REPLICAS: u64 = 2;
const OF_SETTINGS: u64 = 3;
const OF_TASKS: u64 = 4;
const OF_FAULTS: u64 = 5;
const OF_OBJECTIVE: u64 = 6;
const OF_RELOADS: u64 = 7;
const OF_KEYS: u64 = 8;
const OF_WISHES: u64 = 9;

/// Most times that a client repeats a request.
const DUPLICATES_MAX: u64 = 20;

const HOUR_MS: f64 = 3_600_000.0;

/// Of a hundred seeds, so many each: small, overload, steady; the rest is bursty, with faults.
const SHARES: [(u64, Load); 3] = [(5, Load::Small), (10, Load::Overload), (10, Load::Steady)];

pub(super) fn scenario(seed: u64, hours: f64) -> Scenario {
    let mut rolled = Dice::new(seed, OF_LOAD).below(100);
    let load = SHARES.iter().find_map(|(share, load)| {
        let is_hit = rolled < *share;
        rolled = rolled.saturating_sub(*share);
        is_hit.then_some(*load)
    });
    with_load(seed, hours, load.unwrap_or(Load::Bursty))
}

pub(super) fn with_load(seed: u64, hours: f64, load: Load) -> Scenario {
    let until_ms = std::time::Duration::from_secs_f64(hours * HOUR_MS / 1000.0).as_millis();
    let until_ms = u64::try_from(until_ms).unwrap_or(u64::MAX);
    let replicas = replicas(&mut Dice::new(seed, OF_REPLICAS), load);
    let mut tasks = Arrivals::new(seed, load, until_ms, &replicas).draw();
    let mut happenings = Vec::new();
    if load == Load::Bursty {
        wish(&mut Dice::new(seed, OF_WISHES), &mut tasks, &replicas);
        repeat(&mut Dice::new(seed, OF_KEYS), &mut tasks, until_ms);
        happenings = faults(&mut Dice::new(seed, OF_FAULTS), until_ms, &replicas);
        happenings.extend(reloads(&mut Dice::new(seed, OF_RELOADS), until_ms));
        happenings.sort_by_key(|fault| fault.at_ms);
    }
    for (number, fault) in (0..).zip(&mut happenings) {
        fault.number = number;
    }
    let faults = happenings;
    let mut settings = settings(&mut Dice::new(seed, OF_SETTINGS), load);
    if load == Load::Bursty {
        settings.limits.objective = objective(&mut Dice::new(seed, OF_OBJECTIVE));
    }
    Scenario { seed, load, until_ms, settings, commit_ms: (1, 4.0), replicas, tasks, faults }
}

fn settings(dice: &mut Dice, load: Load) -> Settings {
    let limits = match load {
        Load::Small | Load::Steady => Limits { model_capacity: 64, ..Limits::default() },
        Load::Overload => {
            Limits { model_capacity: 64, batch_max_wait_ms: 120_000, ..Limits::default() }
        }
        Load::Bursty => Limits {
            model_capacity: dice.between(8, 96),
            batch_share_percent: u8::try_from(dice.between(30, 100)).expect("at most 100"),
            total_capacity: dice.between(24, 160),
            bytes_max: dice.between(64, 1024) * 1024,
            interactive_weight: NonZeroU32::new(u32::try_from(dice.between(1, 8)).expect("small"))
                .expect("at least one"),
            batch_max_wait_ms: dice.between(10, 120) * 1000,
            when_full: if dice.percent(40) { WhenFull::DropLru } else { WhenFull::Reject },
            ..Limits::default()
        },
    };
    Settings {
        limits,
        queue_max_ms: if load == Load::Bursty {
            dice.between(5, 120) * 60_000
        } else {
            24 * 3_600_000
        },
        idle_ms: 60_000,
        wall_ms: 3_600_000,
        cancel_grace_ms: 5000,
        reattach_ms: 5000,
        max_attempts: 3,
        poison_limit: 5,
    }
}

/// How long interactive tasks may wait before batch makes way; every second daemon wants nothing of it.
fn objective(dice: &mut Dice) -> Option<WaitObjective> {
    let wanted = WaitObjective {
        wait_p95_ms: dice.between(2, 60) * 1000,
        window_ms: dice.between(10, 120) * 1000,
    };
    dice.percent(50).then_some(wanted)
}

fn replicas(dice: &mut Dice, load: Load) -> Vec<ReplicaPlan> {
    let count = match load {
        Load::Small => 1,
        Load::Steady => 1,
        Load::Overload => dice.between(1, 3),
        Load::Bursty => dice.between(1, 4),
    };
    let models: u8 = if load == Load::Bursty && count > 1 && dice.percent(60) { 2 } else { 1 };
    let replica = |number: u64| ReplicaPlan {
        slots: if load == Load::Small {
            1
        } else {
            u32::try_from(dice.between(1, 4)).expect("small")
        },
        // The first serves all, so that every model has a replica.
        models: (0..models).filter(|_| number == 0 || dice.percent(60)).collect(),
        prefill_per_s: dice.between(500, 5000),
        decode_us: dice.between(8, 40) * 1000,
        in_process: load == Load::Bursty && number == 0 && dice.percent(25),
    };
    let mut replicas: Vec<_> = (0..count).map(replica).collect();
    for replica in &mut replicas {
        if replica.models.is_empty() {
            replica.models.push(0);
        }
    }
    replicas
}

/// Draws the tasks of clients that work in bursts.
struct Arrivals<'a> {
    dice: Dice,
    load: Load,
    until_ms: u64,
    replicas: &'a [ReplicaPlan],
    tasks: Vec<TaskPlan>,
}

/// How one client works.
struct Habit {
    identity: u8,
    /// Share of all work.
    share: f64,
    /// Tasks that come together: the least and the shape of the tail.
    burst: (u64, f64),
    batch_percent: u64,
    deadline_percent: u64,
    restless_percent: u64,
}

impl<'a> Arrivals<'a> {
    fn new(seed: u64, load: Load, until_ms: u64, replicas: &'a [ReplicaPlan]) -> Self {
        Self { dice: Dice::new(seed, OF_TASKS), load, until_ms, replicas, tasks: Vec::new() }
    }

    fn draw(mut self) -> Vec<TaskPlan> {
        let identities = match self.load {
            // One alone, so that nobody passes anybody: estimates foresee no arrivals.
            Load::Small | Load::Steady => 1,
            Load::Overload => 3,
            Load::Bursty => self.dice.between(1, 6),
        };
        let demand = match self.load {
            Load::Small => 0.6,
            // Above what can be done, so that the queue becomes deep.
            Load::Steady => 1.05,
            Load::Overload => 2.0,
            // From idle to more than can be done.
            Load::Bursty => 0.3 + 0.1 * self.dice.below(13) as f64,
        };
        for identity in 0..identities {
            let habit = self.habit(u8::try_from(identity).expect("few"), identities);
            self.draw_of(&habit, demand);
        }
        in_order(&mut self.tasks);
        self.tasks
    }

    fn habit(&mut self, identity: u8, identities: u64) -> Habit {
        let share = 1.0 / identities as f64;
        let is_plain = matches!(self.load, Load::Small | Load::Steady);
        Habit {
            identity,
            // The first one floods.
            share: if identity == 0 && identities > 1 { share * 2.0 } else { share },
            burst: if is_plain { (1, 3.0) } else { (1 + self.dice.below(4), 1.3) },
            batch_percent: match self.load {
                Load::Small | Load::Steady => 0,
                Load::Overload => 40,
                Load::Bursty => self.dice.below(101),
            },
            deadline_percent: match self.load {
                Load::Small | Load::Steady => 0,
                Load::Overload => 60,
                Load::Bursty => self.dice.below(40),
            },
            restless_percent: if self.load == Load::Bursty { self.dice.below(12) } else { 0 },
        }
    }

    fn draw_of(&mut self, habit: &Habit, demand: f64) {
        let slots: u32 = self.replicas.iter().map(|replica| replica.slots).sum();
        let mean_ms = self.mean_service_ms() / (f64::from(slots) * demand * habit.share);
        let mut at_ms = self.dice.exponential_ms(mean_ms);
        while at_ms < self.until_ms {
            let burst = self.dice.pareto(habit.burst.0, habit.burst.1, 60);
            for _ in 0..burst {
                let task = self.task(habit, at_ms);
                self.tasks.push(task);
                at_ms += self.dice.exponential_ms(120.0);
            }
            at_ms += self.dice.exponential_ms(mean_ms * burst as f64);
        }
        self.tasks.retain(|task| task.at_ms < self.until_ms);
    }

    /// Of an average task on an average replica.
    fn mean_service_ms(&self) -> f64 {
        let of = |replica: &ReplicaPlan| replica.service_ms(600, 250) as f64;
        self.replicas.iter().map(of).sum::<f64>() / self.replicas.len() as f64
    }

    fn task(&mut self, habit: &Habit, at_ms: u64) -> TaskPlan {
        let dice = &mut self.dice;
        let models = self.replicas.iter().flat_map(|replica| &replica.models).max();
        let model = dice.below(u64::from(*models.expect("every replica has a model")) + 1);
        let is_steady = matches!(self.load, Load::Steady | Load::Small);
        let prompt_tokens = if is_steady { 600 } else { dice.pareto(200, 1.5, 16_000) };
        let output_tokens = if is_steady { 250 } else { dice.pareto(80, 1.5, 2000) };
        let deadline_ms = dice.percent(habit.deadline_percent).then(|| {
            let patience = self.replicas[0].service_ms(prompt_tokens, output_tokens);
            patience * dice.between(11, 60) / 10
        });
        let is_restless = dice.percent(habit.restless_percent);
        let cancel_after_ms =
            (is_restless && dice.percent(50)).then(|| dice.exponential_ms(20_000.0));
        let leaves = is_restless && cancel_after_ms.is_none();
        TaskPlan {
            number: 0,
            at_ms,
            identity: habit.identity,
            class: if dice.percent(habit.batch_percent) {
                Class::Batch
            } else {
                Class::Interactive
            },
            model: u8::try_from(model).expect("few"),
            prompt_tokens,
            output_tokens,
            deadline_ms,
            cancel_after_ms,
            leave_after_ms: leaves.then(|| dice.exponential_ms(15_000.0)),
            away_ms: (leaves && dice.percent(60)).then(|| dice.exponential_ms(4000.0)),
            key: None,
            wish: WishPlan::default(),
        }
    }
}

/// Sorts tasks by arrival, and numbers them.
fn in_order(tasks: &mut [TaskPlan]) {
    tasks.sort_by_key(|task| task.at_ms);
    for (number, task) in (0..).zip(tasks) {
        task.number = number;
    }
}

/// Some clients ask for a place, in every third world.
fn wish(dice: &mut Dice, tasks: &mut [TaskPlan], replicas: &[ReplicaPlan]) {
    if !dice.percent(35) {
        return;
    }
    for task in tasks {
        let serves = |(_, replica): &(usize, &ReplicaPlan)| replica.models.contains(&task.model);
        let serving: Vec<usize> =
            replicas.iter().enumerate().filter(serves).map(|(number, _)| number).collect();
        let one = Some(serving[dice.index(serving.len())]);
        let kind = dice.below(12);
        task.wish = match kind {
            0 => WishPlan { pin: one, ..WishPlan::default() },
            1..=2 => WishPlan { prefer: one, no_fallback: kind == 2, ..WishPlan::default() },
            3 if serving.len() > 1 => WishPlan { avoid: one, ..WishPlan::default() },
            _ => WishPlan::default(),
        };
    }
}

/// Some clients repeat a request, up to twenty times, as they heard no answer or did not wait for one.
fn repeat(dice: &mut Dice, tasks: &mut Vec<TaskPlan>, until_ms: u64) {
    if !dice.percent(50) {
        return;
    }
    let mut again = Vec::new();
    for (key, task) in (0..).zip(tasks.iter_mut()) {
        if !dice.percent(3) {
            continue;
        }
        task.key = Some(key);
        // Most within the time of a commit, some long after.
        let pause_ms = [2.0, 500.0, 30_000.0][dice.index(3)];
        for _ in 0..dice.between(1, DUPLICATES_MAX) {
            let at_ms = task.at_ms + dice.exponential_ms(pause_ms);
            again.push(TaskPlan { at_ms, ..task.clone() });
        }
    }
    tasks.extend(again);
    tasks.retain(|task| task.at_ms < until_ms);
    in_order(tasks);
}

/// In most worlds the bounds of the queues change now and then.
fn reloads(dice: &mut Dice, until_ms: u64) -> Vec<Fault> {
    let mut reloads = Vec::new();
    let mean_ms = if dice.percent(60) { 300_000.0 } else { f64::INFINITY };
    let mut at_ms = dice.exponential_ms(mean_ms);
    while at_ms < until_ms {
        let mut limits = settings(dice, Load::Bursty).limits;
        limits.objective = objective(dice);
        let kind = FaultKind::Reloaded { limits: Box::new(limits) };
        reloads.push(Fault { number: 0, at_ms, kind });
        at_ms += dice.exponential_ms(mean_ms);
    }
    reloads
}

fn faults(dice: &mut Dice, until_ms: u64, replicas: &[ReplicaPlan]) -> Vec<Fault> {
    let mut faults = Vec::new();
    // Some seeds are quiet; the worst have a fault a minute.
    let mean_ms = [f64::INFINITY, 1_800_000.0, 600_000.0, 180_000.0, 60_000.0][dice.index(5)];
    if mean_ms.is_infinite() {
        return faults;
    }
    let mut at_ms = dice.exponential_ms(mean_ms);
    while at_ms < until_ms {
        let replica = dice.index(replicas.len());
        let kind = match dice.below(20) {
            0..=2 => FaultKind::Kill { down_ms: dice.between(5, 3000) },
            3 => FaultKind::PowerLoss { down_ms: dice.between(1000, 60_000) },
            4..=5 => FaultKind::DeviceFull { for_ms: dice.exponential_ms(20_000.0) },
            6..=7 => FaultKind::SlowFsync { takes_ms: dice.between(200, 5000) },
            8..=11 => FaultKind::WorkerDies { replica, down_ms: dice.exponential_ms(15_000.0) },
            12..=13 => FaultKind::WorkerHangs { replica, for_ms: dice.exponential_ms(60_000.0) },
            14..=15 => FaultKind::WorkerFlaps {
                replica,
                times: u32::try_from(dice.between(2, 6)).expect("small"),
                every_ms: dice.between(300, 8000),
            },
            16..=17 => FaultKind::WorkerSlow {
                replica,
                for_ms: dice.exponential_ms(120_000.0),
                percent: dice.between(110, 800),
            },
            18 => FaultKind::AbortsUnheard { replica, for_ms: dice.exponential_ms(60_000.0) },
            _ => FaultKind::Resized {
                replica,
                slots: u32::try_from(dice.below(6)).expect("small"),
                for_ms: dice.exponential_ms(60_000.0),
            },
        };
        faults.push(Fault { number: 0, at_ms, kind });
        at_ms += dice.exponential_ms(mean_ms);
    }
    faults
}
