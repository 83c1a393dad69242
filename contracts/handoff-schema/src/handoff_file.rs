use std::net::{IpAddr, SocketAddr};

use camino::Utf8PathBuf;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use url::Host;

use crate::{
    WrongFile,
    forms::{self, Problems},
};

/// An engine that runs and serves one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoffFile {
    /// Version of this format: 1.
    #[cfg_attr(feature = "schema", schemars(extend("const" = 1)))]
    pub schema: u32,
    /// The pool that the engine belongs to. All replicas of a pool are of one kind of engine, and models of
    /// equal names are the same.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[A-Za-z0-9._-]{1,64}$")))]
    pub pool_id: String,
    /// Its name within the pool.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[A-Za-z0-9._-]{1,64}$")))]
    pub replica_id: String,
    /// What kind of engine it is.
    pub engine: HandedEngine,
    /// Where it listens, such as `http://127.0.0.1:8000`; without a path, `/v1` is meant.
    pub url: String,
    /// The engine's own name of its model.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub model_ref: String,
    /// How often this replica was started, as whoever starts it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// Version of the engine, as its attempts show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64)))]
    pub engine_version: Option<String>,
    /// Digest of the engine's build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^sha256:[0-9a-f]{64}$")))]
    pub engine_digest: Option<String>,
    /// Digest of the model's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^sha256:[0-9a-f]{64}$")))]
    pub model_digest: Option<String>,
    /// Tasks that it is given at once; one where nobody tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65_536)))]
    pub slots_total: Option<u32>,
    /// Cap on tokens of prompt and answer together; what the engine tells when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 16_777_216)))]
    pub ctx_max: Option<u32>,
    /// The devices that it computes on, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub device_mask: Option<Vec<String>>,
    /// The run of the machine that `pid` is of, as in `/proc/sys/kernel/random/boot_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The process that listens. Without it the engine counts as external: it is used, and nobody looks who
    /// answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub pid: Option<u32>,
    /// When that process began, in clock ticks since the start of the machine: field 22 of `/proc/<pid>/stat`.
    /// Tells it from a later one with the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_start_time: Option<u64>,
    /// File with the key that this engine alone knows and asks for; an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub key_file: Option<Utf8PathBuf>,
    /// How the engine came here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_mode: Option<ProvisioningMode>,
    /// What it was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 256)))]
    pub flags: Option<Vec<String>>,
    /// When the file was written, as RFC 3339. A file that differs in this alone is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub written_at: Option<Timestamp>,
}

/// Kinds of engine, by what their servers understand beside the standard protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum HandedEngine {
    /// llama.cpp's server.
    LlamaCpp,
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// Any other server with an OpenAI-compatible API.
    OpenAi,
}

/// How an engine came to where it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ProvisioningMode {
    External,
    Binary,
    Source,
    Container,
    Package,
}

/// Reads nothing but the version, so that a file of another format is told from a wrong one.
#[derive(Deserialize)]
struct Version {
    schema: serde_json::Value,
}

impl HandedEngine {
    /// The name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LlamaCpp => "llamacpp",
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::OpenAi => "openai",
        }
    }
}

impl ProvisioningMode {
    /// The name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Binary => "binary",
            Self::Source => "source",
            Self::Container => "container",
            Self::Package => "package",
        }
    }
}

impl HandoffFile {
    /// Longest file, in bytes.
    pub const BYTES_MAX: usize = 64 << 10;

    /// The one version of the format.
    pub const SCHEMA: u32 = 1;

    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong with it; all wrong values at once.
    pub fn parse(text: &[u8]) -> Result<Self, WrongFile> {
        if text.len() > Self::BYTES_MAX {
            return Err(WrongFile::TooLarge { max: Self::BYTES_MAX });
        }
        let version: Version = serde_json::from_slice(text).map_err(|error| unread(&error))?;
        if version.schema != Self::SCHEMA {
            let schema: String = version.schema.to_string().chars().take(40).collect();
            return Err(WrongFile::UnknownSchema { schema });
        }
        let file: Self = serde_json::from_slice(text).map_err(|error| unread(&error))?;
        match file.problems() {
            None => Ok(file),
            Some(problems) => Err(WrongFile::Wrong { problems }),
        }
    }

