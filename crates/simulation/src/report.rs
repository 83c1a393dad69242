use std::fmt::Write;

use orchestrator_core::Class;

use crate::Tally;

/// Waits, ends and refusals as a table for people.
#[must_use]
pub fn report(tally: &Tally) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}"); // writing to a string cannot fail
    };
    line(format!("{:<34}{:>9}{:>11}{:>11}", "wait to first start", "tasks", "p50", "p95"));
    for class in [Class::Interactive, Class::Batch] {
        let of = |flood: bool| {
            let own = tally
                .waits_ms
                .iter()
                .filter(|((of, client), _)| *of == class && (*client == 0) == flood);
            own.flat_map(|(_, waits)| waits.iter().copied()).collect::<Vec<u64>>()
        };
        for (who, waits) in [("client that floods", of(true)), ("other clients", of(false))] {
            let class = match class {
                Class::Interactive => "interactive",
                Class::Batch => "batch",
            };
            line(waits_line(&format!("{class}, {who}"), waits));
        }
    }
    line(String::new());
    for (state, count) in &tally.ends {
        line(format!("{:<34}{count:>9}", format!("ended {state:?}").to_lowercase()));
    }
    for (why, count) in &tally.refused {
        line(format!("{:<34}{count:>9}", format!("refused: {why}")));
    }
    let counts = [
        ("repeated requests, answered as before", tally.replayed),
        ("attempts of tasks that ask for a place", tally.wished),
        ("changes of the queues' bounds", tally.reloads),
    ];
    for (what, count) in counts {
        line(format!("{what:<38}{count:>5}"));
    }
    text
}

/// How good the estimates of starts were.
#[must_use]
pub fn estimates(tally: &Tally) -> String {
    let line = |name: &str, only_deep: bool| {
        let own = || tally.estimates.iter().filter(|it| it.deep || !only_deep);
        let mut off: Vec<u32> = own().map(|it| it.off_percent).collect();
        if off.is_empty() {
            return format!("estimates of starts, {name}: none");
        }
        off.sort_unstable();
        let covered = own().filter(|it| it.is_covered).count();
        let at = |percent: usize| off[(off.len() - 1) * percent / 100];
        format!(
            "estimates of starts, {name}: {} tasks, off by {} % (p50) and {} % (p95) of the wait; {:.0} % within the interval of 80 %",
            off.len(),
            at(50),
            at(95),
            100.0 * covered as f64 / off.len() as f64,
        )
    };
    format!(
        "{}\n{}",
        line("all that waited a second or were told to", false),
        line("behind 40 starts or more", true)
    )
}

fn waits_line(name: &str, mut waits: Vec<u64>) -> String {
    waits.sort_unstable();
    let at = |percent: usize| match waits.len() {
        0 => "-".to_owned(),
        len => format!("{:.1} s", waits[(len - 1) * percent / 100] as f64 / 1000.0),
    };
    format!("{name:<34}{:>9}{:>11}{:>11}", waits.len(), at(50), at(95))
}
