use std::fmt::Write;
use std::process::Command;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xtask::{Bindings, LayerMap, Metadata, RanTests, Requirements, StatusFile, reference};

use crate::process;

const SCHEMA: &str = "contracts/generated/config.schema.json";
const HANDOFF: &str = "contracts/generated/handoff.schema.json";
const METRICS: &str = "contracts/generated/metrics.json";
const OPENAPI: &str = "contracts/generated/openapi-orchestratord.json";
const API_PAGE: &str = "docs/reference/api.md";
const CONFIGURATION_PAGE: &str = "docs/reference/configuration.md";
const ERRORS_PAGE: &str = "docs/reference/errors.md";
const METRICS_PAGE: &str = "docs/reference/metrics.md";

/// `cargo xtask layers`
pub(crate) fn layers(root: &Utf8Path) -> Result<()> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps"];
    let answer = process::output(&mut process::cargo(root, arguments))?;
    let metadata: Metadata =
        serde_json::from_str(&answer).context("cannot read `cargo metadata`")?;
    let violations = LayerMap::of_this_project().violations(&metadata);
    fail_on(&violations, "edges that the layers do not allow")?;
    println!("layers: {} crates, every edge is allowed", metadata.packages.len());
    Ok(())
}

/// `cargo xtask contracts [--check]`, with a daemon that was built.
pub(crate) fn contracts(root: &Utf8Path, check: bool, daemon: Command) -> Result<()> {
    let schema = xtask::canonical_json(&config_schema::json_schema());
    let handoff = xtask::canonical_json(&handoff_schema::json_schema());
    let metrics = xtask::canonical_json(&orchestrator_metrics::list());
    let openapi = xtask::canonical_json(&openapi(root, daemon)?);
    // The pages are made from the canonical texts, so that their order is the same everywhere.
    let document = |text: &str| serde_json::from_str(text).expect("it was written just above");
    let pages = [
        (API_PAGE, reference::api(&document(&openapi))),
        (CONFIGURATION_PAGE, reference::configuration(&document(&schema))),
        (ERRORS_PAGE, reference::errors(&document(&openapi))),
        (METRICS_PAGE, reference::metrics(&document(&metrics))),
    ];
    let files = [(HANDOFF, handoff), (METRICS, metrics), (SCHEMA, schema), (OPENAPI, openapi)];
    let mut stale = Vec::new();
    for (name, wanted) in files.into_iter().chain(pages) {
        stale.extend(bring_up_to_date(root, name, &wanted, check)?.map(str::to_owned));
    }
    fail_on(&stale, "files that are not what the types say; run `cargo xtask contracts` and commit")
}

/// The daemon out of a build with the caller's cargo, where that builds.
pub(crate) fn daemon() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", "orchestratord", "--"]);
    command
}

/// The document as the daemon itself prints it.
fn openapi(root: &Utf8Path, mut daemon: Command) -> Result<Value> {
    let printed = process::output(daemon.arg("openapi").current_dir(root))?;
    serde_json::from_str(&printed).context("the daemon printed no JSON")
}

/// Writes what is wanted, or names the file that differs.
fn bring_up_to_date<'a>(
    root: &Utf8Path,
    name: &'a str,
    wanted: &str,
    check: bool,
) -> Result<Option<&'a str>> {
    let path = root.join(name);
    if std::fs::read_to_string(&path).ok().as_deref() == Some(wanted) {
        println!("{name}: up to date");
    } else if check {
        return Ok(Some(name));
    } else {
        let folder = path.parent().expect("the path of a contract has a folder");
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))?;
        std::fs::write(&path, wanted).with_context(|| format!("cannot write {path}"))?;
        println!("{name}: written");
    }
    Ok(None)
}

/// `cargo xtask sim`; optimised, as it is all computing.
pub(crate) fn sim(root: &Utf8Path, arguments: &[String]) -> Result<()> {
    let run = ["run", "--quiet", "--release", "--package", "simulation", "--"];
    let all = run.into_iter().chain(arguments.iter().map(String::as_str));
    process::run(&mut process::cargo(root, all))
}

/// `cargo xtask specs --check [--ran FILE]`
pub(crate) fn check_specs(root: &Utf8Path, ran: Option<&Utf8Path>) -> Result<()> {
    let specs = Specs::read(root)?;
    let ran = ran
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("cannot read {path}")));
    let ran = ran.transpose()?.map(|text| RanTests::parse(&text));
    let mut problems =
        xtask::check(&specs.requirements, &specs.status, &specs.bindings, ran.as_ref());
    if problems.is_empty() && specs.status.render(&specs.requirements) != specs.status_text {
        problems.push(
            "it is not in its only layout; run `cargo xtask specs --mark-verified`".to_owned(),
        );
    }
    print!("{}", xtask::coverage(&specs.requirements, &specs.status, &specs.bindings));
    fail_on(&problems, "problems with .specs/status.toml or the tests")
}

/// `cargo xtask specs [AREA]`
pub(crate) fn show_specs(root: &Utf8Path, area: Option<&str>) -> Result<()> {
    let specs = Specs::read(root)?;
    let text = match area {
        None => xtask::coverage(&specs.requirements, &specs.status, &specs.bindings),
        Some(area) => xtask::listing(&specs.requirements, &specs.status, &specs.bindings, area),
    };
    if text.is_empty() {
        bail!("no area or requirement is called so; `cargo xtask specs` lists the areas");
    }
    print!("{text}");
    Ok(())
}

/// `cargo xtask specs --mark-verified`
pub(crate) fn mark_verified(root: &Utf8Path) -> Result<()> {
    let mut specs = Specs::read(root)?;
    specs.status.mark_verified(&specs.bindings);
    let text = specs.status.render(&specs.requirements);
    std::fs::write(&specs.status_path, text)
        .with_context(|| format!("cannot write {}", specs.status_path))?;
    print!("{}", xtask::coverage(&specs.requirements, &specs.status, &specs.bindings));
    Ok(())
}

struct Specs {
    requirements: Requirements,
    status: StatusFile,
    status_path: Utf8PathBuf,
    status_text: String,
    bindings: Bindings,
}

impl Specs {
    fn read(root: &Utf8Path) -> Result<Self> {
        let requirements = Requirements::read(&root.join(".specs"))?;
        let status_path = root.join(".specs/status.toml");
        let status_text = std::fs::read_to_string(&status_path)
            .with_context(|| format!("cannot read {status_path}"))?;
        let status = StatusFile::parse(&status_text)
            .with_context(|| format!("cannot read {status_path}"))?;
        let sources = xtask::sources::test_sources(root)?;
        let sources = sources.iter().map(|(path, text)| (path.as_path(), text.as_str()));
        Ok(Self {
            requirements,
            status,
            status_path,
            status_text,
            bindings: Bindings::scan(sources),
        })
    }
}

fn fail_on(problems: &[String], title: &str) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let mut text = format!("{} {title}:", problems.len());
    for problem in problems {
        let _ = write!(text, "\n  {problem}");
    }
    bail!(text)
}
