use std::{collections::BTreeMap, sync::Arc};

use handoff_schema::HandoffFile;

use crate::{Binding, Skip};

/// Which engines are used, by the names of their files; decides what a look at the directory changes.
///
/// A look that shows nothing new changes nothing, and what one file shows changes nothing of another's.
#[derive(Debug, Default)]
pub struct Bindings {
    files: BTreeMap<String, Entry>,
}

/// What one look shows of one file.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// Tells this content from the ones before it.
    pub stamp: Stamp,
    pub seen: Seen,
    /// Why the engine that the file is bound to now can be used no longer, where that is so.
    pub lost: Option<Skip>,
}

/// One state of a file, as the file system knows it. Two writings of the same bytes differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    pub device: u64,
    pub inode: u64,
    pub size_bytes: u64,
    pub modified_ns: i128,
    /// When its owner, mode or content changed last.
    pub changed_ns: i128,
}

/// What a file turned out to be.
#[derive(Debug, Clone)]
pub enum Seen {
    /// It is right, and its engine is being asked.
    Pending,
    /// Its engine is to be used.
    Usable(Arc<Binding>),
    /// It is right, and its engine does not answer yet.
    Awaited(Arc<HandoffFile>, Skip),
    /// It is not used.
    Skipped(Skip),
}

/// What is to be done, and told.
#[derive(Debug, Clone)]
pub enum Change {
    /// Use this engine; nothing of this name was used before, though it may have been awaited.
    Bound { name: String, binding: Arc<Binding> },
    /// Use this engine in place of the one that was used under this name.
    Replaced { name: String, binding: Arc<Binding> },
    /// This engine is to come; what waited for an earlier one of this name waits for it.
    Awaited { name: String, file: Arc<HandoffFile>, skip: Skip },
    /// Let the engine go that was used or awaited under this name.
    Gone { name: String, was_up: bool },
    /// Nothing to be done: the file is not used, for a reason that was not told yet.
    Skipped { name: String, skip: Skip },
}

#[derive(Debug, Default)]
struct Entry {
    held: Option<Held>,
    /// What was told last, and of which content.
    told: Option<(Stamp, Skip)>,
}

#[derive(Debug)]
enum Held {
    Up(Arc<Binding>),
    Awaited(Arc<HandoffFile>),
}

impl Bindings {
    /// Takes in a look at all files; files that it does not show are gone. The changes are in the order of
    /// names, those of files that are gone first.
    pub fn step(&mut self, sightings: BTreeMap<String, Sighting>) -> Vec<Change> {
        let mut changes = Vec::new();
        self.files.retain(|name, entry| {
            let is_there = sightings.contains_key(name);
            if !is_there {
                entry.let_go(name, &mut changes);
            }
            is_there
        });
        for (name, sighting) in sightings {
            self.files.entry(name.clone()).or_default().step(&name, sighting, &mut changes);
        }
        changes
    }

    /// The engines that are used, by the names of their files.
    pub fn bound(&self) -> impl Iterator<Item = (&str, &Arc<Binding>)> {
        self.files.iter().filter_map(|(name, entry)| match &entry.held {
            Some(Held::Up(binding)) => Some((name.as_str(), binding)),
            Some(Held::Awaited(_)) | None => None,
        })
    }

    /// Whether an engine is used or awaited by this file.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        self.files.get(name).is_some_and(|entry| entry.held.is_some())
    }
}

impl Entry {
    fn step(&mut self, name: &str, sighting: Sighting, changes: &mut Vec<Change>) {
        let Sighting { stamp, seen, lost } = sighting;
        if let Seen::Usable(binding) = seen {
            let is_same = self.is_bound_as(&binding);
            match lost {
                // What is bound is what is lost, whatever was found out before that.
                Some(lost) if is_same => {
                    self.tell(name, stamp, lost, changes);
                    self.let_go(name, changes);
                }
                _ if is_same => self.told = None,
                _ => self.bind(name, binding, changes),
            }
            return;
        }
        if let (Some(lost), Some(Held::Up(_))) = (lost, &self.held) {
            self.tell(name, stamp, lost, changes);
            self.let_go(name, changes);
        }
        match seen {
            Seen::Usable(_) | Seen::Pending => {}
            Seen::Awaited(file, skip) => self.await_it(name, stamp, (file, skip), changes),
            Seen::Skipped(skip) => {
                let keeps_binding = skip.keeps_binding();
                self.tell(name, stamp, skip, changes);
                if !keeps_binding {
                    self.let_go(name, changes);
                }
            }
        }
    }

    fn is_bound_as(&self, binding: &Binding) -> bool {
        matches!(&self.held, Some(Held::Up(held)) if held.file.is_same(&binding.file))
    }

    fn bind(&mut self, name: &str, binding: Arc<Binding>, changes: &mut Vec<Change>) {
        let name = name.to_owned();
        changes.push(match self.held {
            Some(Held::Up(_)) => Change::Replaced { name, binding: Arc::clone(&binding) },
            Some(Held::Awaited(_)) | None => Change::Bound { name, binding: Arc::clone(&binding) },
        });
        self.held = Some(Held::Up(binding));
        self.told = None;
    }

    /// Waits for the engine; one that is up goes on meanwhile.
    fn await_it(
        &mut self,
        name: &str,
        stamp: Stamp,
        (file, skip): (Arc<HandoffFile>, Skip),
        changes: &mut Vec<Change>,
    ) {
        match &self.held {
            Some(Held::Up(_)) => self.tell(name, stamp, skip, changes),
            Some(Held::Awaited(held)) if held.is_same(&file) && self.is_told(stamp, &skip) => {}
            Some(Held::Awaited(_)) | None => {
                self.held = Some(Held::Awaited(Arc::clone(&file)));
                self.told = Some((stamp, skip.clone()));
                changes.push(Change::Awaited { name: name.to_owned(), file, skip });
            }
        }
    }

    fn tell(&mut self, name: &str, stamp: Stamp, skip: Skip, changes: &mut Vec<Change>) {
        if !self.is_told(stamp, &skip) {
            self.told = Some((stamp, skip.clone()));
            changes.push(Change::Skipped { name: name.to_owned(), skip });
        }
    }

    fn is_told(&self, stamp: Stamp, skip: &Skip) -> bool {
        self.told.as_ref().is_some_and(|(of, told)| *of == stamp && told == skip)
    }

    fn let_go(&mut self, name: &str, changes: &mut Vec<Change>) {
        if let Some(held) = self.held.take() {
            let was_up = matches!(held, Held::Up(_));
            changes.push(Change::Gone { name: name.to_owned(), was_up });
        }
    }
}
