use std::sync::Arc;

use crate::{Features, Filter, FilterSet, Pool};

/// What a pool must be to go on with an answer of which something was shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Continuation {
    /// Features of which any one is enough.
    pub by: Features,
    /// Features of which any one is enough where engine and version are the same as before.
    pub by_same_engine: Features,
    /// The engine that ran it last.
    pub engine: Arc<str>,
    /// That engine's version; empty where nobody tells.
    pub engine_version: Arc<str>,
    /// The sampler profile that its tokens were drawn by, which must be that of the pool too.
    pub sampler_profile: Arc<str>,
}

impl Continuation {
    /// What keeps a pool from going on.
    pub(crate) fn failed(&self, pool: &Pool) -> FilterSet {
        let is_same_engine =
            pool.engine == self.engine && pool.engine_version == self.engine_version;
        let has_same = pool.features.has_any(self.by_same_engine);
        let can = pool.features.has_any(self.by) || (has_same && is_same_engine);
        let mut failed = FilterSet::NONE;
        failed.note(Filter::FeatureMissing, !can && !has_same);
        let is_other = pool.sampler_profile != self.sampler_profile;
        failed.note(Filter::VersionMismatch, is_other || (!can && has_same));
        failed
    }
}
