use crate::{
    Origin, Problem,
    tree::{Node, Table, Value},
};

/// What every variable of the daemon begins with.
const PREFIX: &str = "ORCHD_";

/// Variables with the prefix that are none of the daemon's settings: the file's path, and the address that
/// clients use.
const NOT_SETTINGS: [&str; 2] = ["ORCHD_CONFIG", "ORCHD_URL"];

/// Variables without a section in their name.
const SHORT_FORMS: [(&str, &str); 4] = [
    ("ORCHD_ADDR", "server.addr"),
    ("ORCHD_TOKEN_FILE", "auth.token_file"),
    ("ORCHD_PROFILE", "profile"),
    ("ORCHD_DATA_DIR", "data_dir"),
];

/// Sections whose keys are ids that people choose.
const BY_ID: [&str; 3] = ["aliases", "models", "pools"];

/// Puts the daemon's variables over what `root` holds. Two variables for one key must agree.
pub(crate) fn apply_environment(
    root: &mut Table,
    environment: &[(String, String)],
    problems: &mut Vec<Problem>,
) {
    let mut given: Vec<(Vec<String>, &str, &str)> = Vec::new();
    for (name, text) in environment {
        if !name.starts_with(PREFIX) || NOT_SETTINGS.contains(&name.as_str()) {
            continue;
        }
        let wrong = |key: &str, value: Option<String>, message: String| Problem {
            origin: Origin::Environment { name: name.clone() },
            key: key.to_owned(),
            value,
            message,
        };
        let Some(path) = path_of(name) else {
            let known: Vec<&str> = SHORT_FORMS.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "no such setting; allowed are ORCHD_<SECTION>__<KEY>, {}",
                known.join(", ")
            );
            problems.push(wrong("", None, message));
            continue;
        };
        let path = match with_ids_of(root, path) {
            Ok(path) => path,
            Err(message) => {
                problems.push(wrong("", None, message));
                continue;
            }
        };
        let other =
            given.iter().find(|(other_path, _, other)| *other_path == path && other != text);
        if let Some((_, other, _)) = other {
            let value = Value::Untyped(text.clone()).shown();
            problems.push(wrong(&path.join("."), Some(value), format!("{other} says otherwise")));
        }
        given.push((path.clone(), name, text));
        set(root, &path, Origin::Environment { name: name.clone() }, text, problems);
    }
}

/// Puts values given by flags over what `root` holds; segments of their paths are parted by dots.
pub(crate) fn apply_flags(root: &mut Table, flags: &[(&str, String)], problems: &mut Vec<Problem>) {
    for (path, text) in flags {
        let segments: Vec<String> = path.split('.').map(str::to_owned).collect();
        set(root, &segments, Origin::Flag { path: (*path).to_owned() }, text, problems);
    }
}

fn path_of(name: &str) -> Option<Vec<String>> {
    if let Some((_, path)) = SHORT_FORMS.iter().find(|(short, _)| *short == name) {
        return Some(path.split('.').map(str::to_owned).collect());
    }
    let rest = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
    let segments: Vec<String> = rest.split("__").map(str::to_owned).collect();
    let is_whole = segments.len() > 1 && segments.iter().all(|segment| !segment.is_empty());
    is_whole.then_some(segments)
}

/// The path with the id as the file spells it: the name of a variable cannot hold all its characters.
fn with_ids_of(root: &Table, mut path: Vec<String>) -> Result<Vec<String>, String> {
    if !BY_ID.contains(&path[0].as_str()) {
        return Ok(path);
    }
    let Some(Node { value: Value::Table(sections), .. }) = root.get(&path[0]) else {
        return Ok(path);
    };
    let as_variable = |id: &str| id.replace(['-', '.'], "_").to_ascii_lowercase();
    let matching: Vec<&String> = sections.keys().filter(|id| as_variable(id) == path[1]).collect();
    match matching[..] {
        [] => {}
        [id] => path[1] = id.clone(),
        [..] => {
            let ids: Vec<&str> = matching.iter().map(|id| id.as_str()).collect();
            return Err(format!("means any of {}; set it in the file", ids.join(", ")));
        }
    }
    Ok(path)
}

fn set(root: &mut Table, path: &[String], origin: Origin, text: &str, problems: &mut Vec<Problem>) {
    let [sections @ .., key] = path else { return };
    let mut table = root;
    for section in sections {
        let node = table
            .entry(section.clone())
            .or_insert_with(|| Node { value: Value::Table(Table::new()), origin: origin.clone() });
        // Where the file has a value in place of the section, its reader says so.
        let Value::Table(inner) = &mut node.value else { return };
        table = inner;
    }
    let value = Value::Untyped(text.to_owned());
    if let Some(Node { value: Value::Table(_), .. }) = table.get(key) {
        let message = "is a section; give one of its keys".to_owned();
        problems.push(Problem { origin, key: path.join("."), value: Some(value.shown()), message });
        return;
    }
    table.insert(key.clone(), Node { value, origin });
}
