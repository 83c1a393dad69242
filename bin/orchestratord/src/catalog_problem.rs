use api_types::{ErrorBody, ErrorCode};
use catalog_core::{CatalogError, Distrust, ResolveError};
use model_provisioner::ProvisionError;
use operations::{BeginError, CancelError};

/// An error with all its causes, as one text.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn body(code: ErrorCode, message: impl Into<String>, correlation_id: &str) -> ErrorBody {
    ErrorBody::new(code, message, correlation_id)
}

/// Something that the client cannot help; what it was stands in the log.
fn internal(error: &dyn std::error::Error, correlation_id: &str) -> ErrorBody {
    tracing::error!(correlation_id, error = chain(error), "the catalog failed");
    body(
        ErrorCode::Internal,
        "something went wrong; the log has more under the correlation id",
        correlation_id,
    )
}

/// Why the catalog was not changed.
pub(crate) fn of_catalog(error: &CatalogError, correlation_id: &str) -> ErrorBody {
    let code = match error {
        CatalogError::Resolve(ResolveError::UnknownModel { .. }) => ErrorCode::ModelNotFound,
        CatalogError::Resolve(ResolveError::Retired { .. }) => ErrorCode::ModelDeprecated,
        CatalogError::Resolve(ResolveError::OutOfService { .. }) => ErrorCode::ModelNotAvailable,
        CatalogError::Resolve(ResolveError::Untrusted { .. }) => ErrorCode::UntrustedArtifact,
        CatalogError::TooManyModels { .. } | CatalogError::TooManyAliases { .. } => {
            ErrorCode::Conflict
        }
        CatalogError::UnknownAlias { .. } => ErrorCode::NotFound,
        CatalogError::Changed => ErrorCode::PreconditionFailed,
        CatalogError::Contended | CatalogError::Store(_) => return internal(error, correlation_id),
    };
    body(code, error.to_string(), correlation_id)
}

/// Why a model is not here.
pub(crate) fn of_provisioning(error: &ProvisionError, correlation_id: &str) -> ErrorBody {
    let at_source = |code| {
        let mut body = body(code, chain(error), correlation_id);
        body.field = Some("source_ref".to_owned());
        body
    };
    match error {
        ProvisionError::File { .. }
        | ProvisionError::NotFound { .. }
        | ProvisionError::NoFiles { .. } => at_source(ErrorCode::InvalidParams),
        ProvisionError::OutsideRoots { .. } => at_source(ErrorCode::PolicyDenied),
        ProvisionError::UntrustedArtifact { .. } => at_source(ErrorCode::UntrustedArtifact),
        ProvisionError::Fetch { .. } => {
            let mut body = at_source(ErrorCode::ModelNotAvailable);
            body.retriable = true;
            body
        }
        ProvisionError::Cache { source, .. }
            if source.kind() == std::io::ErrorKind::StorageFull =>
        {
            body(ErrorCode::StorageFull, error.to_string(), correlation_id)
        }
        ProvisionError::Cache { .. } => internal(error, correlation_id),
        ProvisionError::Catalog(error) => of_catalog(error, correlation_id),
    }
}

/// Why a model is not to be trusted.
pub(crate) fn of_distrust(distrust: &Distrust, source: &str, correlation_id: &str) -> ErrorBody {
    let message = format!("{source} is not to be trusted: {distrust}");
    let mut body = body(ErrorCode::UntrustedArtifact, message, correlation_id);
    body.field = Some(
        match distrust {
            Distrust::Source => "source_ref",
            Distrust::NoDigest => "expected_digest",
            Distrust::NoSignature | Distrust::UncheckedSignature { .. } => "signatures",
        }
        .to_owned(),
    );
    body
}

/// Why an operation was not begun.
pub(crate) fn of_beginning(error: &BeginError, correlation_id: &str) -> ErrorBody {
    match error {
        BeginError::Busy { running } => {
            let mut body = body(ErrorCode::Conflict, error.to_string(), correlation_id);
            body.details = Some(serde_json::json!({ "operation_id": running.to_string() }));
            body
        }
        BeginError::Full { .. } => {
            let mut body = body(ErrorCode::AdmissionReject, error.to_string(), correlation_id);
            body.policy_label = Some("operations".to_owned());
            body
        }
        BeginError::Store(_) => internal(error, correlation_id),
        BeginError::Closed => body(ErrorCode::ShuttingDown, error.to_string(), correlation_id),
    }
}

/// Why an operation was not canceled.
pub(crate) fn of_canceling(error: &CancelError, correlation_id: &str) -> ErrorBody {
    let code = match error {
        CancelError::Unknown => ErrorCode::NotFound,
        CancelError::NotCancelable { .. } => ErrorCode::Conflict,
        CancelError::Closed => ErrorCode::ShuttingDown,
    };
    body(code, error.to_string(), correlation_id)
}
