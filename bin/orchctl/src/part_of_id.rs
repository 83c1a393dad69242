use crate::failure::Failure;

/// Characters of a whole id.
const ID_CHARS: usize = 36;

/// How many candidates are named.
const CANDIDATES_MAX: usize = 4;

/// A search for the one thing whose id begins or ends with what was typed.
pub(crate) struct PartOfId<'t> {
    typed: &'t str,
    wanted: String,
    candidates: Vec<String>,
    searched: usize,
}

impl<'t> PartOfId<'t> {
    /// Nothing was looked at yet.
    pub(crate) fn new(typed: &'t str) -> Self {
        let wanted = typed.to_ascii_lowercase();
        Self { typed, wanted, candidates: Vec::new(), searched: 0 }
    }

    /// What was typed, where that is a whole id.
    pub(crate) fn whole(&self) -> Option<&str> {
        (self.wanted.len() == ID_CHARS).then_some(&self.wanted)
    }

    /// Looks at more ids; whether no more need to be looked at.
    pub(crate) fn look(&mut self, ids: impl IntoIterator<Item = String>) -> bool {
        for id in ids {
            self.searched += 1;
            if id.starts_with(&self.wanted) || id.ends_with(&self.wanted) {
                self.candidates.push(id);
            }
        }
        self.candidates.len() >= CANDIDATES_MAX
    }

    /// The id. `what` it is of, in a word.
    pub(crate) fn found(mut self, what: &'static str) -> Result<String, Failure> {
        let text = self.typed.to_owned();
        match self.candidates.as_slice() {
            [] => Err(Failure::NoSuchId { what, text, searched: self.searched }),
            [_] => Ok(self.candidates.remove(0)),
            _ => {
                self.candidates.truncate(CANDIDATES_MAX);
                Err(Failure::ManyIds { text, candidates: self.candidates })
            }
        }
    }
}
