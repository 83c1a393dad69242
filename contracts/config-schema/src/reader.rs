use std::collections::BTreeMap;

use crate::{
    Origin, Problem,
    setting::{Check, Setting, Wrong},
    tree::{Node, Table, Value},
};

/// A key of the requirements that nothing acts on yet, and what to do instead.
pub(crate) type Unserved = (&'static str, &'static str);

/// Reads one section and notes everything that is wrong with it.
pub(crate) struct Reader<'a> {
    table: &'a Table,
    path: String,
    /// Where the section was begun.
    origin: Origin,
    problems: &'a mut Vec<Problem>,
    /// Keys that were asked for; all others are unknown.
    known: Vec<&'static str>,
    /// Keys that were told to be wrong here by a message of their own.
    refused: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// A reader of everything.
    pub(crate) fn root(table: &'a Table, problems: &'a mut Vec<Problem>) -> Self {
        Self::at(table, String::new(), Origin::Nowhere, problems)
    }

    fn at(table: &'a Table, path: String, origin: Origin, problems: &'a mut Vec<Problem>) -> Self {
        Self { table, path, origin, problems, known: Vec::new(), refused: Vec::new() }
    }

    /// The value of `key`; absent where it was not given or is wrong, which is noted.
    pub(crate) fn get<T: Setting>(&mut self, key: &'static str, check: Check) -> Option<T> {
        self.known.push(key);
        let node = self.table.get(key)?;
        match T::read(&node.value, check) {
            Ok(value) => Some(value),
            Err(wrongs) => {
                let path = self.path_of(key);
                self.problems.extend(wrongs.into_iter().map(|wrong| problem(&path, node, wrong)));
                None
            }
        }
    }

    /// As [`Self::get`], for a key without which there is nothing to go on with.
    pub(crate) fn require<T: Setting>(
        &mut self,
        key: &'static str,
        check: Check,
        what: &str,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.known.push(key);
            self.wrong(key, format!("is missing; give {what}"));
            return None;
        }
        self.get(key, check)
    }

    /// A section under this one; it is read as empty where it was not given.
    pub(crate) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> T {
        self.known.push(key);
        let path = self.path_of(key);
        let none = Table::new();
        let node = self.table.get(key);
        let origin = node.map_or(Origin::Nowhere, |node| node.origin.clone());
        let table = node.and_then(|node| table_of(node, &path, self.problems)).unwrap_or(&none);
        let problems = &mut *self.problems;
        Reader::at(table, path, origin, problems).read_all(read)
    }

    /// The sections under `key`, by their ids; absent where it was not given.
    pub(crate) fn sections<T>(
        &mut self,
        key: &'static str,
        id_chars_max: usize,
        mut read: impl FnMut(&str, &mut Reader<'_>) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        self.known.push(key);
        let parent = self.path_of(key);
        let table = table_of(self.table.get(key)?, &parent, self.problems)?;
        let mut sections = BTreeMap::new();
        for (id, node) in table {
            let path = format!("{parent}.{}", quoted(id));
            if !is_id(id, id_chars_max) {
                let message = format!("an id has 1 to {id_chars_max} of A-Z a-z 0-9 . _ -");
                self.problems.push(Problem {
                    origin: node.origin.clone(),
                    key: path.clone(),
                    value: None,
                    message,
                });
            }
            let Some(table) = table_of(node, &path, self.problems) else { continue };
            let (origin, problems) = (node.origin.clone(), &mut *self.problems);
            let section =
                Reader::at(table, path, origin, problems).read_all(|reader| read(id, reader));
            sections.extend(section.map(|section| (id.clone(), section)));
        }
        Some(sections)
    }

    /// The texts under `key`, by their names, both of this form; none where it was not given.
    pub(crate) fn texts(
        &mut self,
        key: &'static str,
        form: fn(&str) -> Result<(), &'static str>,
    ) -> BTreeMap<String, String> {
        self.known.push(key);
        let parent = self.path_of(key);
        let node = self.table.get(key);
        let Some(table) = node.and_then(|node| table_of(node, &parent, self.problems)) else {
            return BTreeMap::new();
        };
        let mut texts = BTreeMap::new();
        for (name, node) in table {
            let path = format!("{parent}.{}", quoted(name));
            if let Err(allowed) = form(name) {
                let wrong = Wrong { item: None, message: format!("the name must be {allowed}") };
                self.problems.push(problem(&path, node, wrong));
            }
            match String::read(&node.value, Check::Any) {
                Ok(text) => {
                    texts.insert(name.clone(), text);
                }
                Err(wrongs) => {
                    self.problems
                        .extend(wrongs.into_iter().map(|wrong| problem(&path, node, wrong)));
                }
            }
        }
        texts
    }

    /// Whether `key` was given.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Keys that are known elsewhere, but mean nothing here, with why.
    pub(crate) fn refuse(&mut self, keys: &[&'static str], why: &str) {
        for &key in keys {
            self.refused.push(key);
            if self.has(key) {
                self.wrong(key, why.to_owned());
            }
        }
    }

    /// Keys of the requirements that nothing acts on yet, each with what to do instead (ORCH-284).
    pub(crate) fn refuse_unserved(&mut self, keys: &[Unserved]) {
        for (key, instead) in keys {
            self.refuse(&[key], &format!("nothing in this build acts on it yet; {instead}"));
        }
    }

    /// Keys that are no problem here, whatever they hold.
    pub(crate) fn know(&mut self, keys: &[&'static str]) {
        self.known.extend_from_slice(keys);
    }

    /// Notes that `key`, or its absence, is wrong.
    pub(crate) fn wrong(&mut self, key: &str, message: String) {
        self.wrong_at(&[key], message);
    }

    /// Notes that the key at the end of `path`, or its absence, is wrong.
    pub(crate) fn wrong_at(&mut self, path: &[&str], message: String) {
        let mut table = Some(self.table);
        let mut found = None;
        for segment in path {
            found = table.and_then(|table| table.get(*segment));
            table = match found {
                Some(Node { value: Value::Table(inner), .. }) => Some(inner),
                _ => None,
            };
        }
        let path: Vec<String> = path.iter().map(|segment| quoted(segment)).collect();
        self.problems.push(Problem {
            origin: found.map_or_else(|| self.origin.clone(), |node| node.origin.clone()),
            key: self.path_of_quoted(&path.join(".")),
            value: found.map(|node| node.value.shown()),
            message,
        });
    }

    /// Notes that `key`, given or by default, is above what `limit` says.
    pub(crate) fn contradiction(&mut self, key: &str, limit: &str) {
        self.wrong(key, format!("is above {limit}"));
    }

    pub(crate) fn read_all<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let section = read(&mut self);
        for (key, node) in self.table {
            let key = key.as_str();
            if !self.known.contains(&key) && !self.refused.contains(&key) {
                self.problems.push(Problem {
                    origin: node.origin.clone(),
                    key: self.path_of(key),
                    value: None,
                    message: format!("no such key; allowed are {}", self.known.join(", ")),
                });
            }
        }
        section
    }

    fn path_of(&self, key: &str) -> String {
        self.path_of_quoted(&quoted(key))
    }

    fn path_of_quoted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// A key as TOML wants it in a path.
pub(crate) fn quoted(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !key.is_empty() && key.bytes().all(is_bare) { key.to_owned() } else { format!("{key:?}") }
}

fn is_id(text: &str, chars_max: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=chars_max).contains(&text.len()) && text.bytes().all(allowed)
}

fn table_of<'t>(node: &'t Node, path: &str, problems: &mut Vec<Problem>) -> Option<&'t Table> {
    if let Value::Table(table) = &node.value {
        return Some(table);
    }
    let wrong = Wrong { item: None, message: format!("allowed is a section, written [{path}]") };
    problems.push(problem(path, node, wrong));
    None
}

fn problem(path: &str, node: &Node, wrong: Wrong) -> Problem {
    let item = wrong.item.and_then(|index| match &node.value {
        Value::List(items) => items.get(index),
        _ => None,
    });
    let key = wrong.item.map_or_else(|| path.to_owned(), |index| format!("{path}[{index}]"));
    let node = item.unwrap_or(node);
    Problem {
        origin: node.origin.clone(),
        key,
        value: Some(node.value.shown()),
        message: wrong.message,
    }
}
