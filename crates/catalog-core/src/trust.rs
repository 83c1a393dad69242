use url::Url;

use crate::Signature;

/// What a model has to be before it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    /// Whether what is required refuses a model that lacks it. Otherwise the model is used, and its
    /// verification says `warn`.
    pub is_strict: bool,
    /// Where models may come from: a scheme (`hf:`), a place (`https://host/path`, `hf:owner`,
    /// `pypi:name`, `file:/folder`) with all that is below it, or a whole reference. Empty allows all.
    /// Refuses also where the policy is not strict.
    pub allowed_sources: Vec<String>,
    /// Whether somebody has to have said which digest to expect.
    pub require_digest: bool,
    /// Whether a signature has to hold. None can be checked by this build, and a signature that cannot be
    /// checked is none, so a strict policy with this refuses every model.
    pub require_signature: bool,
}

impl Default for TrustPolicy {
    /// Permissive: every source, digests asked for, no signatures.
    fn default() -> Self {
        Self {
            is_strict: false,
            allowed_sources: Vec::new(),
            require_digest: true,
            require_signature: false,
        }
    }
}

/// Why a model may not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It comes from elsewhere than models may.
    #[error("its source is not among catalog.allowed_sources")]
    Source,
    /// Nobody said which digest to expect.
    #[error(
        "the trust policy is strict, and nobody said which digest to expect; register it with its digest"
    )]
    NoDigest,
    /// It has no signature.
    #[error("the trust policy requires a signature, and it has none")]
    NoSignature,
    /// It has signatures, but none that can be checked.
    #[error(
        "the trust policy requires a signature, and this build can check none of the kind `{scheme}`"
    )]
    UncheckedSignature {
        /// The kind of its first signature.
        scheme: String,
    },
}

impl TrustPolicy {
    /// Whether a model may be used.
    ///
    /// # Errors
    /// Why not.
    pub fn check(
        &self,
        source_ref: &str,
        is_pinned: bool,
        signatures: &[Signature],
    ) -> Result<(), Distrust> {
        let is_allowed = |rule: &String| covers(rule, source_ref);
        if !self.allowed_sources.is_empty() && !self.allowed_sources.iter().any(is_allowed) {
            return Err(Distrust::Source);
        }
        if self.is_strict && self.require_digest && !is_pinned {
            return Err(Distrust::NoDigest);
        }
        if self.is_strict && self.require_signature {
            return Err(self.lacking_signature(signatures));
        }
        Ok(())
    }

    /// Whether a model lacks something that is asked for, be it refused for that or not.
    #[must_use]
    pub fn asks_more(&self, is_pinned: bool) -> bool {
        !is_pinned || self.require_signature
    }

    fn lacking_signature(&self, signatures: &[Signature]) -> Distrust {
        match signatures.first() {
            None => Distrust::NoSignature,
            Some(first) => Distrust::UncheckedSignature { scheme: first.scheme.clone() },
        }
    }
}

/// Whether `source` is what `rule` says, or lies below it. A rule ends where a part of a reference ends, so
/// that `file:/models` does not let `file:/models-of-others` in.
fn covers(rule: &str, source: &str) -> bool {
    if rule.starts_with("https:") && rule != "https:" {
        let (Ok(rule), Ok(source)) = (Url::parse(rule), Url::parse(source)) else { return false };
        let (place, path) = (rule.path().trim_end_matches('/'), source.path());
        let below = path.strip_prefix(place);
        return rule.origin() == source.origin()
            && source.scheme() == "https"
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    }
    let Some(rest) = source.strip_prefix(rule) else { return false };
    rest.is_empty() || rule.ends_with([':', '/', '@', '#']) || rest.starts_with(['/', '@', '#'])
}
