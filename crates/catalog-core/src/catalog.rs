use std::sync::{Arc, RwLock, RwLockReadGuard};

use tokio::{sync::Mutex, task::spawn_blocking};

use crate::{
    Alias, CatalogError, CatalogId, CatalogStore, Change, Commit, Entry, EntryFile, EntryState,
    FileStamp, ListedModel, Precondition, ResolveError, Sbom, Signature, StoreError, TrustPolicy,
    VerifyResult, index::Index,
};

/// How many characters of an unknown name an error repeats.
const SHOWN_NAME_CHARS_MAX: usize = 128;

/// How often a change is decided anew because others were faster.
const DECISIONS_MAX: usize = 32;

/// How much a catalog may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogLimits {
    /// Entries, retired ones included.
    pub entries_max: usize,
    /// Aliases.
    pub aliases_max: usize,
}

impl Default for CatalogLimits {
    fn default() -> Self {
        Self { entries_max: 10_000, aliases_max: 20_000 }
    }
}

/// What becomes of an alias that points to another entry when it is given to a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenAlias {
    /// It moves to the new entry: somebody asked for the name.
    Move,
    /// It stays where it is: the name was only a suggestion.
    Keep,
}

/// What somebody says about an entry beside its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Replace the entry's tags, where there are any.
    pub tags: Vec<String>,
    /// Are added to the entry's signatures.
    pub signatures: Vec<Signature>,
    /// Replaces the entry's own.
    pub sbom: Option<Sbom>,
    /// The entry's digest is the one that was expected.
    pub is_pinned: bool,
    /// What a token of context costs, read from the header.
    pub kv_bytes_per_token: Option<u64>,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The entry's files as they were when it began.
    pub began_with: Vec<EntryFile>,
    /// The files as they are, or why the entry must not be used.
    pub found: Result<Vec<EntryFile>, String>,
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
}

/// All models that are known, in memory over a store. Cheap to share behind an [`Arc`].
///
/// Others may change the same store, from this process or another. Each change here is decided on the
/// newest records; what is read may lag behind until the next change or [`Catalog::refresh`].
pub struct Catalog {
    store: Arc<dyn CatalogStore>,
    limits: CatalogLimits,
    // What the store holds. Held only to look up or to exchange entries, never across an await.
    index: RwLock<Index>,
    trust: RwLock<Arc<TrustPolicy>>,
    // Whose turn it is to write: held across the store's transaction, so that index and store see the
    // same changes in the same order. Readers never wait for it.
    writer: Mutex<()>,
}

