use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{ReplicaPlan, Scenario, TaskPlan};

/// How many tasks with a deadline somebody finishes in time who knows how long each takes, has nothing else
/// to do, and always takes up the one whose deadline is next of those that still can be met: what a daemon
/// is held against that knows neither, and serves the others too.
#[must_use]
pub fn in_time_of_oracle(scenario: &Scenario) -> u64 {
    let replicas: Vec<&ReplicaPlan> = scenario.replicas.iter().flat_map(once_a_slot).collect();
    // Slots by when they are free.
    let mut free: BinaryHeap<_> = (0..replicas.len()).map(|slot| Reverse((0, slot))).collect();
    let with_deadline = |task: &&TaskPlan| task.deadline_ms.is_some();
    let mut arriving = scenario.tasks.iter().filter(with_deadline).peekable();
    // By deadline, with tokens of prompt and answer.
    let mut waiting = BinaryHeap::new();
    let mut in_time = 0;
    while let Some(Reverse((mut now_ms, slot))) = free.pop() {
        if waiting.is_empty() {
            let Some(next) = arriving.peek() else { continue };
            now_ms = now_ms.max(next.at_ms);
        }
        while let Some(task) = arriving.next_if(|task| task.at_ms <= now_ms) {
            let deadline_ms = task.at_ms + task.deadline_ms.expect("only such are looked at");
            waiting.push(Reverse((deadline_ms, task.prompt_tokens, task.output_tokens)));
        }
        let mut free_ms = now_ms;
        while let Some(Reverse((deadline_ms, prompt_tokens, output_tokens))) = waiting.pop() {
            let done_ms = now_ms + replicas[slot].service_ms(prompt_tokens, output_tokens);
            if done_ms < deadline_ms {
                in_time += 1;
                free_ms = done_ms;
                break;
            }
        }
        free.push(Reverse((free_ms, slot)));
    }
    in_time
}

fn once_a_slot(replica: &ReplicaPlan) -> impl Iterator<Item = &ReplicaPlan> {
    (0..replica.slots).map(move |_| replica)
}
