use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use api_types::{AddModelRequest, ErrorBody, ErrorCode};
use async_trait::async_trait;
use catalog_core::{CatalogId, EntryState, VerifyResult};
use operations::{Job, OperationKind, Throughput};
use serde_json::{Value, json};

use crate::{
    catalog_parts::{CatalogParts, Wanted},
    catalog_problem::of_provisioning,
};

/// Pause between two looks whether a model is still used, until it is deleted.
const LOOK_FOR_USERS: Duration = Duration::from_millis(250);

/// Gets a model and registers it. Its target is the source, its input the request.
pub(crate) struct ModelFetch(pub(crate) Arc<CatalogParts>);

/// Reads all bytes of a model. Its target is the catalog id.
pub(crate) struct ModelVerify(pub(crate) Arc<CatalogParts>);

/// Deletes a retired model once nobody uses it any more. Its target is the catalog id.
pub(crate) struct ModelDelete(pub(crate) Arc<CatalogParts>);

impl ModelFetch {
    pub(crate) const NAME: &'static str = "model_fetch";
}

impl ModelVerify {
    pub(crate) const NAME: &'static str = "model_verify";
}

impl ModelDelete {
    pub(crate) const NAME: &'static str = "model_delete";
}

#[async_trait]
impl OperationKind for ModelFetch {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn is_cancelable(&self) -> bool {
        true
    }

    fn is_resumable(&self) -> bool {
        true
    }

    async fn run(&self, job: &Job) -> Result<Value, ErrorBody> {
        let parts = &self.0;
        let correlation_id = job.record().correlation_id.as_str();
        let request: AddModelRequest = serde_json::from_value(job.record().input.clone())
            .map_err(|error| job.error(ErrorCode::Internal, error.to_string()))?;
        let wanted = Wanted::parse(&request)
            .map_err(|wrong| job.error(ErrorCode::InvalidParams, wrong.to_string()))?;
        // It may have become stricter since the operation was begun.
        parts.check_trust(&wanted, correlation_id).map_err(|error| *error)?;
        let fetching = parts.models.fetches().begin(wanted.aliases.clone(), wanted.expected);
        let meter = Meter::default();
        let progress = |progress| {
            let progress = meter.read(progress, (parts.now_ms)());
            fetching.note(&progress);
            job.report(progress);
        };
        let ensured =
            parts.provisioner.ensure(&wanted.reference, wanted.expected, &[], &progress).await;
        let entry = ensured.map_err(|error| of_provisioning(&error, correlation_id))?;
        let entry = parts
            .dress(&entry.id, &wanted)
            .await
            .map_err(|error| of_provisioning(&error.into(), correlation_id))?;
        let is_new = entry.created_at_ms >= job.record().created_at_ms;
        Ok(json!({ "model_id": entry.id.to_string(), "is_new": is_new }))
    }
}

#[async_trait]
impl OperationKind for ModelVerify {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn is_cancelable(&self) -> bool {
        true
    }

    fn is_resumable(&self) -> bool {
        true
    }

    async fn run(&self, job: &Job) -> Result<Value, ErrorBody> {
        let parts = &self.0;
        let id = target(job).map_err(|error| *error)?;
        let meter = Meter::default();
        let progress = |progress| job.report(meter.read(progress, (parts.now_ms)()));
        let entry = parts
            .provisioner
            .reverify(&id, &progress)
            .await
            .map_err(|error| of_provisioning(&error, &job.record().correlation_id))?;
        parts.metrics.model_verified(entry.out_of_service.is_none());
        parts.models.registered().await;
        Ok(json!({
            "model_id": id.to_string(),
            "verify_result": verify_result_name(entry.verify_result),
            "reason": entry.out_of_service,
        }))
    }
}

#[async_trait]
impl OperationKind for ModelDelete {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn is_cancelable(&self) -> bool {
        true
    }

    fn is_resumable(&self) -> bool {
        true
    }

    async fn run(&self, job: &Job) -> Result<Value, ErrorBody> {
        let parts = &self.0;
        let id = target(job).map_err(|error| *error)?;
        let step = Some("waiting".to_owned());
        job.report(operations::Progress { step, ..operations::Progress::default() });
        loop {
            match parts.catalog.get(&id) {
                None => break,
                Some(entry) if entry.state == EntryState::Active => {
                    let message = "the model was taken back into use before it could be deleted";
                    return Err(job.error(ErrorCode::Conflict, message));
                }
                Some(_) if parts.users(&id).is_none() => break,
                Some(_) => tokio::time::sleep(LOOK_FOR_USERS).await,
            }
        }
        parts
            .delete(&id)
            .await
            .map_err(|error| of_provisioning(&error, &job.record().correlation_id))?;
        Ok(json!({ "model_id": id.to_string() }))
    }
}

fn target(job: &Job) -> Result<CatalogId, Box<ErrorBody>> {
    let id = job.record().target.parse();
    id.map_err(|_form| {
        Box::new(job.error(ErrorCode::Internal, "the operation's target is no catalog id"))
    })
}

/// The name of a verification's result on the wire.
pub(crate) fn verify_result_name(result: VerifyResult) -> &'static str {
    match result {
        VerifyResult::Pass => "pass",
        VerifyResult::Warn => "warn",
        VerifyResult::Fail => "fail",
        VerifyResult::Unverified => "unverified",
    }
}

/// Turns what the provisioner says into progress with an estimate.
#[derive(Default)]
pub(crate) struct Meter {
    speed: Mutex<(Option<&'static str>, Throughput)>,
}

impl Meter {
    pub(crate) fn read(
        &self,
        progress: model_provisioner::Progress,
        now_ms: u64,
    ) -> operations::Progress {
        use model_provisioner::Progress;
        let (step, bytes_done, bytes_total) = match progress {
            Progress::LookingUp => ("looking_up", None, None),
            Progress::Fetching { bytes_done, bytes_total } => {
                ("fetching", Some(bytes_done), bytes_total)
            }
            Progress::Verifying { bytes_done, bytes_total } => {
                ("verifying", Some(bytes_done), Some(bytes_total))
            }
        };
        let mut speed = self.speed.lock().expect("no holder panics");
        if speed.0 != Some(step) {
            *speed = (Some(step), Throughput::default());
        }
        speed.1.note(bytes_done.unwrap_or_default(), now_ms);
        operations::Progress {
            step: Some(step.to_owned()),
            bytes_done,
            bytes_total,
            estimated_ms: bytes_total.and_then(|total| speed.1.left_ms(total)),
        }
    }
}
