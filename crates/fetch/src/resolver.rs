use std::{net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use crate::{address::is_public, rules::Rules};

/// Resolves names with the system's resolver, and gives only public addresses for names that the policy
/// does not list. The connection goes to exactly what was checked.
pub(crate) struct PublicResolver {
    pub(crate) rules: Arc<Rules>,
}

/// A name has no address that may be used.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to addresses that are not public only")]
pub(crate) struct NoPublicAddress;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let trusted = self.rules.is_trusted_name(name.as_str());
        Box::pin(async move {
            // The port is put in by the client.
            let found: Vec<SocketAddr> = lookup_host((name.as_str(), 0)).await?.collect();
            let any = !found.is_empty();
            let usable: Vec<SocketAddr> =
                found.into_iter().filter(|found| trusted || is_public(found.ip())).collect();
            if any && usable.is_empty() {
                return Err(NoPublicAddress.into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}
