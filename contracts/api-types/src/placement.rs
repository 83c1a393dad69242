use serde::{Deserialize, Serialize};

use crate::{
    InvalidField,
    request::{check, limits},
};

/// Most pools or devices that one list of a request may name.
const LIST_MAX: usize = 64;

/// Where a task is to run (ORCH-119).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PlacementRequest {
    pub mode: PlacementMode,
    /// Under `pin`, the only pool to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_pool_id: Option<String>,
    /// Under `pin`, the only node to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_node_id: Option<String>,
    /// Under `prefer`, the pools to use while one of them can take the task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub prefer_pools: Vec<String>,
    /// Pools that are never used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub avoid_pools: Vec<String>,
    /// Only pools on exactly these devices; an empty list means the processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub require_device_mask: Option<Vec<String>>,
    /// Whether `prefer` may use other pools where no preferred one can take the task.
    pub allow_fallback: bool,
}

/// How much it matters where a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum PlacementMode {
    #[default]
    Auto,
    Prefer,
    Pin,
}

impl Default for PlacementRequest {
    fn default() -> Self {
        Self {
            mode: PlacementMode::Auto,
            pin_pool_id: None,
            pin_node_id: None,
            prefer_pools: Vec::new(),
            avoid_pools: Vec::new(),
            require_device_mask: None,
            allow_fallback: true,
        }
    }
}

impl PlacementRequest {
    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidField> {
        let has_pin = self.pin_pool_id.is_some() || self.pin_node_id.is_some();
        match self.mode {
            PlacementMode::Pin => {
                let what = "a pool, or `pin_node_id`; mode pin needs one of them";
                check(has_pin, "placement.pin_pool_id", what)?;
            }
            PlacementMode::Auto | PlacementMode::Prefer => {
                let only = "only with mode pin";
                check(self.pin_pool_id.is_none(), "placement.pin_pool_id", only)?;
                check(self.pin_node_id.is_none(), "placement.pin_node_id", only)?;
            }
        }
        let prefers = !self.prefer_pools.is_empty();
        if self.mode == PlacementMode::Prefer {
            check(prefers, "placement.prefer_pools", "at least one pool; mode prefer needs it")?;
        } else {
            check(!prefers, "placement.prefer_pools", "only with mode prefer")?;
        }
        let may_forbid = self.allow_fallback || self.mode != PlacementMode::Auto;
        check(may_forbid, "placement.allow_fallback", "false only with mode prefer or pin")?;
        for (field, name) in
            [("pin_pool_id", &self.pin_pool_id), ("pin_node_id", &self.pin_node_id)]
        {
            check(
                name.as_deref().is_none_or(is_name),
                &format!("placement.{field}"),
                NAME_ALLOWED,
            )?;
        }
        let mask = self.require_device_mask.as_deref().unwrap_or_default();
        check_names("placement.prefer_pools", &self.prefer_pools)?;
        check_names("placement.avoid_pools", &self.avoid_pools)?;
        check_names("placement.require_device_mask", mask)?;
        for (index, avoided) in self.avoid_pools.iter().enumerate() {
            let is_wanted =
                self.prefer_pools.contains(avoided) || self.pin_pool_id.as_ref() == Some(avoided);
            let field = format!("placement.avoid_pools[{index}]");
            check(!is_wanted, &field, "a pool that is neither pinned nor preferred")?;
        }
        Ok(())
    }
}

const NAME_ALLOWED: &str = "1 to 128 characters of A-Z, a-z, 0-9, `.`, `_`, `-`";

fn is_name(name: &str) -> bool {
    (1..=limits::ID_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn check_names(field: &str, names: &[String]) -> Result<(), InvalidField> {
    check(names.len() <= LIST_MAX, field, "at most 64 names")?;
    for (index, name) in names.iter().enumerate() {
        let field = format!("{field}[{index}]");
        check(is_name(name), &field, NAME_ALLOWED)?;
        check(!names[..index].contains(name), &field, "each name once")?;
    }
    Ok(())
}

/// Where a task was placed, or why it was not (ORCH-123).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DecisionView {
    /// `assign` where it was given a slot, `prepare` where its model is to be loaded for it, `no_capacity`
    /// where it waits.
    pub outcome: String,
    /// Under `no_capacity`: `BUSY` where some replica lacks nothing but a free slot, `NOT_READY` where one
    /// would do if it were up, `UNFIT` where none that is known would do, `NO_CANDIDATE` without pools.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub reason: Option<String>,
    /// `session-sticky`, `least-loaded`, `vram-aware` or `round-robin`.
    pub strategy: String,
    /// Grows with every change of pools and of their readiness; counted from the start of the daemon.
    pub snapshot_version: u64,
    /// Chosen, or to be prepared.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub node_id: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub pool_id: Option<String>,
    /// Only under `assign`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub replica_id: Option<String>,
    /// Whether the request named the only place.
    pub pinned: bool,
    /// Whether none of the pools that the request prefers could take the task.
    pub fallback: bool,
    /// What was looked at, in order of names.
    pub candidates: Vec<CandidateView>,
    /// Further candidates, which are not listed.
    pub candidates_omitted: u64,
}

/// A place that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CandidateView {
    pub node_id: String,
    pub pool_id: String,
    /// Null for a pool without replicas.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub replica_id: Option<String>,
    /// Codes of every filter that it failed, such as `NO_FREE_SLOT`; empty where it could take the task.
    pub reasons: Vec<String>,
}
