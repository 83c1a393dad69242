use camino::Utf8Path;
use xtask::{Id, Requirements};

fn areas(documents: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
    let requirements = Requirements::parse(documents.iter().copied()).unwrap();
    let areas = requirements.areas().iter();
    areas.map(|it| (it.title.clone(), it.ids.iter().map(Id::to_string).collect())).collect()
}

fn refusal(documents: &[(&str, &str)]) -> String {
    Requirements::parse(documents.iter().copied()).unwrap_err().to_string()
}

#[test]
fn an_area_is_the_nearest_heading_and_its_ids_are_in_order() {
    let text = "# Title\n## 8. Pools\n- **ORCH-131** A\n### 8.3 Adapters\n- **ORCH-168** B\n\
                - **ORCH-161** C, see **ORCH-170**\n- **Bold** only\n## 9. Sessions\nNothing.\n";
    let expected = [
        ("d: 8. Pools".to_owned(), vec!["ORCH-131".to_owned()]),
        ("d: 8.3 Adapters".to_owned(), vec!["ORCH-161".to_owned(), "ORCH-168".to_owned()]),
    ];
    assert_eq!(areas(&[("d", text)]), expected);
}

#[test]
fn sections_that_cite_foreign_ids_are_not_read() {
    let text = "## 19. Ours\n- **ORCH-291** A\n## 20. Conflicts\n- **ORCH-3000** B\n\
                ## 21. Trace\n- **CLOUD-100** C\n";
    assert_eq!(areas(&[("orchestrator", text)]).len(), 1);
}

#[test]
fn an_id_that_is_defined_twice_or_misspelt_is_refused() {
    let once = "## A\n- **ORCH-001** x\n";
    assert_eq!(refusal(&[("a", once), ("b", once)]), "ORCH-001 is defined twice");
    assert_eq!(refusal(&[("a", "## A\n- **ORCH-01** x\n")]), "a: `ORCH-01` is no requirement id");
    assert_eq!(refusal(&[("a", "## A\n")]), "no requirement found");
}

#[test]
fn the_documents_of_this_project_are_read_whole() {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let requirements = Requirements::read(&root.join(".specs")).unwrap();
    for id in ["ORCH-001", "ORCH-166", "ORCH-295", "ORCH-301", "ORCH-332", "CRIT-001", "CRIT-303"] {
        assert!(requirements.contains(&Id::parse(id).unwrap()), "{id}");
    }
    assert_eq!(requirements.ids().count(), 413);
}
