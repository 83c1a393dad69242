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
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(decoded) if problems.is_empty() => return Ok(decoded),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        let path = steps(&value, error.path());
        // What is around a part that was taken out may be wrong for that alone.
        if !problems.iter().any(|(known, _)| known.starts_with(&path)) {
            problems.push((path.clone(), error.inner().to_string()));
        }
        if problems.len() >= ERRORS_MAX || !take_out(&mut value, &path) {
            return Err(problems);
        }
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
        // Without one item the others would stand elsewhere, so the whole array goes.
        (Value::Array(_), Step::Index(_)) => take_out(value, way),
        _ => false,
    }
}
