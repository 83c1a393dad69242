use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::source::Step;

/// Most errors that are looked for in one file.
const ERRORS_MAX: usize = 100;

/// What is wrong, and where.
pub(super) type Problem = (Vec<Step>, String);

/// Turns a value into a type and finds everything that is wrong with it: whatever is wrong is noted and taken out,
/// and the rest is tried again.
pub(super) fn decode<T: DeserializeOwned>(mut value: Value) -> Result<T, Vec<Problem>> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut gone = TakenItems::default();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(decoded) if problems.is_empty() => return Ok(decoded),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        let path = steps(&value, error.path());
        let in_file = gone.path_in_file(&path);
        // What is around a part that was taken out may be wrong for that alone.
        if !problems.iter().any(|(known, _)| known.starts_with(&in_file)) {
            problems.push((in_file.clone(), error.inner().to_string()));
        }
        if problems.len() >= ERRORS_MAX || !take_out(&mut value, &path) {
            return Err(problems);
        }
        gone.note(in_file);
    }
}

/// Items that were taken out of arrays, whose later items have moved up for that.
#[derive(Default)]
struct TakenItems(Vec<(Vec<Step>, usize)>);

impl TakenItems {
    fn note(&mut self, mut path_in_file: Vec<Step>) {
        if let Some(Step::Index(index)) = path_in_file.pop() {
            self.0.push((path_in_file, index));
            self.0.sort_unstable_by_key(|(_, index)| *index);
        }
    }

    /// Where something stands in the file that is at a path now.
    fn path_in_file(&self, path: &[Step]) -> Vec<Step> {
        let mut in_file: Vec<Step> = Vec::with_capacity(path.len());
        for step in path {
            let step = match step {
                Step::Key(key) => Step::Key(key.clone()),
                Step::Index(index) => {
                    let taken = self.0.iter().filter(|(array, _)| *array == in_file);
                    Step::Index(taken.fold(*index, |at, (_, taken)| at + usize::from(*taken <= at)))
                }
            };
            in_file.push(step);
        }
        in_file
    }
}

/// The way to a value that is there; names of variants are on it only where they are keys.
fn steps(value: &Value, path: &serde_path_to_error::Path) -> Vec<Step> {
    let mut at = Some(value);
    let mut steps = Vec::new();
    for segment in path {
        let step = match segment {
            Segment::Seq { index } => Step::Index(*index),
            Segment::Map { key } => Step::Key(key.clone()),
            Segment::Enum { variant } if at.is_some_and(|at| at.get(variant).is_some()) => {
                Step::Key(variant.clone())
            }
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        at = at.and_then(|at| match &step {
            Step::Key(key) => at.get(key),
            Step::Index(index) => at.get(index),
        });
        steps.push(step);
    }
    steps
}

/// Takes a value out of another. False if it is not there.
fn take_out(value: &mut Value, path: &[Step]) -> bool {
    let Some((last, way)) = path.split_last() else { return false };
    let mut at = &mut *value;
    for step in way {
        let next = match step {
            Step::Key(key) => at.get_mut(key),
            Step::Index(index) => at.get_mut(index),
        };
        let Some(next) = next else { return false };
        at = next;
    }
    match (at, last) {
        (Value::Object(fields), Step::Key(key)) => fields.remove(key).is_some(),
        (Value::Array(items), Step::Index(index)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}