impl Catalog {
    /// A catalog of what `store` holds, which trusts as the default policy does.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub async fn open(
        store: Arc<dyn CatalogStore>,
        limits: CatalogLimits,
    ) -> Result<Self, StoreError> {
        let index = RwLock::new(Index::of(store.load().await?)?);
        Ok(Self { store, limits, index, trust: RwLock::default(), writer: Mutex::new(()) })
    }

    /// Trusts as `policy` says from now on.
    pub fn set_trust(&self, policy: TrustPolicy) {
        *self.trust.write().expect("no holder panics") = Arc::new(policy);
    }

    /// Whom it trusts.
    #[must_use]
    pub fn trust(&self) -> Arc<TrustPolicy> {
        Arc::clone(&self.trust.read().expect("no holder panics"))
    }

    /// Reads what others changed.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let _turn = self.writer.lock().await;
        self.reload().await.map(drop)
    }

    /// The entry that new tasks get for a name or an id.
    ///
    /// # Errors
    /// [`ResolveError`] for a model that is unknown, retired, out of service or not to be trusted.
    pub fn resolve(&self, model_ref: &str) -> Result<Arc<Entry>, ResolveError> {
        let entry = self.find(model_ref).ok_or_else(|| ResolveError::UnknownModel {
            model: model_ref.chars().take(SHOWN_NAME_CHARS_MAX).collect(),
        })?;
        self.usable(entry)
    }

    /// The entry of a name or an id, whatever its state.
    #[must_use]
    pub fn find(&self, model_ref: &str) -> Option<Arc<Entry>> {
        self.read().find(model_ref).cloned()
    }

    /// The entry of an id, whatever its state.
    #[must_use]
    pub fn get(&self, id: &CatalogId) -> Option<Arc<Entry>> {
        self.read().entries.get(id).cloned()
    }

    /// The entry of a name or an id with all its names.
    #[must_use]
    pub fn listed(&self, model_ref: &str) -> Option<ListedModel> {
        let index = self.read();
        let id = &index.find(model_ref)?.id;
        index.listed(id)
    }

    /// All entries that came from `source_ref`, in the order of their ids.
    #[must_use]
    pub fn from_source(&self, source_ref: &str) -> Vec<Arc<Entry>> {
        let index = self.read();
        index.entries.values().filter(|entry| entry.source_ref == source_ref).cloned().collect()
    }

    /// All entries with their names, in the order of their ids.
    #[must_use]
    pub fn list(&self) -> Vec<ListedModel> {
        self.read().list()
    }

    /// Keeps `entry` and its names. An entry with the same id is replaced, but keeps its state, the time of
    /// its creation and what was said about it.
    ///
    /// # Errors
    /// [`CatalogError`] where the catalog is full or the store fails; nothing is changed then.
    pub async fn register(
        &self,
        entry: Entry,
        aliases: &[Alias],
        taken: TakenAlias,
    ) -> Result<Arc<Entry>, CatalogError> {
        let asks_more = |is_pinned| self.trust().asks_more(is_pinned);
        let id = entry.id.clone();
        self.change(|index| {
            let mut entry = entry.clone();
            if let Some(former) = index.entries.get(&entry.id) {
                keep_what_was_said(&mut entry, former);
            } else if index.entries.len() >= self.limits.entries_max {
                return Err(CatalogError::TooManyModels { limit: self.limits.entries_max });
            }
            if entry.id.digest().is_some() {
                let is_warned = asks_more(entry.is_pinned);
                entry.verify_result =
                    if is_warned { VerifyResult::Warn } else { VerifyResult::Pass };
            }
            let free = |alias: &&Alias| index.aliases.get(*alias).is_none_or(|id| *id == entry.id);
            let wanted = aliases.iter().filter(|a| taken == TakenAlias::Move || free(a));
            let moving: Vec<&Alias> =
                wanted.filter(|alias| index.aliases.get(*alias) != Some(&entry.id)).collect();
            self.check_room_for(index, &moving)?;
            let mut changes: Vec<Change> = moving
                .into_iter()
                .map(|alias| Change::SetAlias(alias.clone(), entry.id.clone()))
                .collect();
            changes.insert(0, Change::Put(Box::new(entry)));
            Ok(changes)
        })
        .await?;
        Ok(self.existing(&id)?)
    }

    /// Adds what somebody says about an entry.
    ///
    /// # Errors
    /// [`CatalogError`] where there is no such entry or the store fails.
    pub async fn describe(
        &self,
        id: &CatalogId,
        details: &Details,
    ) -> Result<Arc<Entry>, CatalogError> {
        let trust = self.trust();
        self.change_entry(id, &Precondition::Any, |entry| {
            if !details.tags.is_empty() {
                entry.tags.clone_from(&details.tags);
            }
            for signature in &details.signatures {
                if !entry.signatures.contains(signature) {
                    entry.signatures.push(signature.clone());
                }
            }
            if details.sbom.is_some() {
                entry.sbom.clone_from(&details.sbom);
            }
            if details.is_pinned && !entry.is_pinned {
                entry.is_pinned = true;
                if entry.verify_result == VerifyResult::Warn && !trust.asks_more(true) {
                    entry.verify_result = VerifyResult::Pass;
                }
            }
            entry.kv_bytes_per_token = details.kv_bytes_per_token.or(entry.kv_bytes_per_token);
        })
        .await
    }

    /// Points a name to an entry, wherever it pointed before.
    ///
    /// # Errors
    /// [`CatalogError`] where there is no such entry, the catalog is full or the store fails.
    pub async fn set_alias(&self, alias: Alias, id: &CatalogId) -> Result<(), CatalogError> {
        self.set_alias_if(alias, id, &Precondition::Any).await
    }

    /// As [`Self::set_alias`], if `holds` says so of the entry that the name points to now.
    ///
    /// # Errors
    /// As [`Self::set_alias`]; [`CatalogError::Changed`] where the entry is another.
    pub async fn set_alias_if(
        &self,
        alias: Alias,
        id: &CatalogId,
        holds: &Precondition,
    ) -> Result<(), CatalogError> {
        self.change(|index| {
            if !index.entries.contains_key(id) {
                return Err(unknown(id).into());
            }
            let former = index.aliases.get(&alias);
            check(holds, former.and_then(|id| index.listed(id)).as_ref())?;
            if former == Some(id) {
                return Ok(Vec::new());
            }
            self.check_room_for(index, &[&alias])?;
            Ok(vec![Change::SetAlias(alias.clone(), id.clone())])
        })
        .await
    }

    /// Removes a name, if `holds` says so of the entry that it points to.
    ///
    /// # Errors
    /// [`CatalogError`] where there is no such name, the entry is another or the store fails.
    pub async fn remove_alias(
        &self,
        alias: &Alias,
        holds: &Precondition,
    ) -> Result<(), CatalogError> {
        self.change(|index| {
            let Some(id) = index.aliases.get(alias) else {
                return Err(CatalogError::UnknownAlias { alias: alias.clone() });
            };
            check(holds, index.listed(id).as_ref())?;
            Ok(vec![Change::RemoveAlias(alias.clone())])
        })
        .await
    }

    /// Retires an entry, from when on its tasks are ended at `retire_at_ms`, or takes it back.
    ///
    /// # Errors
    /// [`CatalogError`] where there is no such entry, it is another than `holds` says or the store fails.
    pub async fn set_state(
        &self,
        id: &CatalogId,
        state: EntryState,
        retire_at_ms: Option<u64>,
        holds: &Precondition,
    ) -> Result<Arc<Entry>, CatalogError> {
        self.change_entry(id, holds, |entry| {
            entry.state = state;
            entry.retire_at_ms = retire_at_ms.filter(|_| state == EntryState::Retired);
        })
        .await
    }

    /// Notes that the tasks of a retired entry were ended.
    ///
    /// # Errors
    /// [`CatalogError`] where there is no such entry or the store fails.
    pub async fn note_tasks_ended(&self, id: &CatalogId) -> Result<Arc<Entry>, CatalogError> {
        self.change_entry(id, &Precondition::Any, |entry| entry.retire_at_ms = None).await
    }

    /// Removes an entry and all its names. What its files are left as is the caller's part.
    ///
    /// # Errors
    /// [`CatalogError`] where there is no such entry, it is another than `holds` says or the store fails.
    pub async fn remove(&self, id: &CatalogId, holds: &Precondition) -> Result<(), CatalogError> {
        self.change(|index| {
            let found = index.listed(id).ok_or_else(|| unknown(id))?;
            check(holds, Some(&found))?;
            Ok(vec![Change::Remove(id.clone())])
        })
        .await
    }

    /// Notes what a verification found: a good one brings an entry back into service, a bad one takes it
    /// out. One of files that the entry has no more changes nothing.
    ///
    /// # Errors
    /// [`CatalogError`] where there is no such entry or the store fails.
    pub async fn note_verification(
        &self,
        id: &CatalogId,
        verification: &Verification,
    ) -> Result<Arc<Entry>, CatalogError> {
        let trust = self.trust();
        self.change_entry(id, &Precondition::Any, |entry| {
            if entry.files != verification.began_with {
                return;
            }
            entry.verified_at_ms = Some(verification.at_ms);
            match &verification.found {
                Ok(files) => {
                    entry.files.clone_from(files);
                    entry.out_of_service = None;
                    let is_warned = trust.asks_more(entry.is_pinned);
                    entry.verify_result =
                        if is_warned { VerifyResult::Warn } else { VerifyResult::Pass };
                }
                Err(reason) => {
                    entry.out_of_service = Some(reason.clone());
                    entry.verify_result = VerifyResult::Fail;
                }
            }
        })
        .await
    }

    /// The entry of `id` as new tasks get it, after a look at its files: one that is not the file that
    /// was verified takes the entry out of service, durably.
    ///
    /// # Errors
    /// [`CatalogError`] for an entry that is unknown, retired, out of service, not to be trusted or has
    /// just been found changed, and where the store fails.
    pub async fn recheck_unchanged(&self, id: &CatalogId) -> Result<Arc<Entry>, CatalogError> {
        let entry = self.usable(self.existing(id)?)?;
        Ok(self.usable(self.look_at(entry).await?)?)
    }

    /// Looks at the files of every entry that is in service, and takes those out whose files changed.
    /// Returns what was taken out.
    ///
    /// # Errors
    /// [`CatalogError`] where the store fails.
    pub async fn recheck_all(&self) -> Result<Vec<Arc<Entry>>, CatalogError> {
        let in_service: Vec<Arc<Entry>> = {
            let index = self.read();
            let is_in_service =
                |entry: &&Arc<Entry>| entry.out_of_service.is_none() && !entry.files.is_empty();
            index.entries.values().filter(is_in_service).cloned().collect()
        };
        let mut changed = Vec::new();
        for entry in in_service {
            match self.look_at(entry).await {
                Ok(entry) if entry.out_of_service.is_some() => changed.push(entry),
                Ok(_) | Err(CatalogError::Resolve(ResolveError::UnknownModel { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(changed)
    }

    async fn look_at(&self, entry: Arc<Entry>) -> Result<Arc<Entry>, CatalogError> {
        let files = entry.files.clone();
        let changed = spawn_blocking(move || files.iter().find_map(change_of))
            .await
            .expect("looking at files does not panic");
        let Some(reason) = changed else { return Ok(entry) };
        self.change_entry(&entry.id, &Precondition::Any, |now| {
            // Otherwise it was verified again while we looked.
            if now.files == entry.files {
                now.out_of_service = Some(reason.clone());
            }
        })
        .await
    }

    async fn change_entry(
        &self,
        id: &CatalogId,
        holds: &Precondition,
        edit: impl Fn(&mut Entry) + Send + Sync,
    ) -> Result<Arc<Entry>, CatalogError> {
        self.change(|index| {
            let found = index.listed(id).ok_or_else(|| unknown(id))?;
            check(holds, Some(&found))?;
            let mut entry = Entry::clone(&found.entry);
            edit(&mut entry);
            let is_new = entry != *found.entry;
            Ok(is_new.then(|| Change::Put(Box::new(entry))).into_iter().collect())
        })
        .await?;
        Ok(self.existing(id)?)
    }

    /// Makes the changes that `decide` wants of the newest records, all of them or none.
    async fn change(
        &self,
        decide: impl Fn(&Index) -> Result<Vec<Change>, CatalogError> + Send + Sync,
    ) -> Result<(), CatalogError> {
        let _turn = self.writer.lock().await;
        for _ in 0..DECISIONS_MAX {
            let (revision, decided) = {
                let index = self.read();
                (index.revision, decide(&index))
            };
            let changes = match decided {
                // What it was refused for may have changed in the store.
                Err(_) if self.reload().await? => continue,
                decided => decided?,
            };
            if changes.is_empty() {
                return Ok(());
            }
            match self.store.commit(revision, changes.clone()).await? {
                Commit::Done { revision } => {
                    self.index.write().expect("no holder panics").apply(changes, revision);
                    return Ok(());
                }
                Commit::Outdated => {
                    self.reload().await?;
                }
            }
        }
        Err(CatalogError::Contended)
    }

    /// Whether the store had something newer.
    async fn reload(&self) -> Result<bool, StoreError> {
        if self.store.revision().await? == self.read().revision {
            return Ok(false);
        }
        let index = Index::of(self.store.load().await?)?;
        *self.index.write().expect("no holder panics") = index;
        Ok(true)
    }

    fn check_room_for(&self, index: &Index, aliases: &[&Alias]) -> Result<(), CatalogError> {
        let new = aliases.iter().filter(|alias| !index.aliases.contains_key(**alias)).count();
        let limit = self.limits.aliases_max;
        if new > 0 && index.aliases.len() + new > limit {
            return Err(CatalogError::TooManyAliases { limit });
        }
        Ok(())
    }

    fn existing(&self, id: &CatalogId) -> Result<Arc<Entry>, ResolveError> {
        self.get(id).ok_or_else(|| unknown(id))
    }

    fn usable(&self, entry: Arc<Entry>) -> Result<Arc<Entry>, ResolveError> {
        let id = || entry.id.clone();
        if entry.state == EntryState::Retired {
            return Err(ResolveError::Retired { id: id() });
        }
        let trusted = self.trust().check(&entry.source_ref, entry.is_pinned, &entry.signatures);
        trusted.map_err(|source| ResolveError::Untrusted { id: id(), source })?;
        match &entry.out_of_service {
            Some(reason) => Err(ResolveError::OutOfService { id: id(), reason: reason.clone() }),
            None => Ok(entry),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect("no holder panics")
    }
}

/// What an entry keeps when it is registered again.
fn keep_what_was_said(entry: &mut Entry, former: &Entry) {
    entry.state = former.state;
    entry.retire_at_ms = former.retire_at_ms;
    entry.created_at_ms = former.created_at_ms;
    entry.is_pinned |= former.is_pinned;
    entry.tags.clone_from(&former.tags);
    entry.signatures.clone_from(&former.signatures);
    entry.sbom.clone_from(&former.sbom);
}

fn check(holds: &Precondition, found: Option<&ListedModel>) -> Result<(), CatalogError> {
    if holds.holds(found) { Ok(()) } else { Err(CatalogError::Changed) }
}

fn unknown(id: &CatalogId) -> ResolveError {
    ResolveError::UnknownModel { model: id.to_string() }
}

/// How a file differs from the one that was verified, if it does. The texts name the file only: they
/// reach clients, which have no business with the folders of this machine.
fn change_of(file: &EntryFile) -> Option<String> {
    let name = file.path.file_name().unwrap_or_default();
    match FileStamp::read(&file.path) {
        Ok(stamp) if stamp == file.stamp => None,
        Ok(_) => Some(format!("its file {name} changed since it was verified")),
        Err(error) => Some(format!("its file {name} cannot be read ({})", error.kind())),
    }
}
