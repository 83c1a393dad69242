use std::time::Duration;

use api_types::{
    AddModelRequest, AliasRequest, AliasView, AvailabilityView, ModelStateRequest, OperationStatus,
    Page, ReportedBegun, ReportedModel, ReportedOperation,
};
use reqwest::{Method, StatusCode, Url};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Client, ClientError};

/// Pause between two looks at an operation that is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// What became of a model that was to be registered.
#[derive(Debug, Clone, PartialEq)]
pub enum Added {
    /// It was registered now.
    New(Box<ReportedModel>),
    /// It was known; it has the names and words that were given.
    Known(Box<ReportedModel>),
    /// It is being fetched.
    Begun(ReportedBegun),
}

/// What became of a model that was to be deleted.
#[derive(Debug, Clone, PartialEq)]
pub enum Deleted {
    /// It is gone.
    Gone,
    /// It is retired, and goes after its last user.
    Begun(ReportedBegun),
}

impl Client {
    /// A page of the catalog, by id; `cursor` is the `next_cursor` of the page before.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn models(&self, cursor: Option<&str>) -> Result<Page<ReportedModel>, ClientError> {
        self.get(self.paged(&["v2", "catalog", "models"], cursor)).await
    }

    /// One model, by catalog id or name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn model(&self, model_ref: &str) -> Result<ReportedModel, ClientError> {
        self.get(self.url(&["v2", "catalog", "models", model_ref])).await
    }

    /// Registers a model, or gives a known one more names. Asking twice does no harm.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add_model(&self, request: &AddModelRequest) -> Result<Added, ClientError> {
        let url = self.url(&["v2", "catalog", "models"]);
        let (status, view): (_, Value) = self.send(Method::POST, url, Some(json(request))).await?;
        Ok(match status {
            StatusCode::ACCEPTED => Added::Begun(read(view)?),
            StatusCode::CREATED => Added::New(read(view)?),
            _ => Added::Known(read(view)?),
        })
    }

    /// Deletes a model that nobody uses; with `force` one in use too, after its last user.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete_model(&self, model_ref: &str, force: bool) -> Result<Deleted, ClientError> {
        let mut url = self.url(&["v2", "catalog", "models", model_ref]);
        if force {
            url.query_pairs_mut().append_pair("force", "true");
        }
        let begun = self.send_for_little(Method::DELETE, url).await?;
        Ok(begun.map_or(Deleted::Gone, Deleted::Begun))
    }

    /// Begins to read all bytes of a model.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn verify_model(&self, model_ref: &str) -> Result<ReportedBegun, ClientError> {
        let url = self.url(&["v2", "catalog", "models", model_ref, "verify"]);
        self.send(Method::POST, url, None).await.map(|(_, begun)| begun)
    }

    /// Retires a model, or takes it back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_model_state(
        &self,
        model_ref: &str,
        request: &ModelStateRequest,
    ) -> Result<ReportedModel, ClientError> {
        let url = self.url(&["v2", "catalog", "models", model_ref, "state"]);
        self.send(Method::POST, url, Some(json(request))).await.map(|(_, view)| view)
    }

    /// Points a name to a model.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_alias(&self, name: &str, model_ref: &str) -> Result<AliasView, ClientError> {
        let url = self.url(&["v2", "catalog", "aliases", name]);
        let request = AliasRequest { model_ref: model_ref.to_owned() };
        self.send(Method::PUT, url, Some(json(&request))).await.map(|(_, view)| view)
    }

    /// Removes a name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_alias(&self, name: &str) -> Result<(), ClientError> {
        let url = self.url(&["v2", "catalog", "aliases", name]);
        self.send_for_little::<Value>(Method::DELETE, url).await.map(drop)
    }

    /// Who holds which model, of all models.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn availability(&self) -> Result<Vec<AvailabilityView>, ClientError> {
        let mut held = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let url = self.paged(&["v2", "catalog", "availability"], cursor.as_deref());
            let page: Page<AvailabilityView> = self.get(url).await?;
            held.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(held);
            }
        }
    }

    /// A page of operations, newest first; `cursor` is the `next_cursor` of the page before.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn operations(
        &self,
        cursor: Option<&str>,
    ) -> Result<Page<ReportedOperation>, ClientError> {
        self.get(self.paged(&["v2", "operations"], cursor)).await
    }

    /// One operation.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn operation(&self, id: &str) -> Result<ReportedOperation, ClientError> {
        self.get(self.url(&["v2", "operations", id])).await
    }

    /// Cancels an operation; one that has ended stays as it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cancel_operation(&self, id: &str) -> Result<ReportedOperation, ClientError> {
        let url = self.url(&["v2", "operations", id]);
        self.send(Method::DELETE, url, None).await.map(|(_, view)| view)
    }

    /// Waits for the end of an operation, and shows it at each look. Goes on when the daemon restarts, as the
    /// operation does.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn operation_ended(
        &self,
        id: &str,
        mut seen: impl FnMut(&ReportedOperation),
    ) -> Result<ReportedOperation, ClientError> {
        loop {
            let operation = self.operation(id).await?;
            seen(&operation);
            // A state that this build does not know has ended with the operation's time.
            let has_ended = operation.state.known().map(OperationStatus::is_terminal);
            if has_ended.unwrap_or(operation.ended_at.is_some()) {
                return Ok(operation);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn paged(&self, path: &[&str], cursor: Option<&str>) -> Url {
        let mut url = self.url(path);
        if let Some(cursor) = cursor {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        url
    }
}

fn json(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).expect("wire types are JSON")
}

fn read<T: DeserializeOwned>(view: Value) -> Result<T, ClientError> {
    serde_json::from_value(view).map_err(|source| ClientError::Unreadable {
        request: "POST /v2/catalog/models".to_owned(),
        source,
    })
}
