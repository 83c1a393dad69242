mod cancel;
mod events;
mod ps;
mod run;
mod show;
mod status;

pub(crate) use cancel::cancel;
pub(crate) use events::events;
pub(crate) use ps::ps;
pub(crate) use run::run;
pub(crate) use show::show;
pub(crate) use status::status;
