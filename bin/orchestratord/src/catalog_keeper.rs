use std::{sync::Arc, time::Duration};

use catalog_core::CatalogId;

use crate::catalog_parts::CatalogParts;

/// Looks at the files of models from time to time, and ends the tasks of retired ones when their time is
/// over, until it is dropped.
pub(crate) async fn keep(parts: Arc<CatalogParts>, recheck_ms: u64) {
    let mut recheck = tokio::time::interval(Duration::from_millis(recheck_ms));
    recheck.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let due = end_overdue_tasks(&parts).await;
        let next_end = async {
            match due {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _tick = recheck.tick() => recheck_files(&parts).await,
            () = next_end => {}
            () = parts.retired.notified() => {}
        }
    }
}

async fn recheck_files(parts: &CatalogParts) {
    match parts.catalog.recheck_all().await {
        Ok(changed) => {
            for entry in changed {
                tracing::error!(
                    event = "model_changed",
                    model = %entry.id,
                    reason = entry.out_of_service,
                    "a model is out of service until it is verified again",
                );
            }
        }
        Err(error) => tracing::error!(error = %error, "the files of models cannot be looked at"),
    }
}

/// Ends what is due; how long until the next is, in milliseconds.
async fn end_overdue_tasks(parts: &CatalogParts) -> Option<u64> {
    let now_ms = (parts.now_ms)();
    let retired = parts.catalog.list().into_iter();
    let due: Vec<(CatalogId, u64)> = retired
        .filter_map(|model| Some((model.entry.id.clone(), model.entry.retire_at_ms?)))
        .collect();
    let mut next = None;
    for (id, at_ms) in due {
        if at_ms > now_ms {
            next = Some(next.map_or(at_ms - now_ms, |next: u64| next.min(at_ms - now_ms)));
            continue;
        }
        let ended = parts.orchestrator.end_tasks_of(&id.to_string());
        tracing::info!(event = "retired_tasks_ended", model = %id, tasks = ended);
        if let Err(error) = parts.catalog.note_tasks_ended(&id).await {
            tracing::error!(model = %id, error = %error, "the end of a retired model's tasks cannot be noted");
        }
    }
    next
}
