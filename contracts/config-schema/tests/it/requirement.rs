//! The keys that ORCH-284 names, against those that are read.

use std::collections::BTreeSet;

use config_schema::{ConfigFile, load};

const REQUIREMENTS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.specs/orchestrator.md"));

/// Sections with what they cannot be without.
const CANDLE: &str = "[pools.p]\nengine = 'candle'\n";
const OPENAI: &str = "[pools.p]\nengine = 'openai'\nurl = 'http://127.0.0.1:1'\n";
const MODEL: &str = "[models.m]\nsource = 'file:/m'\n";

/// The keys behind `intro` in the text.
fn named(intro: &str) -> BTreeSet<&'static str> {
    let (_, text) = REQUIREMENTS.split_once("**ORCH-284**").unwrap();
    let text = text.lines().next().unwrap();
    let (_, rest) = text.split_once(intro).unwrap_or_else(|| panic!("{intro:?} is not in {text}"));
    rest.trim_start().strip_prefix('`').unwrap().split('`').next().unwrap().split(", ").collect()
}

/// What is wrong with the last line of a file, if anything is.
fn wrong(text: &str) -> Option<String> {
    let last = format!("c.toml:{}:", text.lines().count());
    let problems = load(Some(ConfigFile { name: "c.toml", text }), &[], &[]).err()?;
    let shown = problems.iter().map(ToString::to_string);
    shown.into_iter().find(|problem| problem.starts_with(&last))
}

/// All keys that a section takes, as it says itself.
fn taken(section: &str) -> BTreeSet<String> {
    let message = wrong(&format!("{section}no_such_key = 1\n")).unwrap();
    let (_, allowed) = message.split_once("allowed are ").unwrap();
    allowed.split(", ").map(str::to_owned).collect()
}

fn owned(names: impl IntoIterator<Item = &'static str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// Verifies: ORCH-284
#[test]
fn exactly_the_keys_that_the_requirement_names_are_read() {
    let both = named("Keys of every pool:");
    let candle = named("of engine `candle` also");
    assert_eq!(taken(CANDLE), owned(both.union(&candle).copied()));
    let openai = named("of engine `openai` also");
    assert_eq!(taken(OPENAI), owned(both.union(&openai).copied()));
    assert_eq!(taken(MODEL), owned(named("Keys of `models.<id>`:")));
}

/// Verifies: ORCH-284
#[test]
fn a_key_that_nothing_acts_on_yet_is_refused_by_its_name_and_place() {
    let check = |section: &str, path: &str, keys: BTreeSet<&str>| {
        for key in keys {
            let line = section.lines().count() + 1;
            let problem = wrong(&format!("{section}{key} = 1\n")).unwrap_or_default();
            let begin = format!(
                "c.toml:{line}: `{path}.{key}` = 1: nothing in this build acts on it yet; "
            );
            assert!(problem.starts_with(&begin), "{key} of {path}: {problem}");
        }
    };
    for section in [CANDLE, OPENAI, "[pools.p]\n"] {
        check(section, "pools.p", named("not served yet of pools:"));
    }
    check(MODEL, "models.m", named("not served yet of models:"));
}
