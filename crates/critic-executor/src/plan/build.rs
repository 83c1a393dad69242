use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::error::{PlanError, PlanErrors};
use super::graph::{self, Lists};
use super::nearest::nearest;
use super::{
    Budget, EvidenceSet, ExecutionPlan, OnExhausted, PlanInner, PlanNode, PlanSettings, RunTimeout,
    checks, digest, next_plan_id,
};
use crate::money::MicroDollars;
use crate::pipeline::PipelineSettings;
use crate::spec::{CriticSpec, DependencyKind};
use crate::stage::{Stage, StageMode};
use crate::validation::{OutputLimits, Validator};
use crate::verdict::{Verdict, VerdictMap};

/// Suggestions cost a comparison with every known name, so a plan of nothing but errors gets only so many.
const MAX_SUGGESTIONS: usize = 100;

/// Collects critics and settings; [`PlanBuilder::build`] validates them all at once.
pub struct PlanBuilder {
    critics: Vec<CriticSpec>,
    validators: BTreeMap<Arc<str>, Arc<dyn Validator>>,
    settings: PlanSettings,
    attempt_timeout: Duration,
}

impl Default for PlanBuilder {
    fn default() -> Self {
        let settings = PlanSettings {
            barriers: Stage::ALL.map(|stage| StageMode::Relaxed.has_barrier_after(stage)),
            stage_timeouts: [None; Stage::COUNT],
            run_timeout: RunTimeout::Executor,
            verdict_map: VerdictMap::default(),
            missing_verdict: Verdict::Escalate,
            quorum: None,
            early_stop: None,
            is_fail_fast: false,
            budget: None,
            output_limits: OutputLimits::default(),
        };
        Self {
            critics: Vec::new(),
            validators: BTreeMap::new(),
            settings,
            attempt_timeout: CriticSpec::DEFAULT_ATTEMPT_TIMEOUT,
        }
    }
}

impl PlanBuilder {
    /// A builder with the times of [`PipelineSettings::pipeline`](crate::PipelineSettings::pipeline): 250 ms an
    /// attempt, 500 ms a run. [`ExecutorSettings::pipeline`](crate::ExecutorSettings::pipeline) has the rest.
    ///
    /// ```
    /// use std::time::Duration;
    /// use critic_executor::{CriticContext, CriticOutput, CriticSpec, PlanBuilder, RunTimeout};
    ///
    /// let fine = |_ctx: CriticContext| async { Ok(CriticOutput::clean()) };
    /// let plan = PlanBuilder::pipeline().critic(CriticSpec::new("length", fine)).build().unwrap();
    /// assert_eq!(plan.spec("length").unwrap().attempt_timeout, Some(Duration::from_millis(250)));
    /// assert_eq!(plan.run_timeout(), RunTimeout::After(Duration::from_millis(500)));
    /// ```
    #[must_use]
    pub fn pipeline() -> Self {
        let settings = PipelineSettings::pipeline();
        Self::default().attempt_timeout(settings.node_limit).run_timeout(settings.pipeline_limit)
    }

    /// The same with 200 ms an attempt: one that runs out of time is settled and reported within 250 ms.
    #[must_use]
    pub fn pipeline_strict() -> Self {
        Self::pipeline().attempt_timeout(PipelineSettings::pipeline_strict().node_limit)
    }

    /// Sets how long an attempt may take of critics that do not say so themselves; 10 seconds if it is not set.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// Adds a critic.
    #[must_use]
    pub fn critic(mut self, spec: CriticSpec) -> Self {
        self.critics.push(spec);
        self
    }

    /// Adds critics.
    #[must_use]
    pub fn critics(mut self, specs: impl IntoIterator<Item = CriticSpec>) -> Self {
        self.critics.extend(specs);
        self
    }

    /// Registers a validator that critics can name.
    #[must_use]
    pub fn validator(
        mut self,
        name: impl Into<Arc<str>>,
        validator: impl Validator + 'static,
    ) -> Self {
        self.validators.insert(name.into(), Arc::new(validator));
        self
    }

