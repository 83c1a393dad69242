mod cancel;
mod chat;
mod events;
mod papers;
mod ps;
mod run;
mod show;
mod status;

pub(crate) use cancel::cancel;
pub(crate) use chat::chat;
pub(crate) use events::events;
pub(crate) use papers::{completions, man};
pub(crate) use ps::ps;
pub(crate) use run::run;
pub(crate) use show::show;
pub(crate) use status::status;
