use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use camino::Utf8PathBuf;
use handoff_schema::{HandedEngine, HandoffFile};
use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    Binding, Bindings, Change, EngineProbe, Outcome, Seen, Sighting, Skip, Stamp,
    folder::{Folder, FolderId, Found, Scan},
    notifier::Notifier,
    proof::{self, Verdict},
    safe_file::Owners,
};

/// Pause between two looks at processes, at engines that did not answer, and at the directory where nobody
/// tells of its changes: half of the 2 s within which a file is to take effect (ORCH-153).
const TICK: Duration = Duration::from_secs(1);

/// Pause between two full scans, whatever was told meanwhile (ORCH-153).
const SCAN_EVERY: Duration = Duration::from_secs(30);

/// How long a change waits for others that come with it.
const GATHER: Duration = Duration::from_millis(20);

/// What is taken from the file system for the place of [`Folder`]'s own problems.
const WHOLE_FOLDER: &str = "";

/// How to watch.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory; it need not be there yet.
    pub dir: Utf8PathBuf,
    pub notification: Notification,
}

/// Whether the kernel is asked to tell of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    /// It is, and where it cannot the directory is looked at each second.
    Wanted,
    /// The directory is looked at each second.
    Off,
}

/// Watches a directory of handoff files. Does its work while [`Self::changes`] is awaited, and in jobs that
/// end with it.
pub struct Watcher {
    folder: Folder,
    probe: Arc<dyn EngineProbe>,
    notification: Notification,
    /// Pools that are not to come from files.
    taken: BTreeSet<String>,
    bindings: Bindings,
    /// The last look; `None` before the first.
    scan: Option<Scan>,
    /// What was found out last about each file, and when.
    verdicts: BTreeMap<String, Judged>,
    /// Engines that can be used no longer, with the binding that this holds for.
    lost: BTreeMap<String, (Arc<Binding>, Skip)>,
    notifier: Option<Notifier>,
    /// Whether it was told that nobody tells of changes.
    is_polling_told: bool,
    scan_at: Instant,
    tick: Interval,
    jobs: JoinSet<Done>,
    is_scanning: bool,
    is_looking: bool,
    proving: BTreeSet<String>,
}

struct Judged {
    file: Arc<HandoffFile>,
    verdict: Verdict,
    /// When it is looked at again, unless its engine is used.
    again_at: Instant,
    /// The pause before that.
    pause: Duration,
}

impl Judged {
    /// Engines that do not answer yet are asked each second; those that were refused less and less often, as
    /// that rarely changes without the file.
    fn new(file: Arc<HandoffFile>, verdict: Verdict, former: Option<&Self>) -> Self {
        let pause = match (&verdict, former) {
            (Verdict::Refused(_), Some(former)) if former.file.is_same(&file) => {
                (former.pause * 2).min(SCAN_EVERY)
            }
            _ => TICK,
        };
        Self { file, verdict, again_at: Instant::now() + pause, pause }
    }
}

/// What a job brought.
enum Done {
    Scanned(Scan),
    Proved { name: String, file: Arc<HandoffFile>, verdict: Verdict },
    Looked { folder: Option<FolderId>, lost: Vec<(String, Arc<Binding>, Skip)> },
}