    /// Sets the barriers as the mode has them.
    #[must_use]
    pub fn mode(mut self, mode: StageMode) -> Self {
        self.settings.barriers = Stage::ALL.map(|stage| mode.has_barrier_after(stage));
        self
    }

    /// Sets or takes away the barrier after one stage.
    #[must_use]
    pub fn barrier_after(mut self, stage: Stage, is_barrier: bool) -> Self {
        self.settings.barriers[stage.index()] = is_barrier;
        self
    }

    /// Sets how long a stage may take from the moment all earlier ones have ended.
    #[must_use]
    pub fn stage_timeout(mut self, stage: Stage, timeout: Duration) -> Self {
        self.settings.stage_timeouts[stage.index()] = Some(timeout);
        self
    }

    /// Sets how long a run may take, queueing for a place included.
    #[must_use]
    pub fn run_timeout(mut self, timeout: Duration) -> Self {
        self.settings.run_timeout = RunTimeout::After(timeout);
        self
    }

    /// Lets a run take as long as its critics do, whatever the executor's default.
    #[must_use]
    pub fn no_run_timeout(mut self) -> Self {
        self.settings.run_timeout = RunTimeout::Unlimited;
        self
    }

    /// Sets how severities become verdicts.
    #[must_use]
    pub fn verdict_map(mut self, map: VerdictMap) -> Self {
        self.settings.verdict_map = map;
        self
    }

    /// Lets a missing critic that fails closed block instead of escalate.
    #[must_use]
    pub fn missing_blocks(mut self) -> Self {
        self.settings.missing_verdict = Verdict::Block;
        self
    }

    /// Sets how many answers there must be; with fewer the run escalates.
    #[must_use]
    pub fn quorum(mut self, answers: usize) -> Self {
        self.settings.quorum = Some(answers);
        self
    }

    /// Ends a run as soon as its verdict is at least this.
    #[must_use]
    pub fn early_stop(mut self, verdict: Verdict) -> Self {
        self.settings.early_stop = Some(verdict);
        self
    }

    /// Ends a run with the first missing critic that is not to be ignored.
    #[must_use]
    pub fn fail_fast(mut self) -> Self {
        self.settings.is_fail_fast = true;
        self
    }

    /// Sets what a run may spend.
    #[must_use]
    pub fn budget(mut self, limit: MicroDollars, on_exhausted: OnExhausted) -> Self {
        self.settings.budget = Some(Budget { limit, on_exhausted });
        self
    }

    /// Sets how large an output may be.
    #[must_use]
    pub fn output_limits(mut self, limits: OutputLimits) -> Self {
        self.settings.output_limits = limits;
        self
    }

