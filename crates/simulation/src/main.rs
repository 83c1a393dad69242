//! `simulate`: runs seeds of the simulation, shrinks what fails, and reports what the rest was like.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for people and CI, not a library"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use clap::{Parser, ValueEnum};
use simulation::{
    Failure, Load, Plant, Scenario, Tally, estimates, in_time_of_oracle, report, run, shrink, trace,
};

/// Lines of a trace that are printed at most; the end of it is what matters.
const TRACE_LINES_MAX: usize = 200;

/// Failing seeds that are shrunk; the others are only named.
const SHRUNK_MAX: usize = 3;

/// Simulates hours of load and faults from seeds, judged after every step.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Simulated hours of each seed in which tasks arrive and things break.
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
    /// The kind of load; each seed draws its own without this.
    #[arg(long, value_enum)]
    load: Option<Kind>,
    /// Plants a fault that must be found.
    #[arg(long, value_parser = Plant::ALL.map(|(name, _)| name))]
    plant: Option<String>,
    /// Only the tasks of these numbers, as a shrunk failure names them.
    #[arg(long, value_delimiter = ',')]
    only_tasks: Option<Vec<u32>>,
    /// Only the faults of these numbers, or `none`.
    #[arg(long)]
    only_faults: Option<String>,
    /// Tasks and faults up to this instant, in milliseconds.
    #[arg(long)]
    until_ms: Option<u64>,
    /// Print everything that happens in seeds that fail, and do not shrink them.
    #[arg(long)]
    trace: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Small,
    Bursty,
    Overload,
    Steady,
}

/// What came of one seed.
struct Ran {
    load: Load,
    tally: Tally,
    /// Of an overloaded one: tasks that the oracle finished in time.
    in_time_of_oracle: u64,
    failure: Option<Failure>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.only_faults() {
        Ok(faults) => simulate(&arguments, faults.as_ref()),
        Err(error) => {
            eprintln!("error: --only-faults takes numbers and commas, or `none`: {error}");
            ExitCode::from(2)
        }
    }
}

fn simulate(arguments: &Arguments, only_faults: Option<&BTreeSet<u32>>) -> ExitCode {
    let began = now();
    let plant = arguments.plant();
    let next = AtomicU64::new(0);
    let found: Mutex<BTreeMap<u64, Ran>> = Mutex::default();
    let work = || loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= arguments.seeds {
            break;
        }
        let seed = arguments.from + index;
        let scenario = arguments.scenario(seed, only_faults);
        let (tally, failure) = run(&scenario, plant);
        let oracle = if scenario.load == Load::Overload { in_time_of_oracle(&scenario) } else { 0 };
        let ran = Ran { load: scenario.load, tally, in_time_of_oracle: oracle, failure };
        found.lock().expect("no holder panics").insert(seed, ran);
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let seconds = now().duration_since(began).as_secs_f64();
    let found = found.into_inner().expect("no holder panics");
    let mut failing = Vec::new();
    let (mut all, mut overload, mut steady) = <(Tally, Tally, Tally)>::default();
    let mut in_time_of_oracle = 0;
    for (seed, ran) in found {
        if ran.load == Load::Overload {
            overload.add(ran.tally.clone());
            in_time_of_oracle += ran.in_time_of_oracle;
        }
        if ran.load == Load::Steady {
            steady.add(ran.tally.clone());
        }
        all.add(ran.tally);
        failing.extend(ran.failure.map(|failure| (seed, failure)));
    }
    println!("{}", report(&all));
    if overload.deadlines.accepted > 0 {
        print_deadlines(&overload, in_time_of_oracle);
    }
    println!("at a constant rate of service:\n{}", estimates(&steady));
    println!("over all loads and faults:\n{}\n", estimates(&all));
    let hours = all.simulated_ms as f64 / 3_600_000.0;
    let speed = hours / seconds;
    println!(
        "{} seeds, {hours:.1} hours in {seconds:.1} s ({speed:.1} hours a second): {} steps, {} tasks, {} deaths of the daemon",
        arguments.seeds, all.steps, all.accepted, all.crashes,
    );
    for (index, (seed, failure)) in failing.iter().enumerate() {
        println!("\nseed {seed} fails at {} ms: {}", failure.at_ms, failure.violation);
        if index < SHRUNK_MAX {
            explain(arguments, only_faults, *seed, failure);
        }
    }
    if failing.is_empty() {
        println!("no invariant was broken");
        return ExitCode::SUCCESS;
    }
    println!("\n{} of {} seeds fail", failing.len(), arguments.seeds);
    ExitCode::FAILURE
}

