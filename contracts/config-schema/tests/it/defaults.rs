use config_schema::{Config, load};

/// Verifies: ORCH-281, ORCH-231
#[test]
fn without_file_and_environment_the_home_profile_holds() {
    let config = load(None, &[], &[]).unwrap();
    assert_eq!(config, Config::default());
    insta::assert_json_snapshot!(config);
}

#[test]
fn a_file_that_names_every_default_changes_nothing() {
    let config = Config::default();
    let text = toml::to_string(&config).unwrap();
    let file = config_schema::ConfigFile { name: "orchestratord.toml", text: &text };
    assert_eq!(load(Some(file), &[], &[]), Ok(config));
}
