use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::decode::{Problem, decode};
use crate::critic::Critic;
use crate::policy::Policy;
use crate::validation::Validator;

type MakeCritic = Arc<dyn Fn(Value) -> Result<Arc<dyn Critic>, Vec<Problem>> + Send + Sync>;

/// What a file can name: kinds of critics, policies and validators of the program.
///
/// ```
/// use critic_executor::{CriticContext, CriticOutput, Policy, config::CriticKinds};
///
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct MaxLength {
///     chars: usize,
/// }
///
/// let kinds = CriticKinds::new()
///     .kind("max_length", |settings: MaxLength| {
///         if settings.chars == 0 {
///             return Err("`chars` must be at least 1");
///         }
///         Ok(move |ctx: CriticContext| {
///             let is_long = ctx.input().chars().count() > settings.chars;
///             async move { Ok(critic_executor::Finding::new(if is_long { 0.7 } else { 0.0 }).into()) }
///         })
///     })
///     .policy("long inputs", Policy::conditional("long inputs", |input, _| input.input_text().len() > 100));
/// assert_eq!(kinds.names().collect::<Vec<_>>(), ["max_length"]);
/// ```
#[derive(Clone, Default)]
pub struct CriticKinds {
    kinds: BTreeMap<String, MakeCritic>,
    policies: BTreeMap<String, Policy>,
    pub(super) validators: BTreeMap<String, Arc<dyn Validator>>,
}

impl CriticKinds {
    /// Nothing that could be named.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind of critic. `make` gets the settings of a critic of this kind, decoded; its error stands in the
    /// file's errors at the place of the settings. A kind without settings takes `()`, one whose settings can be
    /// left out an [`Option`].
    #[must_use]
    pub fn kind<S, C, E>(
        mut self,
        name: impl Into<String>,
        make: impl Fn(S) -> Result<C, E> + Send + Sync + 'static,
    ) -> Self
    where
        S: DeserializeOwned,
        C: Critic + 'static,
        E: fmt::Display,
    {
        let make: MakeCritic = Arc::new(move |settings| {
            let critic = make(decode(settings)?);
            let critic = critic.map_err(|error| vec![(Vec::new(), error.to_string())])?;
            Ok(Arc::new(critic))
        });
        self.kinds.insert(name.into(), make);
        self
    }

    /// Adds a policy that critics can name: `policy = { named = "..." }`.
    #[must_use]
    pub fn policy(mut self, name: impl Into<String>, policy: Policy) -> Self {
        self.policies.insert(name.into(), policy);
        self
    }

    /// Adds a validator that critics can name.
    #[must_use]
    pub fn validator(
        mut self,
        name: impl Into<String>,
        validator: impl Validator + 'static,
    ) -> Self {
        self.validators.insert(name.into(), Arc::new(validator));
        self
    }

    /// Adds all of another list. Where both know a name, the other's counts.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.kinds.extend(other.kinds);
        self.policies.extend(other.policies);
        self.validators.extend(other.validators);
        self
    }

    /// The names of the kinds.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    pub(super) fn make(&self, kind: &str) -> Option<&MakeCritic> {
        self.kinds.get(kind)
    }

    pub(super) fn named_policy(&self, name: &str) -> Option<&Policy> {
        self.policies.get(name)
    }
}

impl fmt::Debug for CriticKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
