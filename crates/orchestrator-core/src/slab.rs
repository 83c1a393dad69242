use std::{
    cmp::Ordering,
    fmt,
    marker::PhantomData,
    ops::{Index, IndexMut},
};

/// Values under small dense keys; the key of a removed value is given out again, last one first.
#[derive(Debug, Clone)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

/// The key of a value in a [`Slab`].
pub(crate) struct Key<T> {
    index: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> Key<T> {
        if let Some(index) = self.free.pop() {
            self.entries[index as usize] = Some(value);
            return Key::new(index);
        }
        let index = u32::try_from(self.entries.len()).expect("memory ends before 2^32 entries");
        self.entries.push(Some(value));
        Key::new(index)
    }

    pub(crate) fn remove(&mut self, key: Key<T>) -> T {
        self.free.push(key.index);
        self.entries[key.index as usize].take().expect("a key is dropped with its value")
    }

    pub(crate) fn get(&self, key: Key<T>) -> Option<&T> {
        self.entries.get(key.index as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        self.entries.get_mut(key.index as usize)?.as_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// In order of keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> + Clone {
        (0..)
            .zip(&self.entries)
            .filter_map(|(index, entry)| entry.as_ref().map(|value| (Key::new(index), value)))
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Index<Key<T>> for Slab<T> {
    type Output = T;

    fn index(&self, key: Key<T>) -> &T {
        self.entries[key.index as usize].as_ref().expect("a key is dropped with its value")
    }
}

impl<T> IndexMut<Key<T>> for Slab<T> {
    fn index_mut(&mut self, key: Key<T>) -> &mut T {
        self.entries[key.index as usize].as_mut().expect("a key is dropped with its value")
    }
}

impl<T> Key<T> {
    pub(crate) fn new(index: u32) -> Self {
        Self { index, of: PhantomData }
    }

    pub(crate) fn index(self) -> u32 {
        self.index
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl<T> Eq for Key<T> {}

impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.index.cmp(&other.index)
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.index.fmt(f)
    }
}
