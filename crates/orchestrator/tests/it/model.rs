use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use adapter_host::EngineModel;
use api_types::{ModelView, PreparationView};
use async_trait::async_trait;
use orchestrator::{
    Clock, ModelDirectory, ModelFacts, ModelRefusal, PoolModel, PromptMeter, PromptRefusal,
    PromptText,
};
use tokio::time::Instant;

/// Catalog id of the model that `tiny` stands for.
pub(crate) const TINY: &str = "sha256:tiny";

/// Catalog id of a model that only remote engines hold: it has no tokenizer here.
pub(crate) const REMOTE: &str = "remote:there/big";

/// Context of both, in tokens.
pub(crate) const CONTEXT: u32 = 4096;

/// `tiny` and `remote` can run, the others cannot.
pub(crate) struct Models;

#[async_trait]
impl ModelDirectory for Models {
    fn resolve(&self, model_ref: &str) -> Result<ModelFacts, ModelRefusal> {
        let id = match model_ref {
            "tiny" | "narrow" | TINY => TINY,
            "remote" | REMOTE => REMOTE,
            "unserved" => "sha256:unserved",
            "retired" => return Err(ModelRefusal::Retired("retired".to_owned())),
            "incomplete" => {
                return Err(ModelRefusal::NotAvailable {
                    model: "incomplete".to_owned(),
                    missing: "its file".to_owned(),
                    retriable: true,
                });
            }
            other => return Err(ModelRefusal::Unknown(other.to_owned())),
        };
        Ok(ModelFacts {
            id: id.into(),
            digest: id.starts_with("sha256:").then(|| id.into()),
            ctx_max: (id != REMOTE).then_some(CONTEXT),
            max_tokens_default: 1024,
            preparation: PreparationView::default(),
            queue_capacity: (model_ref == "narrow").then_some(1),
            strategy: None,
        })
    }

    fn default_model(&self) -> Option<String> {
        Some("tiny".to_owned())
    }

    async fn attach(&self, _pool_id: &str, models: &[EngineModel]) -> Vec<PoolModel> {
        let model = |model: &EngineModel| PoolModel {
            id: model.name.as_str().into(),
            engine_name: model.name.as_str().into(),
            ctx_max: model.ctx_max,
        };
        models.iter().map(model).collect()
    }

    fn list(&self) -> Vec<ModelView> {
        Vec::new()
    }
}

/// A token for each byte of the prompt; messages are joined.
pub(crate) struct Bytewise;

#[async_trait]
impl PromptMeter for Bytewise {
    async fn render(
        &self,
        model_id: &str,
        prompt: PromptText<'_>,
    ) -> Result<Option<Arc<[u32]>>, PromptRefusal> {
        if model_id == REMOTE {
            return Ok(None);
        }
        let text = match prompt {
            PromptText::Text(text) => text.to_owned(),
            PromptText::Messages(messages) => {
                if messages.iter().any(|message| message.role == "clown") {
                    return Err(PromptRefusal::Refused("no clowns".to_owned()));
                }
                messages.iter().map(|message| message.content.text()).collect()
            }
        };
        Ok(Some(text.bytes().map(u32::from).collect()))
    }
}

/// Follows tokio's time; stands at one boot for its whole life.
pub(crate) struct TestClock {
    since: Instant,
    boot_id: String,
    wall_from_ms: u64,
    jumped_ms: AtomicU64,
    stepped_ms: AtomicI64,
    /// Where it stands still; 0 while it runs.
    frozen_ms: AtomicU64,
}

impl TestClock {
    /// The clock of boot number `boot`.
    pub(crate) fn of_boot(boot: u64) -> Self {
        Self {
            since: Instant::now() - Duration::from_millis(1000 * boot),
            boot_id: format!("boot-{boot}"),
            wall_from_ms: 1_700_000_000_000 + boot * 100_000,
            jumped_ms: AtomicU64::new(0),
            stepped_ms: AtomicI64::new(0),
            frozen_ms: AtomicU64::new(0),
        }
    }

    /// Stops it; from now on it only jumps.
    pub(crate) fn freeze(&self) {
        self.frozen_ms.store(self.ran_ms(), Ordering::SeqCst);
    }

    fn ran_ms(&self) -> u64 {
        match self.frozen_ms.load(Ordering::SeqCst) {
            0 => u64::try_from(self.since.elapsed().as_millis()).unwrap(),
            frozen_ms => frozen_ms,
        }
    }

    /// Steps the wall clock alone.
    pub(crate) fn step_wall(&self, ms: i64) {
        self.stepped_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Lets time pass that tokio knows nothing of, as a suspended machine does.
    pub(crate) fn jump(&self, ms: u64) {
        self.jumped_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn boot_ms(&self) -> u64 {
        self.ran_ms() + self.jumped_ms.load(Ordering::SeqCst)
    }

    fn wall_ms(&self) -> u64 {
        let stepped_ms = self.stepped_ms.load(Ordering::SeqCst);
        (self.wall_from_ms + self.boot_ms()).saturating_add_signed(stepped_ms)
    }

    fn boot_id(&self) -> &str {
        &self.boot_id
    }
}
