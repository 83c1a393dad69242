//! Configuration of the daemon: what can be set, what holds when nothing is set, and everything that is
//! wrong with what was set.
//!
//! Sources are one TOML file, environment variables and flags, in rising precedence over the defaults; they
//! are given as text, this crate reads nothing by itself. An environment variable is named
//! `ORCHD_<SECTION>__<KEY>`: two underscores part the segments of the path, which are taken in lower case
//! (`ORCHD_QUEUE__MODEL_CAPACITY` is `queue.model_capacity`, `ORCHD_MODELS__STARTER__SOURCE` is
//! `models.starter.source`). The id of a model or pool matches the one in the file that is equal when `-` and
//! `.` are read as `_` and case is ignored. Lists are written with commas. Short forms are `ORCHD_ADDR`,
//! `ORCHD_TOKEN_FILE`, `ORCHD_PROFILE` and `ORCHD_DATA_DIR`.
//!
//! Invariants: every problem is reported, not the first one only; a value is taken as it was given or is a
//! problem, never replaced; a key that no field stands for is a problem.

mod auth;
mod choice;
mod config;
mod effective;
mod load;
mod model;
mod overlay;
mod pool;
mod problem;
mod reader;
mod reread;
#[cfg(feature = "schema")]
mod schema;
mod sections;
mod setting;
mod settings;
mod tree;

pub use auth::{Auth, Token, TokenScope};
pub use config::{Config, Profile};
pub use effective::Loaded;
pub use load::{ConfigFile, load, load_with_origins};
pub use model::Model;
pub use pool::{
    CandlePool, EngineKind, OpenAiPool, Pool, PoolFeature, PoolWorkload, SamplingDialect,
};
pub use problem::{Origin, Problem};
pub use reread::Change;
#[cfg(feature = "schema")]
pub use schema::json_schema;
pub use sections::{
    BaseStrategy, Catalog, Cors, Egress, Handoff, Log, LogFormat, LogLevel, Operations, Placement,
    PlacementStrategy, Queue, RateLimits, Retention, Scheduling, Server, Store, Stream, Telemetry,
    Tls, TokenSync, Trust, WhenFull,
};