    /// The name that the file must have.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.{}.json", self.pool_id, self.replica_id)
    }

    /// Where the engine listens, if that is a loopback address, written as one: names are not looked up.
    #[must_use]
    pub fn loopback(&self) -> Option<SocketAddr> {
        let url = forms::server(&self.url)?;
        let ip = match url.host()? {
            Host::Ipv4(ip) => IpAddr::V4(ip),
            Host::Ipv6(ip) => IpAddr::V6(ip),
            Host::Domain(_) => return None,
        };
        let port = url.port_or_known_default()?;
        ip.is_loopback().then_some(SocketAddr::new(ip, port))
    }

    /// Whether `other` speaks of the same engine in the same way; when it was written does not count.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let untimed = |file: &Self| Self { written_at: None, ..file.clone() };
        untimed(self) == untimed(other)
    }

    fn problems(&self) -> Option<String> {
        const ID: &str = "1 to 64 of A-Z a-z 0-9 . _ -";
        const DIGEST: &str = "\"sha256:\" and 64 hex digits in lower case";
        let mut problems = Problems::default();
        problems.check("pool_id", forms::is_id(&self.pool_id), ID);
        problems.check("replica_id", forms::is_id(&self.replica_id), ID);
        problems.check(
            "url",
            forms::server(&self.url).is_some(),
            "an address such as \"http://127.0.0.1:8000\", without user, query or fragment",
        );
        let model = "1 to 256 bytes without control characters";
        problems.check("model_ref", forms::is_model(&self.model_ref), model);
        let version = self.engine_version.as_deref().is_none_or(forms::is_short);
        problems.check("engine_version", version, "1 to 64 bytes without control characters");
        for (key, digest) in
            [("engine_digest", &self.engine_digest), ("model_digest", &self.model_digest)]
        {
            problems.check(key, digest.as_deref().is_none_or(forms::is_digest), DIGEST);
        }
        let slots = self.slots_total.is_none_or(|slots| (1..=65_536).contains(&slots));
        problems.check("slots_total", slots, "a whole number from 1 to 65536");
        let ctx = self.ctx_max.is_none_or(|ctx| (1..=16_777_216).contains(&ctx));
        problems.check("ctx_max", ctx, "a whole number from 1 to 16777216");
        let mask = self.device_mask.as_deref().is_none_or(forms::is_device_mask);
        problems.check("device_mask", mask, "up to 64 names of 1 to 64 bytes");
        let boot = self.boot_id.as_deref().is_none_or(forms::is_boot_id);
        problems.check("boot_id", boot, "what /proc/sys/kernel/random/boot_id says");
        problems.check("pid", self.pid != Some(0), "the id of a process");
        let has_pid = self.pid.is_some();
        problems.check("pid_start_time", has_pid || self.pid_start_time.is_none(), "a pid with it");
        problems.check("boot_id", has_pid || self.boot_id.is_none(), "a pid with it");
        let key_file = self.key_file.as_deref().is_none_or(forms::is_absolute);
        problems.check("key_file", key_file, "an absolute path");
        let flags = self.flags.as_deref().is_none_or(forms::are_flags);
        problems.check("flags", flags, "up to 256 of up to 4096 bytes without control characters");
        problems.told()
    }
}

fn unread(error: &serde_json::Error) -> WrongFile {
    match error.classify() {
        Category::Io | Category::Syntax | Category::Eof => {
            WrongFile::HalfWritten { reason: error.to_string() }
        }
        Category::Data => WrongFile::Wrong { problems: error.to_string() },
    }
}
