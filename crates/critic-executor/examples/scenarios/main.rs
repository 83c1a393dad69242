//! The acceptance scenarios, side by side with running everything: what ran, what was gated, what it took.
//!
//! Time is simulated, so the table is the same on every machine. The tests of this crate hold its numbers.

mod critics;
mod scenario;

use scenario::{Error, Outcome};

fn main() -> Result<(), Error> {
    // One scenario has a critic that panics; the report tells of it, so its trace is left out.
    std::panic::set_hook(Box::new(|_| {}));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let scenarios = runtime.block_on(scenario::all())?;
    #[expect(clippy::print_stdout, reason = "the table is what the example is for")]
    for scenario in scenarios {
        println!("{}", scenario.title);
        println!(
            "  {:<24} {:>12} {:>12} {:>12} {:>7} {:>7} {:>8}  verdict",
            "how", "time", "cost", "saved", "calls", "gated", "missing"
        );
        for outcome in &scenario.outcomes {
            println!("  {}", line(outcome));
        }
        println!();
    }
    Ok(())
}

fn line(outcome: &Outcome) -> String {
    let verdicts: Vec<_> = outcome
        .verdicts
        .iter()
        .map(|(verdict, runs)| match outcome.verdicts.len() {
            1 if *runs == 1 => (*verdict).to_owned(),
            _ => format!("{verdict} {runs}"),
        })
        .collect();
    let note = if outcome.note.is_empty() { String::new() } else { format!("; {}", outcome.note) };
    format!(
        "{:<24} {:>12} {:>12} {:>12} {:>7} {:>7} {:>8}  {}{note}",
        outcome.how,
        format!("{} ms", outcome.elapsed.as_millis()),
        outcome.cost.to_string(),
        outcome.saved.to_string(),
        outcome.attempts,
        outcome.gated,
        outcome.missing,
        verdicts.join(", "),
    )
}
