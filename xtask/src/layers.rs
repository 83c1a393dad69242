mod map;

use std::collections::BTreeSet;

pub use map::{Layer, LayerMap};

use crate::metadata::{Dependency, DependencyKind, Metadata, Package};

/// What no decision may touch: with none of these it has no clock, no I/O and no async.
const FORBIDDEN_TO_DECISIONS: [&str; 5] = ["axum", "hyper", "reqwest", "rusqlite", "tokio"];

impl LayerMap {
    /// Every edge of the workspace that the layers do not allow, and every crate without a layer, as
    /// sentences; empty when all is well.
    #[must_use]
    pub fn violations(&self, metadata: &Metadata) -> Vec<String> {
        let members: BTreeSet<&str> = metadata.packages.iter().map(|it| it.name.as_str()).collect();
        let mut violations: Vec<String> = self
            .listed()
            .filter(|name| !members.contains(name))
            .map(|name| format!("`{name}` has a layer but is no member of the workspace; remove it from xtask/src/layers/map.rs"))
            .collect();
        for package in &metadata.packages {
            let Some(layer) = self.layer(package, metadata) else {
                violations.push(format!(
                    "`{}` has no layer; add it to xtask/src/layers/map.rs",
                    package.name
                ));
                continue;
            };
            for dependency in &package.dependencies {
                if !members.contains(dependency.name.as_str()) {
                    violations.extend(foreign_violation(package, layer, dependency));
                } else if dependency.name != package.name {
                    let target = metadata.packages.iter().find(|it| it.name == dependency.name);
                    let target_layer = target.and_then(|it| self.layer(it, metadata));
                    // A target without a layer is a violation of its own, said once above.
                    let Some(target_layer) = target_layer else { continue };
                    violations.extend(self.violation(package, layer, dependency, target_layer));
                }
            }
        }
        violations
    }

    fn violation(
        &self,
        package: &Package,
        layer: Layer,
        dependency: &Dependency,
        target: Layer,
    ) -> Option<String> {
        let reason = match (layer, target) {
            _ if self.is_exception(&package.name, &dependency.name) => return None,
            (_, Layer::Bin) => "nothing depends on bin/*",
            (_, Layer::Xtask) => "nothing depends on xtask",
            _ if dependency.kind == DependencyKind::Dev => return None,
            (Layer::Testkit | Layer::Xtask, _) => return None,
            (_, Layer::Testkit) => "only dev-dependencies and xtask may name testkit",
            (Layer::Bin, _) => return None,
            (Layer::Decision, Layer::Decision) => return None,
            (Layer::Decision, _) => "decisions depend on decisions only",
            (Layer::Contract, Layer::Contract) => return None,
            (Layer::Contract, _) => "contracts depend on contracts only",
            (Layer::Service, Layer::Technology(_)) => {
                "services own ports and never depend on the technologies behind them"
            }
            (Layer::Service, _) => return None,
            (Layer::Technology(_), Layer::Decision | Layer::Contract) => return None,
            (Layer::Technology(ports), _) if ports.contains(&dependency.name.as_str()) => {
                return None;
            }
            (Layer::Technology(_), _) => {
                "technologies depend on decisions, contracts and the crates whose ports they implement"
            }
        };
        Some(edge(package, dependency, reason))
    }
}

fn foreign_violation(package: &Package, layer: Layer, dependency: &Dependency) -> Option<String> {
    let is_forbidden = layer == Layer::Decision
        && dependency.kind != DependencyKind::Dev
        && FORBIDDEN_TO_DECISIONS.contains(&dependency.name.as_str());
    is_forbidden.then(|| edge(package, dependency, "decisions have no clock, no I/O and no async"))
}

fn edge(package: &Package, dependency: &Dependency, reason: &str) -> String {
    format!("`{}` -> `{}` ({}): {reason}", package.name, dependency.name, dependency.kind.table())
}
