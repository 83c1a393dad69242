use std::net::{IpAddr, Ipv6Addr};

use http::header;

use crate::access::Asked;

/// Whether a request on a bind without token was meant for this machine, and not lured here by a page of
/// somebody else (ORCH-236): each host it names is a loopback one, and its origin, if it has one, is the
/// daemon itself or listed.
pub(crate) fn is_local(asked: &Asked<'_>) -> bool {
    let Asked { uri, headers, .. } = asked;
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.as_bytes()),
        (None, _) => None,
        (Some(_), Some(_)) => return false,
    };
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    // HTTP/2 names the host in its authority, HTTP/1.1 in its header; where both are given, both count.
    let Some(named) = authority.or(host) else { return false };
    let all_loopback = [authority, host].into_iter().flatten().all(is_loopback);
    all_loopback
        && headers.get_all(header::ORIGIN).iter().all(|origin| {
            let origin = origin.as_bytes();
            is_own(origin, named, asked.is_tls)
                || asked.allowed_origins.iter().any(|listed| listed.as_bytes() == origin)
        })
}

fn is_own(origin: &[u8], host: &[u8], is_tls: bool) -> bool {
    let scheme: &[u8] = if is_tls { b"https://" } else { b"http://" };
    origin.strip_prefix(scheme).is_some_and(|rest| rest.eq_ignore_ascii_case(host))
}

fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                return address.parse() == Ok(Ipv6Addr::LOCALHOST) && is_port(port);
            }
            None => return false,
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_loopback_address =
        || matches!(name.parse(), Ok(IpAddr::V4(address)) if address.is_loopback());
    is_port(port) && (name.eq_ignore_ascii_case("localhost") || is_loopback_address())
}

/// Whether what follows the name is nothing, or a colon with a port.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}
