use std::collections::BTreeMap;

use crate::metadata::{Metadata, Package};

/// What a crate is, which decides what it may depend on. The reasons stand in `ARCHITECTURE.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A pure state machine or parser.
    Decision,
    /// Async code that owns the ports it uses.
    Service,
    /// An adapter to one foreign system, with the crates whose ports it implements.
    Technology(&'static [&'static str]),
    /// Wire types and configuration types: everything under `contracts/`.
    Contract,
    /// A composition root: everything under `bin/`.
    Bin,
    /// Parts that tests share.
    Testkit,
    /// Automation: this crate, and the programs that measure for it.
    Xtask,
}

/// Which layer each crate is in.
#[derive(Debug, Clone)]
pub struct LayerMap {
    layers: BTreeMap<&'static str, Layer>,
    /// Single edges that are allowed although the layers forbid them, each with a record in `docs/adr/`.
    exceptions: Vec<(&'static str, &'static str)>,
}

impl LayerMap {
    /// The layers of this project. Folders say what is in `bin/` and `contracts/`; crates are listed.
    #[must_use]
    pub fn of_this_project() -> Self {
        let decisions =
            ["gguf", "openai-facade", "orchestrator-core", "placement", "prefetch", "sse"];
        let services = [
            "adapter-host",
            "catalog-core",
            "client",
            "critics",
            "critic-executor",
            "fetch",
            "handoff",
            "http-edge",
            "metrics",
            "model-provisioner",
            "narration",
            "operations",
            "orchestrator",
            "prompt",
        ];
        let technologies = [
            ("engine-candle", Layer::Technology(&["adapter-host"])),
            ("engine-openai", Layer::Technology(&["adapter-host"])),
            ("event-log", Layer::Technology(&["orchestrator"])),
            ("orchestrator-metrics", Layer::Technology(&["metrics", "orchestrator"])),
            ("spans-otlp", Layer::Technology(&["orchestrator"])),
            ("store-sqlite", Layer::Technology(&["catalog-core", "operations", "orchestrator"])),
        ];
        let others = [
            ("critic-bench", Layer::Xtask),
            ("daemon-bench", Layer::Xtask),
            ("simulation", Layer::Testkit),
            ("testkit", Layer::Testkit),
            ("xtask", Layer::Xtask),
        ];
        let decisions = decisions.map(|name| (name, Layer::Decision));
        let services = services.map(|name| (name, Layer::Service));
        Self::new(
            decisions.into_iter().chain(services).chain(technologies).chain(others),
            // docs/adr/0004-openai-facade-speaks-the-contracts.md
            [("openai-facade", "api-types")],
        )
    }

    /// A map of crates to layers, and the edges excepted from its rules.
    pub fn new(
        layers: impl IntoIterator<Item = (&'static str, Layer)>,
        exceptions: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) -> Self {
        Self { layers: layers.into_iter().collect(), exceptions: exceptions.into_iter().collect() }
    }

    pub(super) fn layer(&self, package: &Package, metadata: &Metadata) -> Option<Layer> {
        let folder = package.manifest_path.strip_prefix(&metadata.workspace_root).ok()?;
        match folder.components().next()?.as_str() {
            "bin" => Some(Layer::Bin),
            "contracts" => Some(Layer::Contract),
            _ => self.layers.get(package.name.as_str()).copied(),
        }
    }

    pub(super) fn listed(&self) -> impl Iterator<Item = &'static str> {
        self.layers.keys().copied()
    }

    pub(super) fn is_exception(&self, package: &str, dependency: &str) -> bool {
        self.exceptions.contains(&(package, dependency))
    }
}
