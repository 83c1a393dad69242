use critic_executor::config::{CriticKinds, PlanFile};
use critic_executor::{CriticContext, CriticOutput};
use serde_json::Value;

const GUIDE: &str = include_str!("../../../../docs/guides/critics.md");

/// The content of the guide's only block in a language.
fn block(language: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let mut parts = GUIDE.split(&fence);
    let (_, rest, more) = (parts.next(), parts.next().expect("a block"), parts.next());
    assert!(more.is_none(), "one block of {language}");
    rest.split("```").next().unwrap_or_default()
}

#[test]
fn the_picture_of_the_guide_is_what_its_plan_draws() {
    let fine = |_settings: Option<Value>| {
        Ok::<_, String>(|_ctx: CriticContext| async { Ok(CriticOutput::clean()) })
    };
    let names = ["judge", "length", "patterns"];
    let kinds = names.iter().fold(CriticKinds::new(), |kinds, name| kinds.kind(*name, fine));
    let file = PlanFile::from_toml("critics.md", block("toml")).unwrap();
    let plan = file.plan(&kinds).unwrap();
    assert_eq!(plan.to_mermaid(), block("mermaid"));
    assert!(plan.warnings().is_empty(), "{:?}", plan.warnings());
}
