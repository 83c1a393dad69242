use config_schema::{ConfigFile, Loaded, load, load_with_origins};

fn loaded(text: &str) -> Loaded {
    let environment = [("ORCHD_QUEUE__MODEL_CAPACITY".to_owned(), "7".to_owned())];
    let flags = [("server.addr", "127.0.0.1:9".to_owned())];
    load_with_origins(Some(ConfigFile { name: "c.toml", text }), &environment, &flags).unwrap()
}

/// The line of a key, after the header of its section.
fn line<'t>(text: &'t str, section: &str, key: &str) -> &'t str {
    let (_, rest) = text.split_once(&format!("[{section}]\n")).unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    lines.into_iter().find(|line| line.starts_with(&format!("{key} = "))).unwrap()
}

const TEXT: &str = "[queue]\ntotal_capacity = 900\n[pools.\"a.b\"]\nengine = 'openai'\n\
    url = 'http://127.0.0.1:1'\n[server]\naddr = '127.0.0.1:1'\n";

/// Verifies: ORCH-283
#[test]
fn each_value_is_shown_with_where_it_comes_from() {
    let text = loaded(TEXT).to_toml();
    assert_eq!(line(&text, "queue", "total_capacity"), "total_capacity = 900  # c.toml:2");
    assert_eq!(
        line(&text, "queue", "model_capacity"),
        "model_capacity = 7  # environment variable ORCHD_QUEUE__MODEL_CAPACITY"
    );
    assert_eq!(line(&text, "queue", "batch_share"), "batch_share = 75  # default");
    assert_eq!(line(&text, "server", "addr"), "addr = \"127.0.0.1:9\"  # flag for server.addr");
    assert_eq!(line(&text, "pools.\"a.b\"", "slots"), "slots = 1  # default");
    assert_eq!(line(&text, "pools.\"a.b\"", "url"), "url = \"http://127.0.0.1:1\"  # c.toml:5");
}

/// Verifies: ORCH-283
#[test]
fn what_is_shown_is_a_file_that_gives_the_same_configuration() {
    let loaded = loaded(TEXT);
    let text = loaded.to_toml();
    assert_eq!(load(Some(ConfigFile { name: "again", text: &text }), &[], &[]), Ok(loaded.config));
}

/// Verifies: ORCH-283
#[test]
fn credentials_in_addresses_are_not_shown() {
    let text = "[models.m]\nsource = 'file://ann:hunter2@host/m.gguf'\n";
    let shown = loaded(text).to_toml();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(line(&shown, "models.m", "source").contains("//***@host/m.gguf"), "{shown}");
}
