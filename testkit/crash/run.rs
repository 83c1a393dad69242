use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use camino::Utf8Path;
use testkit::ScriptedEngine;

use crate::{
    checks::{self, Summary},
    client,
    clock::{now, pause_ms},
    daemon::{Daemon, Setup},
    job::Outcome,
    kills::Kills,
    options::{Engine, Options},
    order,
    report::Report,
    scene::Scene,
};

/// Longest time from the last kill, or without one from the start, to the end of all tasks.
const PATIENCE: Duration = Duration::from_secs(180);

/// Violations that are told in full.
const VIOLATIONS_SHOWN: usize = 20;

/// Tasks that the scripted engine works on at once.
const SLOTS: &str = "16";

/// Runs the whole test.
///
/// # Errors
/// What must not have happened, or why the test could not be made.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    let start = now();
    let folder = &options.folder;
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {folder}"))?;
    }
    let (sections, _engine, expected) = match options.engine {
        Engine::Scripted => {
            // Chunks cut wherever: within events, and within characters.
            let flags = ["--slots", SLOTS, "--rate", "40", "--split-bytes", "97"];
            let engine = ScriptedEngine::start(&flags);
            (scripted_sections(&engine), Some(engine), BTreeMap::new())
        }
        Engine::Candle => {
            let model = options.model.as_deref().context("--model is needed for this engine")?;
            let sections = candle_sections(model)?;
            let expected = undisturbed(options, &sections)?;
            (sections, None, expected)
        }
    };

    let sections = sections + &retention_sections(options);
    let setup = Setup::new(&options.daemon, &folder.join("crash"), &sections)?;
    let jobs_max = options.engine.jobs(options.kills);
    let forgets = options.retention_ms.is_some();
    let scene = Scene::new(setup.address, options.engine, options.seed, forgets, jobs_max);
    let mut kills = Kills::default();
    let first = kills.start(&setup)?;
    let daemon = load(&scene, |scene| kills.carry_out(scene, &setup, options.kills, first))?;
    let summary = afterwards(&scene, &setup, &mut kills, daemon, &expected);
    let summary = summary.map_err(|error| with_violations(&scene, error))?;
    complain(&scene)?;
    let tried = scene.tried().len();
    if !options.keep {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {folder}"))?;
    }
    Ok(Report {
        kills,
        summary,
        counters: scene.counters,
        tried,
        took: now().duration_since(start),
    })
}

/// Checks what is left when all is done.
fn afterwards(
    scene: &Scene,
    setup: &Setup,
    kills: &mut Kills,
    daemon: Daemon,
    expected: &BTreeMap<String, Outcome>,
) -> anyhow::Result<Summary> {
    let tasks = checks::ended_tasks(scene)?;
    let summary = checks::check(scene, &tasks, expected);
    order::check(scene, &tasks, &kills.at_wall_ms);
    if kills.starts > 3 && summary.interrupted == 0 {
        scene.violated("no task was interrupted: nothing was tested".to_owned());
    }
    // What ended stays as it is over one more end of the daemon.
    kills.kill(daemon)?;
    let daemon = kills.start(setup)?;
    for task in scene.tried().clone().values().filter_map(|tried| tried.task.as_ref()) {
        checks::read_again(scene, task);
    }
    if scene.forgets {
        if summary.forgotten == 0 {
            scene.violated("nothing was deleted under load: nothing was tested".to_owned());
        }
        checks::all_forgotten(scene, &setup.events())?;
    }
    drop(daemon);
    check_log(scene, setup)?;
    Ok(summary)
}

/// Lets clients work while `disturb` does what it does to the daemon, and until all of them are done.
fn load<T>(scene: &Scene, disturb: impl FnOnce(&Scene) -> anyhow::Result<T>) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..scene.engine.clients()).map(|_| scope.spawn(|| client::work(scene))).collect();
        let disturbed = disturb(scene);
        scene.wind_down();
        let start = now();
        while disturbed.is_ok() && clients.iter().any(|client| !client.is_finished()) {
            if now().duration_since(start) > PATIENCE {
                scene
                    .violated(format!("some clients were not done after {} s", PATIENCE.as_secs()));
                break;
            }
            pause_ms(5);
        }
        scene.give_up();
        let panicked = clients.into_iter().filter_map(|client| client.join().err()).count();
        if panicked > 0 {
            bail!("{panicked} clients panicked");
        }
        disturbed.map_err(|error| with_violations(scene, error))
    })
}