impl Watcher {
    /// A watcher that has looked at nothing yet. Needs a runtime around it.
    #[must_use]
    pub fn new(options: Options, probe: Arc<dyn EngineProbe>) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            folder: Folder { path: options.dir, owners: Owners::of_this_process() },
            probe,
            notification: options.notification,
            taken: BTreeSet::new(),
            bindings: Bindings::default(),
            scan: None,
            verdicts: BTreeMap::new(),
            lost: BTreeMap::new(),
            notifier: None,
            is_polling_told: false,
            scan_at: Instant::now(),
            tick,
            jobs: JoinSet::new(),
            is_scanning: false,
            is_looking: false,
            proving: BTreeSet::new(),
        }
    }

    /// Files of these pools are not used, from the next changes on.
    pub fn set_taken(&mut self, pools: BTreeSet<String>) {
        // What was found out of them is old when they may be used again.
        self.verdicts.retain(|_, judged| !pools.contains(&judged.file.pool_id));
        self.taken = pools;
    }

    /// Waits until there is something to do or to tell. May be dropped and called again at any time.
    pub async fn changes(&mut self) -> Vec<Change> {
        loop {
            let changes = self.settle();
            if !changes.is_empty() {
                return changes;
            }
            self.begin_scan();
            self.begin_proofs();
            tokio::select! {
                Some(done) = self.jobs.join_next() => self.take(done.expect("no job panics")),
                _ = self.tick.tick() => self.begin_look(),
                () = heard(self.notifier.as_ref()) => {
                    self.scan_at = self.scan_at.min(Instant::now() + GATHER);
                }
                () = sleep_until(self.scan_at), if !self.is_scanning => {}
            }
        }
    }

    /// What the last look and all that was found out mean.
    fn settle(&mut self) -> Vec<Change> {
        let Some(scan) = &self.scan else { return Vec::new() };
        let files = scan.files.iter();
        let mut sightings: BTreeMap<String, Sighting> =
            files.map(|(name, found)| (name.clone(), self.sighting(name, found))).collect();
        self.part_kinds(&mut sightings);
        if let Some(problem) = &scan.problem {
            let seen = Seen::Skipped(problem.clone());
            let sighting = Sighting { stamp: Stamp::default(), seen, lost: None };
            sightings.insert(WHOLE_FOLDER.to_owned(), sighting);
        }
        self.bindings.step(sightings)
    }

    /// Leaves out the files whose engine is of another kind than their pool's: what a pool can do is known of
    /// it as a whole. Those that are bound come first, then those whose names do.
    fn part_kinds(&self, sightings: &mut BTreeMap<String, Sighting>) {
        let mut kinds: BTreeMap<String, (String, HandedEngine)> = BTreeMap::new();
        for (name, binding) in self.bindings.bound() {
            let kind = (name.to_owned(), binding.file.engine);
            kinds.entry(binding.file.pool_id.clone()).or_insert(kind);
        }
        for (name, sighting) in sightings {
            let Seen::Usable(binding) = &sighting.seen else { continue };
            let (pool, engine) = (&binding.file.pool_id, binding.file.engine);
            let (first, kind) = kinds.entry(pool.clone()).or_insert_with(|| (name.clone(), engine));
            if *kind != engine && first != name {
                let (engine, kind) = (engine.name(), kind.name());
                let reason = format!(
                    "its engine is {engine:?}, and the other engines of pool {pool:?} are {kind:?}"
                );
                sighting.seen = Seen::Skipped(Skip::new(Outcome::Wrong, reason));
            }
        }
    }

    fn sighting(&self, name: &str, found: &Found) -> Sighting {
        let bound = self.bindings.bound().find(|(bound, _)| *bound == name);
        let lost = self
            .lost
            .get(name)
            .filter(|(of, _)| bound.is_some_and(|(_, binding)| Arc::ptr_eq(binding, of)));
        let seen = match &found.read {
            Err(skip) => Seen::Skipped(skip.clone()),
            Ok(file) => match self.refused_unseen(file) {
                Some(skip) => Seen::Skipped(skip),
                None => match self.verdict(name, file) {
                    None => Seen::Pending,
                    Some(Verdict::Usable(binding)) => Seen::Usable(Arc::clone(binding)),
                    Some(Verdict::Awaited(skip)) => Seen::Awaited(Arc::clone(file), skip.clone()),
                    Some(Verdict::Refused(skip)) => Seen::Skipped(skip.clone()),
                },
            },
        };
        Sighting { stamp: found.stamp, seen, lost: lost.map(|(_, skip)| skip.clone()) }
    }

    /// Why a file is not used, whatever its engine is.
    fn refused_unseen(&self, file: &HandoffFile) -> Option<Skip> {
        if self.taken.contains(&file.pool_id) {
            let reason = format!(
                "the configuration has a pool {:?} already; give this one another name",
                file.pool_id
            );
            return Some(Skip::new(Outcome::PoolTaken, reason));
        }
        file.loopback().is_none().then(|| proof::not_loopback(file))
    }

    fn verdict(&self, name: &str, file: &HandoffFile) -> Option<&Verdict> {
        let judged = self.verdicts.get(name)?;
        judged.file.is_same(file).then_some(&judged.verdict)
    }

    fn begin_scan(&mut self) {
        if self.is_scanning || Instant::now() < self.scan_at {
            return;
        }
        self.is_scanning = true;
        self.scan_at = Instant::now() + SCAN_EVERY;
        let folder = self.folder.clone();
        let first = self.bindings.bound().map(|(name, _)| name.to_owned()).collect();
        self.jobs.spawn_blocking(move || Done::Scanned(folder.scan(&first)));
    }

    /// Asks the engines of files of which nothing is known yet, or which were not ready a while ago.
    fn begin_proofs(&mut self) {
        let Some(scan) = &self.scan else { return };
        let now = Instant::now();
        for (name, found) in &scan.files {
            let Ok(file) = &found.read else { continue };
            let is_due = match self.verdicts.get(name) {
                Some(judged) if judged.file.is_same(file) => match judged.verdict {
                    Verdict::Usable(_) => false,
                    Verdict::Awaited(_) | Verdict::Refused(_) => judged.again_at <= now,
                },
                Some(_) | None => true,
            };
            if !is_due || self.refused_unseen(file).is_some() || !self.proving.insert(name.clone())
            {
                continue;
            }
            let (name, file) = (name.clone(), Arc::clone(file));
            let proving =
                proof::prove(Arc::clone(&file), self.folder.owners, Arc::clone(&self.probe));
            self.jobs.spawn(async move {
                let verdict = proving.await;
                Done::Proved { name, file, verdict }
            });
        }
    }

    /// Looks whether the processes of bound engines live, and whether the directory is still the same.
    fn begin_look(&mut self) {
        if self.notifier.is_none() {
            self.scan_at = self.scan_at.min(Instant::now());
        }
        if self.is_looking {
            return;
        }
        self.is_looking = true;
        let bound: Vec<(String, Arc<Binding>)> = self
            .bindings
            .bound()
            .map(|(name, binding)| (name.to_owned(), Arc::clone(binding)))
            .collect();
        let path = self.folder.path.clone();
        self.jobs.spawn_blocking(move || {
            let lost = bound.into_iter().filter_map(|(name, binding)| {
                let skip = proof::lost(&binding)?;
                Some((name, binding, skip))
            });
            Done::Looked { lost: lost.collect(), folder: FolderId::at(&path) }
        });
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Scanned(scan) => self.take_scan(scan),
            Done::Proved { name, file, verdict } => {
                self.proving.remove(&name);
                let judged = Judged::new(file, verdict, self.verdicts.get(&name));
                self.verdicts.insert(name, judged);
            }
            Done::Looked { folder, lost } => {
                self.is_looking = false;
                let watched = self.notifier.as_ref().map(Notifier::folder);
                if watched.is_some() && watched != folder {
                    self.scan_at = self.scan_at.min(Instant::now());
                }
                for (name, binding, skip) in lost {
                    self.lose(name, binding, skip);
                }
            }
        }
    }

    fn take_scan(&mut self, mut scan: Scan) {
        self.is_scanning = false;
        let opened = scan.opened.take();
        let watched = self.notifier.as_ref().map(Notifier::folder);
        if watched.is_none() || watched != opened.as_ref().map(|(_, id)| *id) {
            self.notifier = None;
            if let (Some((folder, id)), Notification::Wanted) = (opened, self.notification) {
                match Notifier::new(&folder, id) {
                    Ok(notifier) => {
                        self.notifier = Some(notifier);
                        // What changed before it listened is seen now.
                        self.scan_at = Instant::now();
                    }
                    Err(error) => self.tell_of_polling(&error),
                }
            }
        }
        self.verdicts.retain(|name, _| {
            let read = scan.files.get(name).map(|found| &found.read);
            read.is_some_and(|read| read.as_ref().err().is_none_or(Skip::keeps_binding))
        });
        self.lost.retain(|name, _| scan.files.contains_key(name));
        self.scan = Some(scan);
    }

    fn tell_of_polling(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.is_polling_told, true) {
            tracing::warn!(
                event = "handoff_polling",
                dir = %self.folder.path,
                %error,
                "the system does not tell of changes in the directory; it is looked at each second"
            );
        }
    }

    fn lose(&mut self, name: String, binding: Arc<Binding>, skip: Skip) {
        if let Some(judged) = self.verdicts.get_mut(&name)
            && judged.file.is_same(&binding.file)
        {
            *judged = Judged::new(
                Arc::clone(&binding.file),
                Verdict::Refused(skip.clone()),
                Some(judged),
            );
        }
        self.lost.insert(name, (binding, skip));
    }
}

async fn heard(notifier: Option<&Notifier>) {
    match notifier {
        Some(notifier) => notifier.changed().await,
        None => std::future::pending().await,
    }
}
