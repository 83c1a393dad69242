use camino::Utf8Path;
use xtask::{Bindings, Id, Requirements, Status, StatusFile};

const DOCUMENT: &str = "## 1. Ways to `say` \"it\"\n- **ORCH-002** B\n- **ORCH-001** A\n## 2. More\n- **ORCH-003** C\n";

fn requirements() -> Requirements {
    Requirements::parse([("doc", DOCUMENT)]).unwrap()
}

fn body(file: &StatusFile) -> String {
    let text = file.render(&requirements());
    text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_is_written_with_a_table_per_area_and_read_back_equal() {
    let text = "[x]\nORCH-003 = { status = \"measured\", note = 'by \"`cargo bench`\"' }\n\
                ORCH-001 = { status = \"verified\" }\n";
    let file = StatusFile::parse(text).unwrap();
    let expected = r#"
['doc: 1. Ways to `say` "it"']
ORCH-001 = { status = "verified" }
ORCH-002 = { status = "planned" }

["doc: 2. More"]
ORCH-003 = { status = "measured", note = 'by "`cargo bench`"' }"#;
    assert_eq!(body(&file), expected);
    let written = file.render(&requirements());
    let again = StatusFile::parse(&written).unwrap();
    assert_eq!(again.render(&requirements()), written);
    for (id, status, note) in [
        ("ORCH-001", Status::Verified, None),
        ("ORCH-002", Status::Planned, None),
        ("ORCH-003", Status::Measured, Some("by \"`cargo bench`\"")),
    ] {
        let id = Id::parse(id).unwrap();
        assert_eq!((again.status(&id), again.note(&id)), (status, note));
    }
}

#[test]
fn marking_turns_planned_into_verified_and_leaves_the_rest() {
    let text = "[x]\nORCH-001 = { status = \"planned\", note = \"kept\" }\n\
                ORCH-002 = { status = \"measured\", note = \"`cargo bench`\" }\n";
    let mut file = StatusFile::parse(text).unwrap();
    let source = "/// Verifies: ORCH-001, ORCH-002\n#[test]\nfn t() {}\n";
    file.mark_verified(&Bindings::scan([(Utf8Path::new("a.rs"), source)]));
    let state = |id: &str| {
        let id = Id::parse(id).unwrap();
        (file.status(&id), file.note(&id))
    };
    assert_eq!(state("ORCH-001"), (Status::Verified, Some("kept")));
    assert_eq!(state("ORCH-002"), (Status::Measured, Some("`cargo bench`")));
    assert_eq!(state("ORCH-003"), (Status::Planned, None));
}

#[test]
fn what_is_no_status_is_refused() {
    for text in [
        "[x]\nORCH-001 = { status = \"done\" }",
        "[x]\nORCH-001 = { status = \"planned\", because = \"\" }",
        "[x]\nORCH-1 = { status = \"planned\" }",
        "[x]\nORCH-001 = { status = \"planned\" }\n[y]\nORCH-001 = { status = \"planned\" }",
        "ORCH-001 = \"planned\"",
    ] {
        assert!(StatusFile::parse(text).is_err(), "{text}");
    }
}