/// Prints the smallest scenario that fails like the seed, what happens in it, and how to see that again.
fn explain(
    arguments: &Arguments,
    only_faults: Option<&BTreeSet<u32>>,
    seed: u64,
    failure: &Failure,
) {
    let scenario = arguments.scenario(seed, only_faults);
    let plant = arguments.plant();
    if arguments.trace {
        println!("{}", trace(&scenario, plant).join("\n"));
        return;
    }
    let shrunk = shrink(&scenario, plant, failure);
    let small = &shrunk.scenario;
    println!(
        "shrunk in {} tries to {} tasks and {} faults; it fails at {} ms: {}",
        shrunk.tries,
        small.tasks.len(),
        small.faults.len(),
        shrunk.failure.at_ms,
        shrunk.failure.violation,
    );
    let lines = trace(small, plant);
    let hidden = lines.len().saturating_sub(TRACE_LINES_MAX);
    if hidden > 0 {
        println!("  ({hidden} lines before these)");
    }
    for line in &lines[hidden..] {
        println!("  {line}");
    }
    let list = |numbers: Vec<String>| match numbers.is_empty() {
        true => "none".to_owned(),
        false => numbers.join(","),
    };
    let tasks = list(small.tasks.iter().map(|task| task.number.to_string()).collect());
    let faults = list(small.faults.iter().map(|fault| fault.number.to_string()).collect());
    let load = arguments.load.map(|load| format!(" --load {}", load.name())).unwrap_or_default();
    let planted = arguments.plant.as_ref().map(|it| format!(" --plant {it}")).unwrap_or_default();
    println!(
        "again: cargo xtask sim --from {seed} --seeds 1 --hours {}{load}{planted} --until-ms {} --only-tasks {tasks} --only-faults {faults} --trace",
        arguments.hours, small.until_ms,
    );
}

fn print_deadlines(overload: &Tally, in_time_of_oracle: u64) {
    let deadlines = overload.deadlines;
    let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
    println!(
        "deadlines at twice the load: {} of {} tasks accepted, {:.1} % of those missed; {} in time, {:.0} % of the {} of an oracle\n",
        deadlines.accepted,
        deadlines.offered,
        share(deadlines.missed, deadlines.accepted),
        deadlines.in_time,
        share(deadlines.in_time, in_time_of_oracle),
        in_time_of_oracle,
    );
}

impl Arguments {
    fn scenario(&self, seed: u64, only_faults: Option<&BTreeSet<u32>>) -> Scenario {
        let drawn = match self.load {
            None => Scenario::of_seed(seed, self.hours),
            Some(kind) => Scenario::with_load(seed, self.hours, kind.load()),
        };
        let until_ms = self.until_ms.unwrap_or(drawn.until_ms);
        let has_task = |number| self.only_tasks.as_ref().is_none_or(|only| only.contains(&number));
        let has_fault = |number| only_faults.is_none_or(|only| only.contains(&number));
        let mut scenario = drawn.filtered(has_task, has_fault);
        scenario.until_ms = until_ms;
        scenario.tasks.retain(|task| task.at_ms < until_ms);
        scenario.faults.retain(|fault| fault.at_ms < until_ms);
        scenario
    }

    fn plant(&self) -> Option<Plant> {
        let name = self.plant.as_deref()?;
        Plant::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, plant)| plant)
    }

    fn only_faults(&self) -> Result<Option<BTreeSet<u32>>, std::num::ParseIntError> {
        match self.only_faults.as_deref() {
            None => Ok(None),
            Some("none") => Ok(Some(BTreeSet::new())),
            Some(numbers) => numbers.split(',').map(str::parse).collect::<Result<_, _>>().map(Some),
        }
    }
}

impl Kind {
    fn load(self) -> Load {
        match self {
            Self::Small => Load::Small,
            Self::Bursty => Load::Bursty,
            Self::Overload => Load::Overload,
            Self::Steady => Load::Steady,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Bursty => "bursty",
            Self::Overload => "overload",
            Self::Steady => "steady",
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock is read to tell how fast it was")]
fn now() -> Instant {
    Instant::now()
}