/// What the same jobs give when nothing happens to the daemon.
fn undisturbed(options: &Options, sections: &str) -> anyhow::Result<BTreeMap<String, Outcome>> {
    let setup = Setup::new(&options.daemon, &options.folder.join("undisturbed"), sections)?;
    let jobs_max = options.engine.jobs(options.kills);
    let scene = Scene::new(setup.address, options.engine, options.seed, false, jobs_max);
    let mut daemon = Daemon::start(&setup, 1)?;
    daemon.wait_until_ready()?;
    load(&scene, |_scene| Ok(()))?;
    complain(&scene).context("in the undisturbed run")?;
    let tried = scene.tried();
    let outcomes = tried.iter().map(|(key, tried)| {
        let task = tried.task.as_ref().ok_or_else(|| anyhow!("key {key} has no task"))?;
        let outcome = task.outcome().map_err(|what| anyhow!("task {}: {what}", task.id))?;
        Ok((key.clone(), outcome))
    });
    outcomes.collect()
}

/// Limits that no kill may run into: each is one unclean end with the task at work.
const LIMITS: &str =
    "[scheduling]\npoison_limit = 1000000\nmax_attempts = 100\n\n[stream]\nheartbeat_ms = 1000\n\n";

/// Short ages and small segments, so that deletions and kills meet.
fn retention_sections(options: &Options) -> String {
    let section = |age_ms: u64| {
        let task_age_ms = 3 * age_ms;
        format!(
            "\n[store]\nsegment_bytes = 1048576\n\n[retention]\nevent_retention_ms = {age_ms}\n\
             task_retention_ms = {task_age_ms}\n"
        )
    };
    options.retention_ms.map(section).unwrap_or_default()
}

fn scripted_sections(engine: &ScriptedEngine) -> String {
    format!(
        "{LIMITS}[catalog]\ndefault_model = \"scripted\"\n\n[pools.scripted]\nengine = \"openai\"\nurl = \
         \"{}\"\nslots = {SLOTS}\nstrict = true\nchunk_is_token = true\n",
        engine.url()
    )
}

fn candle_sections(model: &Utf8Path) -> anyhow::Result<String> {
    let model = model
        .canonicalize_utf8()
        .with_context(|| format!("cannot find {model}; `cargo xtask setup` fetches it"))?;
    let root = model.parent().context("a file has a folder")?;
    Ok(format!(
        "{LIMITS}[catalog]\nmodel_roots = [\"{root}\"]\n\n[models.starter]\nsource = \"file:{model}\"\n"
    ))
}

/// A daemon that panicked may go on and hide it.
fn check_log(scene: &Scene, setup: &Setup) -> anyhow::Result<()> {
    let log = std::fs::read_to_string(&setup.log)
        .with_context(|| format!("cannot read {}", setup.log))?;
    for line in log
        .lines()
        .filter(|line| line.contains("panicked at") || line.contains("\"level\":\"ERROR\""))
    {
        scene.violated(format!("the daemon logged: {line}"));
    }
    Ok(())
}

fn complain(scene: &Scene) -> anyhow::Result<()> {
    let violations = scene.violations();
    if violations.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> =
        violations.iter().take(VIOLATIONS_SHOWN).map(|what| shortened(what)).collect();
    bail!("{} violations, such as\n{}", violations.len(), shown.join("\n"))
}

/// An end before the time, and what was wrong until then.
fn with_violations(scene: &Scene, error: anyhow::Error) -> anyhow::Error {
    match complain(scene) {
        Ok(()) => error,
        Err(violations) => error.context(violations),
    }
}

/// A long prompt or text may be part of a complaint.
fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 2000;
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{} …", &text[..at]),
        None => text.to_owned(),
    }
}
