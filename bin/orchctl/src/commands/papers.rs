use camino::Utf8Path;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{cli::Cli, failure::Failure, output::Output};

/// `orchctl completions`: a script with which a shell completes what is typed.
pub(crate) async fn completions(shell: Shell, output: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "orchctl", &mut script);
    output.write(&String::from_utf8_lossy(&script)).await
}

/// `orchctl man`: the manual's first page, or a page per command in a folder.
pub(crate) async fn man(dir: Option<&Utf8Path>, output: &mut Output) -> Result<(), Failure> {
    if let Some(dir) = dir {
        let failed = |source| Failure::ManPages { dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        return clap_mangen::generate_to(Cli::command(), dir).map_err(failed);
    }
    let mut page = Vec::new();
    // The page names pages, and there is none of the command that shows the others' help.
    let commands = Cli::command().disable_help_subcommand(true);
    clap_mangen::Man::new(commands).render(&mut page).map_err(Failure::Output)?;
    output.write(&String::from_utf8_lossy(&page)).await
}
