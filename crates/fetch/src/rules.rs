use std::net::IpAddr;

use url::{Host, Url};

use crate::{Authority, EgressPolicy, Refusal, address::is_public};

/// The part of a policy that each hop is held against.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) policy: EgressPolicy,
}

impl Rules {
    /// Whether `url` may be asked, coming from `from` by a redirect. What a name resolves to is checked
    /// by the resolver.
    pub(crate) fn check(&self, url: &Url, from: Option<&Url>) -> Result<(), Refusal> {
        if !self.policy.enabled {
            return Err(Refusal::Disabled);
        }
        let authority = Authority::of(url).ok_or(Refusal::NotHttp)?;
        let listed = self.policy.listed.contains(&authority);
        match url.scheme() {
            "https" => {}
            "http" if from.is_some_and(|from| from.scheme() == "https") => {
                return Err(Refusal::Downgrade);
            }
            "http" if listed && self.policy.allow_plain_http_for_listed => {}
            "http" => return Err(Refusal::PlainHttp),
            _ => return Err(Refusal::NotHttp),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::CredentialsInUrl);
        }
        if listed { Ok(()) } else { self.check_unlisted(&authority) }
    }

    /// Whether the addresses of a name may be ones that are not public: it is listed, or the proxy's.
    pub(crate) fn is_trusted_name(&self, name: &str) -> bool {
        let is = |host: &Host<String>| matches!(host, Host::Domain(own) if own == name);
        let proxy = self.policy.proxy.as_ref().and_then(Authority::of);
        self.policy.listed.iter().chain(&proxy).any(|authority| is(authority.host()))
    }

    fn check_unlisted(&self, authority: &Authority) -> Result<(), Refusal> {
        let allowed = |hosts: &Vec<String>| {
            let host = authority.host().to_string();
            hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(&host))
        };
        if !self.policy.allowed_hosts.as_ref().is_none_or(allowed) {
            return Err(Refusal::NotAllowed);
        }
        let address: IpAddr = match authority.host() {
            Host::Ipv4(address) => (*address).into(),
            Host::Ipv6(address) => (*address).into(),
            // The resolver trusts a listed name on all its ports, so the other ports end here.
            Host::Domain(name) if self.is_trusted_name(name) => return Err(Refusal::OtherPort),
            Host::Domain(_) if self.policy.proxy.is_some() => {
                return if self.policy.allowed_hosts.is_some() {
                    Ok(())
                } else {
                    Err(Refusal::UncheckedBehindProxy)
                };
            }
            Host::Domain(_) => return Ok(()),
        };
        if is_public(address) { Ok(()) } else { Err(Refusal::NotPublic) }
    }
}