    /// Validates everything and freezes it.
    ///
    /// # Errors
    /// All that is wrong, not only the first.
    pub fn build(self) -> Result<ExecutionPlan, PlanErrors> {
        let Self { mut critics, validators, settings, attempt_timeout } = self;
        for spec in &mut critics {
            if spec.attempt_timeout == Some(CriticSpec::DEFAULT_ATTEMPT_TIMEOUT) {
                spec.attempt_timeout = Some(attempt_timeout);
            }
        }
        critics.sort_by(|a, b| (a.stage, &a.name).cmp(&(b.stage, &b.name)));
        let mut linker = Linker::new(&critics, &validators);
        let nodes = linker.link(&critics);
        let mut errors = linker.errors;
        checks::settings(&settings, critics.len(), &mut errors);
        checks::critics(&critics, &mut errors);

        let count = critics.len();
        let upstream = Lists::from_pairs(count, &linker.edges);
        let reversed: Vec<_> =
            linker.edges.iter().map(|(critic, other)| (*other, *critic)).collect();
        let downstream = Lists::from_pairs(count, &reversed);
        let order = graph::order(count, &upstream, &downstream);
        if let Some(first) = order.cycle.first() {
            let path = order
                .cycle
                .iter()
                .chain([first])
                .map(|index| Arc::clone(&critics[*index as usize].name));
            errors.push(PlanError::Cycle { path: path.collect() });
        }
        let by_name = linker.by_name;
        let mut plan_nodes = Vec::with_capacity(count);
        for (spec, links) in critics.into_iter().zip(nodes) {
            plan_nodes.push(PlanNode {
                critic_settings: digest::critic_settings(&spec),
                #[cfg(feature = "json-schema")]
                schema: compile_schema(&spec, &mut errors),
                spec,
                depends_on: links.depends_on,
                evidence: links.evidence,
                validators: links.validators,
            });
        }
        if !errors.is_empty() {
            return Err(PlanErrors(errors));
        }
        let stages = stage_ranges(&plan_nodes);
        let (severity_thresholds, uncertainty_thresholds) = thresholds(&plan_nodes);
        let mut topological = order.topological;
        topological.sort_by_key(|index| plan_nodes[*index as usize].spec.stage);
        let digest = digest::of(&plan_nodes, &settings);
        let mut inner = PlanInner {
            id: next_plan_id(),
            nodes: plan_nodes,
            by_name,
            upstream,
            downstream,
            topological,
            stages,
            severity_thresholds,
            uncertainty_thresholds,
            settings,
            digest,
            warnings: Vec::new(),
        };
        inner.warnings = checks::warnings(&inner);
        Ok(ExecutionPlan { inner: Arc::new(inner) })
    }
}

/// What names became.
struct Links {
    depends_on: Box<[(u32, DependencyKind)]>,
    evidence: EvidenceSet,
    validators: Box<[Arc<dyn Validator>]>,
}

/// Turns names into places and notes every one that leads nowhere.
struct Linker<'a> {
    by_name: HashMap<Arc<str>, u32>,
    validators: &'a BTreeMap<Arc<str>, Arc<dyn Validator>>,
    errors: Vec<PlanError>,
    /// Critic and whom it waits for, without repetition.
    edges: Vec<(u32, u32)>,
    suggestions_left: usize,
}

impl<'a> Linker<'a> {
    fn new(critics: &[CriticSpec], validators: &'a BTreeMap<Arc<str>, Arc<dyn Validator>>) -> Self {
        let mut by_name = HashMap::with_capacity(critics.len());
        let mut errors = Vec::new();
        for (index, spec) in critics.iter().enumerate() {
            let index = u32::try_from(index).expect("more critics do not fit into memory");
            if spec.name.is_empty() {
                errors.push(PlanError::EmptyName);
            } else if by_name.contains_key(&spec.name) {
                errors.push(PlanError::DuplicateName { name: Arc::clone(&spec.name) });
            } else {
                by_name.insert(Arc::clone(&spec.name), index);
            }
        }
        Self { by_name, validators, errors, edges: Vec::new(), suggestions_left: MAX_SUGGESTIONS }
    }

    fn link(&mut self, critics: &[CriticSpec]) -> Vec<Links> {
        let mut links = Vec::with_capacity(critics.len());
        for (index, spec) in critics.iter().enumerate() {
            let index = u32::try_from(index).expect("more critics do not fit into memory");
            let depends_on = self.dependencies(index, spec, critics);
            let evidence = self.evidence(index, spec, critics);
            let mut upstream: Vec<u32> = depends_on.iter().map(|(other, _)| *other).collect();
            if let EvidenceSet::Listed(listed) = &evidence {
                upstream.extend(listed);
            }
            upstream.sort_unstable();
            upstream.dedup();
            self.edges.extend(upstream.into_iter().map(|other| (index, other)));
            links.push(Links { depends_on, evidence, validators: self.validators_of(spec) });
        }
        links
    }

