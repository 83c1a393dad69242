use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock, RwLockReadGuard},
};

use tokio::{sync::Mutex, task::spawn_blocking};

use crate::{
    Alias, CatalogError, CatalogId, CatalogStore, Entry, EntryFile, EntryState, FileStamp,
    ResolveError, StoreError,
};

/// How many characters of an unknown name an error repeats.
const SHOWN_NAME_CHARS_MAX: usize = 128;

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

/// An entry with the names that point to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedModel {
    /// The entry.
    pub entry: Arc<Entry>,
    /// Its aliases, in order.
    pub aliases: Vec<Alias>,
}

/// All models that are known, in memory over a store. Cheap to share behind an [`Arc`].
pub struct Catalog {
    store: Arc<dyn CatalogStore>,
    limits: CatalogLimits,
    // What the store holds. Held only to look up or to exchange an entry, never across an await.
    index: RwLock<Index>,
    // Whose turn it is to write: held across the store's transaction, so that index and store see the
    // same changes in the same order. Readers never wait for it.
    writer: Mutex<()>,
}

#[derive(Default)]
struct Index {
    entries: BTreeMap<CatalogId, Arc<Entry>>,
    aliases: BTreeMap<Alias, CatalogId>,
}

impl Catalog {
    /// A catalog of what `store` holds.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub async fn open(
        store: Arc<dyn CatalogStore>,
        limits: CatalogLimits,
    ) -> Result<Self, StoreError> {
        let records = store.load().await?;
        let entries: BTreeMap<_, _> =
            records.entries.into_iter().map(|e| (e.id.clone(), Arc::new(e))).collect();
        let aliases: BTreeMap<_, _> = records.aliases.into_iter().collect();
        if aliases.values().any(|id| !entries.contains_key(id)) {
            return Err(StoreError::new("read the aliases", "an alias points to no entry"));
        }
        let index = RwLock::new(Index { entries, aliases });
        Ok(Self { store, limits, index, writer: Mutex::new(()) })
    }

    /// The entry that new tasks get for a name or an id.
    ///
    /// # Errors
    /// [`ResolveError`] for a model that is unknown, retired or out of service.
    pub fn resolve(&self, model_ref: &str) -> Result<Arc<Entry>, ResolveError> {
        let entry = self.find(model_ref).ok_or_else(|| ResolveError::UnknownModel {
            model: model_ref.chars().take(SHOWN_NAME_CHARS_MAX).collect(),
        })?;
        usable(entry)
    }

    /// The entry of a name or an id, whatever its state.
    #[must_use]
    pub fn find(&self, model_ref: &str) -> Option<Arc<Entry>> {
        let index = self.read();
        if let Some(id) = index.aliases.get(model_ref) {
            return index.entries.get(id).cloned();
        }
        index.entries.get(&model_ref.parse().ok()?).cloned()
    }

    /// The entry of an id, whatever its state.
    #[must_use]
    pub fn get(&self, id: &CatalogId) -> Option<Arc<Entry>> {
        self.read().entries.get(id).cloned()
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
        let index = self.read();
        let mut names: BTreeMap<&CatalogId, Vec<Alias>> = BTreeMap::new();
        for (alias, id) in &index.aliases {
            names.entry(id).or_default().push(alias.clone());
        }
        let listed = |(id, entry): (&CatalogId, &Arc<Entry>)| ListedModel {
            entry: Arc::clone(entry),
            aliases: names.remove(id).unwrap_or_default(),
        };
        index.entries.iter().map(listed).collect()
    }

    /// Keeps `entry` and its names. An entry with the same id is replaced, but keeps its state and the
    /// time of its creation.
    ///
    /// # Errors
    /// [`CatalogError`] where the catalog is full or the store fails; nothing is changed then.
    pub async fn register(
        &self,
        mut entry: Entry,
        aliases: &[Alias],
        taken: TakenAlias,
    ) -> Result<Arc<Entry>, CatalogError> {
        let _turn = self.writer.lock().await;
        let aliases = self.admit(&mut entry, aliases, taken)?;
        self.store.put(&entry, &aliases).await?;
        let entry = Arc::new(entry);
        let mut index = self.index.write().expect("no holder panics");
        index.entries.insert(entry.id.clone(), Arc::clone(&entry));
        index.aliases.extend(aliases.into_iter().map(|alias| (alias, entry.id.clone())));
        Ok(entry)
    }

    /// Points a name to an entry, wherever it pointed before.
    ///
    /// # Errors
    /// [`CatalogError`] where there is no such entry, the catalog is full or the store fails.
    pub async fn set_alias(&self, alias: Alias, id: &CatalogId) -> Result<(), CatalogError> {
        let _turn = self.writer.lock().await;
        self.existing(id)?;
        self.check_room_for(std::slice::from_ref(&alias))?;
        self.store.set_alias(&alias, id).await?;
        self.index.write().expect("no holder panics").aliases.insert(alias, id.clone());
        Ok(())
    }

    /// Removes a name.
    ///
    /// # Errors
    /// [`CatalogError`] where there is no such name or the store fails.
    pub async fn remove_alias(&self, alias: &Alias) -> Result<(), CatalogError> {
        let _turn = self.writer.lock().await;
        if !self.read().aliases.contains_key(alias) {
            return Err(CatalogError::UnknownAlias { alias: alias.clone() });
        }
        self.store.remove_alias(alias).await?;
        self.index.write().expect("no holder panics").aliases.remove(alias);
        Ok(())
    }

    /// Retires an entry, or takes it back.
    ///
    /// # Errors
    /// [`CatalogError`] where there is no such entry or the store fails.
    pub async fn set_state(
        &self,
        id: &CatalogId,
        state: EntryState,
    ) -> Result<Arc<Entry>, CatalogError> {
        let _turn = self.writer.lock().await;
        let entry = Entry { state, ..Entry::clone(&*self.existing(id)?) };
        self.store.set_state(id, state).await?;
        Ok(self.exchange(entry))
    }

    /// The entry of `id` as new tasks get it, after a look at its files: one that is not the file that
    /// was verified takes the entry out of service, durably.
    ///
    /// # Errors
    /// [`CatalogError`] for an entry that is unknown, retired, out of service or has just been found
    /// changed, and where the store fails.
    pub async fn recheck_unchanged(&self, id: &CatalogId) -> Result<Arc<Entry>, CatalogError> {
        let entry = usable(self.existing(id)?)?;
        let files = entry.files.clone();
        let changed = spawn_blocking(move || files.iter().find_map(change_of))
            .await
            .expect("looking at files does not panic");
        let Some(reason) = changed else { return Ok(entry) };

        let _turn = self.writer.lock().await;
        let now = self.existing(id)?;
        if now.files != entry.files {
            return Ok(usable(now)?); // verified again while we looked
        }
        let entry = Entry { out_of_service: Some(reason), ..Entry::clone(&now) };
        self.store.put(&entry, &[]).await?;
        Ok(usable(self.exchange(entry))?)
    }

    /// Fits an entry to what is there already, and picks the aliases that it gets.
    fn admit(
        &self,
        entry: &mut Entry,
        aliases: &[Alias],
        taken: TakenAlias,
    ) -> Result<Vec<Alias>, CatalogError> {
        let index = self.read();
        if let Some(former) = index.entries.get(&entry.id) {
            entry.state = former.state;
            entry.created_at_ms = former.created_at_ms;
        } else if index.entries.len() >= self.limits.entries_max {
            return Err(CatalogError::TooManyModels { limit: self.limits.entries_max });
        }
        let free = |alias: &&Alias| index.aliases.get(*alias).is_none_or(|id| *id == entry.id);
        let aliases: Vec<Alias> =
            aliases.iter().filter(|a| taken == TakenAlias::Move || free(a)).cloned().collect();
        drop(index);
        self.check_room_for(&aliases)?;
        Ok(aliases)
    }

    fn check_room_for(&self, aliases: &[Alias]) -> Result<(), CatalogError> {
        let index = self.read();
        let new = aliases.iter().filter(|alias| !index.aliases.contains_key(*alias)).count();
        let limit = self.limits.aliases_max;
        if new > 0 && index.aliases.len() + new > limit {
            return Err(CatalogError::TooManyAliases { limit });
        }
        Ok(())
    }

    fn existing(&self, id: &CatalogId) -> Result<Arc<Entry>, ResolveError> {
        self.get(id).ok_or_else(|| ResolveError::UnknownModel { model: id.to_string() })
    }

    fn exchange(&self, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        let mut index = self.index.write().expect("no holder panics");
        index.entries.insert(entry.id.clone(), Arc::clone(&entry));
        entry
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect("no holder panics")
    }
}

fn usable(entry: Arc<Entry>) -> Result<Arc<Entry>, ResolveError> {
    if entry.state == EntryState::Retired {
        return Err(ResolveError::Retired { id: entry.id.clone() });
    }
    match &entry.out_of_service {
        Some(reason) => {
            Err(ResolveError::OutOfService { id: entry.id.clone(), reason: reason.clone() })
        }
        None => Ok(entry),
    }
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
