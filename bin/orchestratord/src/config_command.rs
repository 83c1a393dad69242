use crate::{
    cli::{Cli, ConfigCommand},
    environment::Environment,
    preflight,
};

/// The JSON Schema as it is checked in; `cargo xtask contracts --check` holds it against the types.
const SCHEMA: &str = include_str!("../../../contracts/generated/config.schema.json");

/// `orchestratord config`.
pub(crate) fn run(
    command: &ConfigCommand,
    cli: &Cli,
    environment: &Environment,
    print: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Schema => print(SCHEMA),
        ConfigCommand::Print => print(&environment.load(cli)?.to_toml()),
        ConfigCommand::Check => {
            let loaded = environment.load(cli)?;
            preflight::check(&loaded, environment)?;
            print("the configuration is right\n")
        }
    }
}
