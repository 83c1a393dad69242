use serde_json::{Value, json};
use xtask::{DependencyKind, Layer, LayerMap, Metadata};

/// A small workspace: one crate of each layer.
fn map() -> LayerMap {
    LayerMap::new(
        [
            ("core", Layer::Decision),
            ("facade", Layer::Decision),
            ("service", Layer::Service),
            ("other-service", Layer::Service),
            ("technology", Layer::Technology(&["service"])),
            ("testkit", Layer::Testkit),
            ("xtask", Layer::Xtask),
        ],
        [("facade", "wire-types")],
    )
}

const MEMBERS: [(&str, &str); 9] = [
    ("core", "crates"),
    ("facade", "crates"),
    ("service", "crates"),
    ("other-service", "crates"),
    ("technology", "crates"),
    ("wire-types", "contracts"),
    ("daemon", "bin"),
    ("testkit", ""),
    ("xtask", ""),
];

/// The workspace as cargo describes it, with the given edges: from, to, kind.
fn workspace(edges: &[(&str, &str, Value)], extra: &[(&str, &str)]) -> Metadata {
    let members = MEMBERS.iter().chain(extra);
    let packages: Vec<Value> = members
        .map(|(name, folder)| {
            let own = edges.iter().filter(|(from, _, _)| from == name);
            let dependencies: Vec<Value> = own
                .map(|(_, to, kind)| json!({"name": to, "kind": kind, "optional": false}))
                .collect();
            let manifest = format!("/w/{folder}/{name}/Cargo.toml").replace("//", "/");
            json!({"name": name, "manifest_path": manifest, "dependencies": dependencies})
        })
        .collect();
    serde_json::from_value(json!({"packages": packages, "workspace_root": "/w"})).unwrap()
}

fn violations(from: &str, to: &str, kind: Value) -> Vec<String> {
    map().violations(&workspace(&[(from, to, kind)], &[]))
}

#[test]
fn edges_that_point_inwards_are_allowed() {
    for (from, to) in [
        ("core", "facade"),
        ("facade", "wire-types"),
        ("service", "core"),
        ("service", "other-service"),
        ("service", "wire-types"),
        ("service", "tokio"),
        ("technology", "core"),
        ("technology", "service"),
        ("technology", "wire-types"),
        ("daemon", "technology"),
        ("daemon", "service"),
        ("daemon", "core"),
        ("testkit", "service"),
        ("xtask", "testkit"),
        ("xtask", "wire-types"),
    ] {
        assert_eq!(violations(from, to, Value::Null), Vec::<String>::new(), "{from} -> {to}");
    }
}

#[test]
fn edges_that_point_outwards_are_refused() {
    for (from, to) in [
        ("core", "service"),
        ("core", "wire-types"),
        ("core", "technology"),
        ("service", "technology"),
        ("technology", "other-service"),
        ("wire-types", "core"),
        ("service", "daemon"),
        ("testkit", "daemon"),
        ("xtask", "daemon"),
        ("daemon", "xtask"),
        ("service", "testkit"),
        ("daemon", "testkit"),
    ] {
        assert_eq!(violations(from, to, Value::Null).len(), 1, "{from} -> {to}");
    }
}

#[test]
fn decisions_touch_no_runtime_and_no_foreign_system() {
    for name in ["tokio", "axum", "reqwest", "rusqlite", "hyper"] {
        let expected = format!(
            "`core` -> `{name}` (dependencies): decisions have no clock, no I/O and no async"
        );
        assert_eq!(violations("core", name, Value::Null), [expected]);
        assert_eq!(violations("core", name, json!("build")).len(), 1);
        assert_eq!(violations("core", name, json!("dev")), Vec::<String>::new());
    }
    assert_eq!(violations("core", "bytes", Value::Null), Vec::<String>::new());
}

#[test]
fn tests_may_use_anything_but_programs() {
    for (from, to) in [("core", "testkit"), ("service", "technology"), ("core", "service")] {
        assert_eq!(violations(from, to, json!("dev")), Vec::<String>::new(), "{from} -> {to}");
    }
    assert_eq!(violations("service", "daemon", json!("dev")).len(), 1);
    assert_eq!(violations("service", "testkit", json!("build")).len(), 1);
}

#[test]
fn a_crate_may_name_itself_for_its_tests() {
    assert_eq!(violations("core", "core", json!("dev")), Vec::<String>::new());
}

#[test]
fn every_crate_has_a_layer_and_every_layer_a_crate() {
    let unlisted = map().violations(&workspace(&[], &[("newcomer", "crates")]));
    assert_eq!(unlisted, ["`newcomer` has no layer; add it to xtask/src/layers/map.rs"]);
    let mut without_core = workspace(&[], &[]);
    without_core.packages.retain(|package| package.name != "core");
    assert_eq!(map().violations(&without_core).len(), 1);
}

/// Verifies: ORCH-014
#[test]
fn what_tests_share_is_linked_into_no_program_or_library() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    let mut dev_users = 0;
    for package in metadata.packages {
        for dependency in package.dependencies.iter().filter(|one| one.name == "testkit") {
            assert_eq!(dependency.kind, DependencyKind::Dev, "{}", package.name);
            dev_users += 1;
        }
    }
    assert!(dev_users > 0, "the metadata was read");
}
