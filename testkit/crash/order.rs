use jiff::Timestamp;
use serde_json::Value;

use crate::scene::Scene;

/// Two tasks that were admitted in one order may be started this much in the other, in milliseconds: they
/// are not started by one thread of control.
const SLACK_MS: i64 = 100;

/// Checks that the tasks of a class, given in the order of their admission, began in that order. Of two that
/// began together, a kill may let the later one begin and send the earlier one back to the head of the
/// queue.
pub(crate) fn check(scene: &Scene, tasks: &[Value], kills_wall_ms: &[i64]) {
    for priority in ["interactive", "batch"] {
        let of_class = tasks.iter().filter(|task| task["priority"] == priority);
        let mut latest: Option<(i64, &Value)> = None;
        for (began_ms, task) in of_class.filter_map(|task| Some((began_ms(task)?, task))) {
            match latest {
                Some((latest_ms, earlier)) if latest_ms > began_ms + SLACK_MS => {
                    let soon = began_ms..=began_ms + SLACK_MS;
                    if !kills_wall_ms.iter().any(|at| soon.contains(at)) {
                        scene.violated(format!(
                            "task {} was admitted before task {} and began {} ms after it",
                            earlier["task_id"],
                            task["task_id"],
                            latest_ms - began_ms
                        ));
                    }
                }
                Some((latest_ms, _)) if latest_ms >= began_ms => {}
                _ => latest = Some((began_ms, task)),
            }
        }
    }
}

/// When a task's first attempt began, in milliseconds since 1970.
fn began_ms(task: &Value) -> Option<i64> {
    let text = task["attempts"][0]["started_at"].as_str()?;
    Some(text.parse::<Timestamp>().ok()?.as_millisecond())
}
