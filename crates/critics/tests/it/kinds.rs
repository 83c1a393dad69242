use critic_executor::config::PlanFile;
use critic_executor::{ExecutionPlan, Executor, RunInput};

fn plan(text: &str) -> Result<ExecutionPlan, String> {
    let file = PlanFile::from_toml("plan.toml", text).map_err(|errors| errors.to_string())?;
    file.plan(&critics::kinds()).map_err(|errors| errors.to_string())
}

async fn codes(text: &str, input: &str) -> Vec<String> {
    let report = Executor::default().run(&plan(text).unwrap(), RunInput::new(input)).await.unwrap();
    let findings = report.critics().iter().filter_map(|critic| critic.finding());
    findings.flat_map(|it| &it.violations).map(|violation| violation.code.to_string()).collect()
}

/// Verifies: CRIT-230
#[tokio::test]
async fn files_name_and_configure_the_critics_of_this_crate() {
    let text = r#"
[critics.length]
kind = "length"
settings = { max_words = 3 }

[critics.names]
kind = "patterns"
settings.keywords = [{ text = "falcon", code = "project", severity = 0.9, anywhere = true }]
settings.regexes = [{ text = "x[0-9]+", code = "part", severity = 0.5 }]

[critics.personal]
kind = "pii"
settings = { kinds = ["email"] }
"#;
    let found = codes(text, "ask ada@example.org about the FALCONRY of x42").await;
    assert_eq!(found, ["length.words.max", "project", "part", "pii.email"]);
    assert!(codes(text, "good morning").await.is_empty());
}

/// Verifies: CRIT-230
#[test]
fn settings_that_a_critic_cannot_use_are_told_with_their_places() {
    let cases = [
        ("length", "{}", "plan.toml:3:1: `critics.a.settings`: a length without a bound"),
        ("length", "{ max = 1 }", "plan.toml:3:14: `critics.a.settings.max`: unknown field `max`"),
        ("patterns", "{}", "name at least one of `keywords` and `regexes`"),
        (
            "patterns",
            "{ regexes = [{ text = \"(\", code = \"a\", severity = 0.5 }] }",
            "regular expression 0 cannot be used",
        ),
        ("pii", "{ severity = 2.0 }", "`severity` must be in 0 to 1, not 2"),
        ("pii", "{ kinds = [\"name\"] }", "`critics.a.settings.kinds[0]`: unknown variant `name`"),
    ];
    for (kind, settings, expected) in cases {
        let text = format!("[critics.a]\nkind = \"{kind}\"\nsettings = {settings}\n");
        let errors = plan(&text).unwrap_err();
        assert!(errors.contains(expected), "{errors}");
    }
}
