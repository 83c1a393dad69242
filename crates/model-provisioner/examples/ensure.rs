//! Makes sure that a model is there, through the package index that this machine's pip is configured to.
//!
//! `cargo run -p model-provisioner --example ensure -- <cache folder> <reference> [sha256:<digest>]`
#![expect(clippy::print_stdout, reason = "this is a program")]
#![expect(clippy::disallowed_methods, reason = "a program reads its own environment and clock")]

use std::{
    env, fs,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use camino::Utf8PathBuf;
use catalog_core::{Catalog, CatalogLimits, ModelReference, testing::MemoryStore};
use fetch::{EgressPolicy, FetchLimits};
use model_provisioner::{Hub, PipConfig, PipSources, Progress, Provisioner, ProvisionerConfig};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let provider = rustls::crypto::ring::default_provider().install_default();
    anyhow::ensure!(provider.is_ok(), "another crypto provider is installed");
    let mut arguments = env::args().skip(1);
    let cache_dir = Utf8PathBuf::from(arguments.next().context("which cache folder?")?);
    let reference: ModelReference = arguments.next().context("which model?")?.parse()?;
    let expected = arguments.next().map(|digest| digest.parse()).transpose()?;

    let pip = pip_config()?;
    let cert = pip.cert.or(env::var("SSL_CERT_FILE").ok().map(Utf8PathBuf::from));
    let extra_ca_pem = cert.map(fs::read).transpose().context("the certificates of pip")?;
    let store = Arc::new(MemoryStore::default());
    let catalog = Arc::new(Catalog::open(store, CatalogLimits::default()).await?);
    let config = ProvisionerConfig {
        hub: Hub::default(),
        cache_dir,
        model_roots: Vec::new(),
        index_urls: pip.index_urls,
        policy: EgressPolicy {
            extra_ca_pem: extra_ca_pem.into_iter().collect(),
            ..EgressPolicy::default()
        },
        limits: FetchLimits::default(),
        now_ms: Arc::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        }),
    };
    let provisioner = Provisioner::new(config, catalog);
    let shown = Mutex::new(String::new());
    let entry = provisioner.ensure(&reference, expected, &[], &|now| show(now, &shown)).await?;
    println!("{entry:#?}");
    Ok(())
}

/// A line for each step, and for each tenth of one.
fn show(now: Progress, shown: &Mutex<String>) {
    let tenths = |done: u64, total: u64| done.saturating_mul(10) / total.max(1) * 10;
    let line = match now {
        Progress::LookingUp => "looking up".to_owned(),
        Progress::Fetching { bytes_done, bytes_total: Some(total) } => {
            format!("fetching {} % of {total} bytes", tenths(bytes_done, total))
        }
        Progress::Fetching { bytes_done, bytes_total: None } => {
            format!("fetching, {} MiB", bytes_done >> 20)
        }
        Progress::Verifying { bytes_done, bytes_total } => {
            format!("verifying {} %", tenths(bytes_done, bytes_total))
        }
    };
    let mut shown = shown.lock().expect("nobody panics while printing");
    if *shown != line {
        println!("{line}");
        *shown = line;
    }
}

fn pip_config() -> anyhow::Result<PipConfig> {
    let home = env::var("HOME").unwrap_or_default();
    let places = [
        "/etc/pip.conf".to_owned(),
        format!("{home}/.pip/pip.conf"),
        format!("{home}/.config/pip/pip.conf"),
        env::var("PIP_CONFIG_FILE").unwrap_or_default(),
    ];
    let files: Vec<String> =
        places.iter().filter_map(|place| fs::read_to_string(place).ok()).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let variable = |name: &str| env::var(name).ok();
    let (index, extra) = (variable("PIP_INDEX_URL"), variable("PIP_EXTRA_INDEX_URL"));
    let (no_index, cert) = (variable("PIP_NO_INDEX"), variable("PIP_CERT"));
    let sources = PipSources {
        files: &files,
        index_url: index.as_deref(),
        extra_index_url: extra.as_deref(),
        no_index: no_index.as_deref(),
        cert: cert.as_deref(),
    };
    Ok(PipConfig::read(&sources)?)
}
