use std::sync::Arc;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use catalog_core::Catalog;
use config_schema::Config;
use fetch::{Authority, EgressPolicy, FetchLimits};
use model_provisioner::{Hub, PipConfig, Provisioner, ProvisionerConfig, WallClock};

use crate::environment::Environment;

/// A provisioner as the configuration and the machine's pip configuration want it.
pub(crate) fn provisioner(
    environment: &Environment,
    config: &Config,
    data_dir: &Utf8Path,
    catalog: Arc<Catalog>,
    now_ms: WallClock,
) -> anyhow::Result<Provisioner> {
    let pip = environment.pip_config()?;
    let policy = policy(environment, config, &pip)?;
    let config = ProvisionerConfig {
        cache_dir: data_dir.to_owned(),
        model_roots: model_roots(config),
        index_urls: pip.index_urls,
        hub: hub(config)?,
        policy,
        limits: FetchLimits::default(),
        now_ms,
    };
    Ok(Provisioner::new(config, catalog))
}

/// Checks what [`provisioner`] needs of the configuration and the machine, and keeps nothing of it.
///
/// # Errors
/// What is wrong.
pub(crate) fn check(environment: &Environment, config: &Config) -> anyhow::Result<()> {
    let pip = environment.pip_config()?;
    hub(config)?;
    policy(environment, config, &pip).map(drop)
}

/// The configured roots. A model that the configuration itself names by its path is meant, so the folder
/// it lies in is a root as well.
pub(crate) fn model_roots(config: &Config) -> Vec<Utf8PathBuf> {
    let mut roots = config.catalog.model_roots.clone();
    for model in config.models.values() {
        if let Ok(catalog_core::ModelReference::File(path)) = model.source.parse()
            && let Some(folder) = path.parent()
        {
            roots.push(folder.to_owned());
        }
    }
    roots
}

fn hub(config: &Config) -> anyhow::Result<Hub> {
    let egress = &config.egress;
    let token = egress.hub_token_file.as_ref().map(|path| {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("egress.hub_token_file: cannot read {path}"))?;
        crate::logging::masker().register(text.trim());
        anyhow::Ok(text)
    });
    Ok(Hub {
        url: egress.hub_url.parse().context("egress.hub_url is no URL")?,
        token: token.transpose()?.map(|text| text.trim().to_owned()),
    })
}

fn policy(
    environment: &Environment,
    config: &Config,
    pip: &PipConfig,
) -> anyhow::Result<EgressPolicy> {
    let mut extra_ca_pem = Vec::new();
    for path in [environment.certificate_file(), pip.cert.clone()].into_iter().flatten() {
        let pem = std::fs::read(&path)
            .with_context(|| format!("cannot read the certificates in {path}"))?;
        extra_ca_pem.push(pem);
    }
    let egress = &config.egress;
    let mut listed = Vec::new();
    for place in &egress.listed_private_hosts {
        let authority: Authority = place
            .parse()
            .with_context(|| format!("egress.listed_private_hosts: `{place}` is no host"))?;
        listed.push(authority);
    }
    let proxy = environment.proxy().map(str::parse).transpose().context("https_proxy is no URL")?;
    Ok(EgressPolicy {
        enabled: egress.enabled,
        allowed_hosts: (!egress.allowed_hosts.is_empty()).then(|| egress.allowed_hosts.clone()),
        listed,
        allow_plain_http_for_listed: true,
        max_bytes: egress.max_bytes,
        extra_ca_pem,
        proxy,
    })
}
