use serde_json::Value;

use super::page::{Page, code, codes, text};

/// `docs/reference/configuration.md`, from the JSON Schema of the configuration.
#[must_use]
pub fn configuration(schema: &Value) -> String {
    let mut page = Page::new(
        "Configuration keys",
        "Every key of the configuration file, with its type, default, range and meaning. An environment \
         variable sets one too: `ORCHD_QUEUE__MODEL_CAPACITY=32` is `queue.model_capacity`. The same in a form for \
         editors: [config.schema.json](../../contracts/generated/config.schema.json).",
    );
    let fields = || schema["properties"].as_object().into_iter().flatten();
    let document = Document { definitions: &schema["$defs"] };
    page.heading("Above the first section");
    let plain = fields().filter(|(_, field)| !document.is_section(field));
    page.table(&HEAD, &plain.map(|(key, field)| document.row(key, field)).collect::<Vec<_>>());
    for (key, field) in fields().filter(|(_, field)| document.is_section(field)) {
        document.section(&mut page, key, field);
    }
    page.finish()
}

const HEAD: [&str; 5] = ["key", "type", "default", "range", "meaning"];

struct Document<'a> {
    definitions: &'a Value,
}

impl<'a> Document<'a> {
    /// What a field refers to, or itself.
    fn resolve(&self, field: &'a Value) -> &'a Value {
        let name = text(field, "$ref").rsplit('/').next().unwrap_or_default();
        self.definitions.get(name).unwrap_or(field)
    }

    fn is_section(&self, field: &'a Value) -> bool {
        let target = self.resolve(field);
        target["properties"].is_object() || target["additionalProperties"].is_object()
    }

    /// A section, and the sections in it.
    fn section(&self, page: &mut Page, path: &str, field: &'a Value) {
        let target = self.resolve(field);
        if let Some(entry) =
            target["additionalProperties"].as_object().map(|_| &target["additionalProperties"])
        {
            let entry = self.resolve(entry);
            let of_all = Some(text(field, "description")).filter(|text| !text.is_empty());
            let about = of_all.unwrap_or_else(|| text(entry, "description"));
            self.entry(page, &format!("{path}.ID"), entry, about);
            return;
        }
        page.heading(&code(format_args!("[{path}]")));
        page.paragraph(text(target, "description"));
        self.keys(page, path, target);
    }

    /// One of many sections with names of the user's own; in some of them a key decides what the others are.
    fn entry(&self, page: &mut Page, path: &str, entry: &'a Value, about: &str) {
        page.heading(&code(format_args!("[{path}]")));
        page.paragraph(about);
        let Some(kinds) = entry["oneOf"].as_array() else {
            self.keys(page, path, entry);
            return;
        };
        for kind in kinds {
            let fields = kind["properties"].as_object().into_iter().flatten();
            let tags: Vec<String> = fields
                .filter_map(|(key, field)| {
                    field.get("const").map(|tag| code(format_args!("{key} = {tag}")))
                })
                .collect();
            page.paragraph(&format!("With {}: {}", tags.join(", "), text(kind, "description")));
            self.keys(page, path, kind);
        }
    }

    fn keys(&self, page: &mut Page, path: &str, section: &'a Value) {
        let required = section["required"].as_array();
        let (mut rows, mut inner) = (Vec::new(), Vec::new());
        for (key, field) in section["properties"].as_object().into_iter().flatten() {
            if self.is_section(field) {
                inner.push((format!("{path}.{key}"), field));
                continue;
            }
            let mut row = self.row(key, field);
            if required.is_some_and(|required| required.iter().any(|name| name == key)) {
                row[2] = "must be given".to_owned();
            }
            rows.push(row);
        }
        page.table(&HEAD, &rows);
        for (path, field) in inner {
            self.section(page, &path, field);
        }
    }

    fn row(&self, key: &str, field: &'a Value) -> Vec<String> {
        let target = self.resolve(field);
        let meaning = Some(text(field, "description")).filter(|text| !text.is_empty());
        let meaning = meaning.unwrap_or_else(|| text(target, "description"));
        let choices = target["oneOf"].as_array().into_iter().flatten();
        let choices: Vec<String> = choices
            .map(|choice| {
                let about = text(choice, "description");
                format!("{}: {}", code(&choice["const"]), about)
            })
            .collect();
        let meaning = [&[meaning.to_owned()], &choices[..]].concat().join(" ");
        vec![code(key), kind(target), default(field), range(target), meaning]
    }
}

fn kind(target: &Value) -> String {
    if target["oneOf"].is_array() {
        return "choice".to_owned();
    }
    if let Some(only) = target.get("const") {
        return code(only);
    }
    let names = match &target["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        name => name.as_str(),
    };
    match names {
        Some("array") => format!("list of {}", kind(&target["items"])),
        Some(name) => name.to_owned(),
        None => codes(&target["enum"]),
    }
}

fn default(field: &Value) -> String {
    match field.get("default") {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "none".to_owned(),
        Some(value) => code(value),
    }
}

fn range(target: &Value) -> String {
    match (target.get("minimum"), target.get("maximum")) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => match target.get("pattern").and_then(Value::as_str) {
            Some(pattern) => code(pattern),
            None => String::new(),
        },
    }
}
