use camino_tempfile::Utf8TempDir;

use crate::{
    canned_daemon::CannedDaemon,
    program::{Done, orchctl},
};

async fn alone(args: &[&str]) -> Done {
    let daemon = CannedDaemon::start(|asked| panic!("{}", asked.line)).await;
    orchctl(&daemon, args).await
}

/// The commands, as the help lists them, but for itself.
async fn commands() -> Vec<String> {
    let help = alone(&["--help"]).await.well();
    let list = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    let names: Vec<String> = names.filter(|name| name != "help").collect();
    assert!(names.len() > 8, "{help}");
    names
}

#[tokio::test]
async fn completions_of_each_shell_know_every_command_and_no_daemon() {
    let commands = commands().await;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = alone(&["completions", shell]).await.well();
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
        }
    }
}

#[tokio::test]
async fn the_manual_names_every_command_and_exit_codes() {
    let page = alone(&["man"]).await.well();
    for command in commands().await {
        assert!(page.contains(&format!("orchctl\\-{command}(1)")), "{command}: {page}");
    }
    assert!(page.starts_with(".ie"), "{page}");
    assert!(page.contains("interrupted by Ctrl\\-C"), "{page}");
}

#[tokio::test]
async fn a_folder_gets_a_page_per_command() {
    let dir = Utf8TempDir::new().unwrap();
    let pages = dir.path().join("man/man1");
    assert_eq!(alone(&["man", "--dir", pages.as_str()]).await.well(), "");
    for command in commands().await {
        let page = std::fs::read_to_string(pages.join(format!("orchctl-{command}.1"))).unwrap();
        assert!(page.contains(".SH NAME"), "{command}: {page}");
    }
    assert!(pages.join("orchctl.1").exists());

    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let done = alone(&["man", "--dir", file.as_str()]).await;
    assert_eq!(done.code, Some(5));
    assert!(done.err.contains(file.as_str()), "{}", done.err);
}
