use std::sync::{Arc, RwLock};

/// A value that a reload may replace. Clones are handles to the same.
pub(crate) struct Current<T>(Arc<RwLock<Arc<T>>>);

impl<T> Current<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// What holds now; it stays with whoever has it.
    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().expect("no holder panics"))
    }

    /// Lets another value hold.
    pub(crate) fn set(&self, value: T) {
        *self.0.write().expect("no holder panics") = Arc::new(value);
    }
}

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