    fn dependencies(
        &mut self,
        index: u32,
        spec: &CriticSpec,
        critics: &[CriticSpec],
    ) -> Box<[(u32, DependencyKind)]> {
        let mut found: Vec<(u32, DependencyKind)> = Vec::with_capacity(spec.depends_on.len());
        for dependency in &spec.depends_on {
            let critic = || Arc::clone(&spec.name);
            let name = || Arc::clone(&dependency.name);
            match self.by_name.get(&dependency.name).copied() {
                None => {
                    let nearest = self.suggest(&dependency.name, &spec.name);
                    self.errors.push(PlanError::UnknownDependency {
                        critic: critic(),
                        name: name(),
                        nearest,
                    });
                }
                Some(other) if other == index => {
                    self.errors.push(PlanError::SelfDependency { critic: critic() })
                }
                Some(other) if critics[other as usize].stage > spec.stage => {
                    self.errors.push(PlanError::LaterDependency { critic: critic(), name: name() });
                }
                Some(other) => found.push((other, dependency.kind)),
            }
        }
        found.into()
    }

    fn evidence(&mut self, index: u32, spec: &CriticSpec, critics: &[CriticSpec]) -> EvidenceSet {
        let Some(names) = &spec.evidence else {
            return if spec.policy.is_always() { EvidenceSet::Empty } else { EvidenceSet::Earlier };
        };
        let mut listed = Vec::with_capacity(names.len());
        for name in names {
            let critic = || Arc::clone(&spec.name);
            match self.by_name.get(name).copied() {
                None => {
                    let nearest = self.suggest(name, &spec.name);
                    let name = Arc::clone(name);
                    self.errors.push(PlanError::UnknownEvidence {
                        critic: critic(),
                        name,
                        nearest,
                    });
                }
                Some(other) if other == index || critics[other as usize].stage > spec.stage => {
                    self.errors.push(PlanError::LaterEvidence {
                        critic: critic(),
                        name: Arc::clone(name),
                    });
                }
                Some(other) => listed.push(other),
            }
        }
        if spec.policy.is_always() {
            return EvidenceSet::Empty;
        }
        listed.sort_unstable();
        listed.dedup();
        EvidenceSet::Listed(listed.into())
    }

    fn validators_of(&mut self, spec: &CriticSpec) -> Box<[Arc<dyn Validator>]> {
        let mut found = Vec::with_capacity(spec.validators.len());
        for name in &spec.validators {
            match self.validators.get(name) {
                Some(validator) => found.push(Arc::clone(validator)),
                None => self.errors.push(PlanError::UnknownValidator {
                    critic: Arc::clone(&spec.name),
                    name: Arc::clone(name),
                    nearest: nearest(name, self.validators.keys()),
                }),
            }
        }
        found.into()
    }

    fn suggest(&mut self, wrong: &str, except: &str) -> Option<Arc<str>> {
        self.suggestions_left = self.suggestions_left.checked_sub(1)?;
        nearest(wrong, self.by_name.keys().filter(|name| &***name != except))
    }
}

#[cfg(feature = "json-schema")]
fn compile_schema(
    spec: &CriticSpec,
    errors: &mut Vec<PlanError>,
) -> Option<crate::schema::CompiledSchema> {
    let compiled = crate::schema::CompiledSchema::compile(spec.schema.as_ref()?);
    let note = |message| PlanError::DoesNotCompile {
        critic: Arc::clone(&spec.name),
        what: "schema",
        message,
    };
    compiled.map_err(|message| errors.push(note(message))).ok()
}

fn stage_ranges(nodes: &[PlanNode]) -> [Range<u32>; Stage::COUNT] {
    let place = |from: usize| u32::try_from(from).expect("more critics do not fit into memory");
    Stage::ALL.map(|stage| {
        let start = nodes.partition_point(|node| node.spec.stage < stage);
        let end = nodes.partition_point(|node| node.spec.stage <= stage);
        place(start)..place(end)
    })
}

fn thresholds(nodes: &[PlanNode]) -> (Vec<f64>, Vec<f64>) {
    let (mut severities, mut uncertainties) = (Vec::new(), Vec::new());
    nodes.iter().for_each(|node| node.spec.policy.thresholds(&mut severities, &mut uncertainties));
    for values in [&mut severities, &mut uncertainties] {
        values.sort_by(f64::total_cmp);
        values.dedup();
    }
    (severities, uncertainties)
}
