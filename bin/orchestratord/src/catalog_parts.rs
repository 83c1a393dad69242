use std::sync::Arc;

use api_types::{AddModelRequest, ErrorBody, InvalidField};
use catalog_core::{
    Alias, Catalog, CatalogError, CatalogId, Details, Entry, ModelDigest, ModelReference,
    Precondition, Sbom, Signature,
};
use model_provisioner::{ProvisionError, Provisioner, WallClock};
use orchestrator::Orchestrator;
use orchestrator_metrics::DaemonMetrics;
use serde_json::json;
use tokio::sync::Notify;

use crate::{catalog_problem::of_distrust, models::Models};

/// What works on the catalog: routes, operations, and what keeps an eye on it.
pub(crate) struct CatalogParts {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) provisioner: Provisioner,
    pub(crate) models: Arc<Models>,
    pub(crate) orchestrator: Arc<Orchestrator>,
    pub(crate) metrics: Arc<DaemonMetrics>,
    pub(crate) now_ms: WallClock,
    /// Fires when a model was retired, so that its deadline is looked at.
    pub(crate) retired: Notify,
}

/// A wish for a model, understood.
pub(crate) struct Wanted {
    pub(crate) reference: ModelReference,
    pub(crate) expected: Option<ModelDigest>,
    pub(crate) aliases: Vec<Alias>,
    pub(crate) details: Details,
}

/// Who uses a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Users {
    pub(crate) pools: Vec<String>,
    pub(crate) tasks: usize,
    /// The id in `[models]` under which the configuration asks for it.
    pub(crate) configured_as: Option<String>,
}

impl Users {
    pub(crate) fn is_none(&self) -> bool {
        self.pools.is_empty() && self.tasks == 0 && self.configured_as.is_none()
    }

    pub(crate) fn details(&self) -> serde_json::Value {
        json!({
            "pools": self.pools,
            "live_tasks": self.tasks,
            "configured_as": self.configured_as,
        })
    }
}

impl Wanted {
    /// Understands a request.
    ///
    /// # Errors
    /// The field at fault.
    pub(crate) fn parse(request: &AddModelRequest) -> Result<Self, InvalidField> {
        request.validate()?;
        let wrong = |field: String, error: &dyn std::fmt::Display| {
            InvalidField::new(field, error.to_string())
        };
        let reference = request.source_ref.parse();
        let reference = reference.map_err(|error| wrong("source_ref".to_owned(), &error))?;
        let expected = request.expected_digest.as_deref().map(str::parse).transpose();
        let expected = expected.map_err(|error: catalog_core::InvalidDigest| {
            wrong("expected_digest".to_owned(), &error)
        })?;
        let aliases = request.aliases.iter().enumerate().map(|(index, name)| {
            name.parse().map_err(|error: catalog_core::InvalidAlias| {
                wrong(format!("aliases[{index}]"), &error)
            })
        });
        let signatures = request.signatures.iter().map(|signature| Signature {
            scheme: signature.scheme.clone(),
            value: signature.value.clone(),
        });
        let sbom = request
            .sbom
            .as_ref()
            .map(|sbom| Sbom { format: sbom.format.clone(), value: sbom.value.clone() });
        Ok(Self {
            reference,
            expected,
            aliases: aliases.collect::<Result<_, _>>()?,
            details: Details {
                tags: request.tags.clone(),
                signatures: signatures.collect(),
                sbom,
                is_pinned: expected.is_some(),
                kv_bytes_per_token: None,
            },
        })
    }
}

impl CatalogParts {
    /// Whether the trust policy lets a wanted model in.
    ///
    /// # Errors
    /// Why not, as the API shows it.
    pub(crate) fn check_trust(
        &self,
        wanted: &Wanted,
        correlation_id: &str,
    ) -> Result<(), Box<ErrorBody>> {
        let source = wanted.reference.to_string();
        self.catalog
            .trust()
            .check(&source, wanted.expected.is_some(), &wanted.details.signatures)
            .map_err(|distrust| Box::new(of_distrust(&distrust, &source, correlation_id)))
    }

    /// Gives a model that is here the names and words that somebody wants for it.
    ///
    /// # Errors
    /// The catalog is full, or its store failed.
    pub(crate) async fn dress(
        &self,
        id: &CatalogId,
        wanted: &Wanted,
    ) -> Result<Arc<Entry>, CatalogError> {
        for alias in &wanted.aliases {
            self.catalog.set_alias(alias.clone(), id).await?;
        }
        let entry = self.catalog.describe(id, &wanted.details).await?;
        self.models.registered().await;
        Ok(entry)
    }

    /// Who uses a model now.
    pub(crate) fn users(&self, id: &CatalogId) -> Users {
        let configured_as = self.models.configured_as(id);
        let id = id.to_string();
        let pools = self.orchestrator.pools_of(&id);
        Users {
            pools: pools.iter().map(|pool| pool.replica.pool_id.to_string()).collect(),
            tasks: self.orchestrator.live_tasks_of(&id).len(),
            configured_as,
        }
    }

    /// Deletes a model that nobody uses: first its bytes in the cache, then its entry and names, so that a
    /// crash in between leaves nothing that nobody knows of.
    ///
    /// # Errors
    /// What could not be deleted.
    pub(crate) async fn delete(&self, id: &CatalogId) -> Result<(), ProvisionError> {
        self.provisioner.delete_files(id).await?;
        match self.catalog.remove(id, &Precondition::Any).await {
            Err(CatalogError::Resolve(_)) => {} // somebody else was faster
            removed => removed?,
        }
        tracing::info!(event = "model_deleted", model = %id);
        Ok(())
    }
}
