use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A socket that is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    pub address: SocketAddr,
    pub inode: u64,
}

/// The state of a socket that is listened on, in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Reads the text of `/proc/net/tcp` or `/proc/net/tcp6`; lines that are no listeners are passed over.
#[must_use]
pub fn parse_listeners(text: &str) -> Vec<Listener> {
    text.lines().filter_map(listener).collect()
}

/// The listeners of which one takes a connection to `address`: those at that very address where there are
/// any, else those at every address of the port.
#[must_use]
pub fn listeners_for(address: SocketAddr, all: &[Listener]) -> Vec<Listener> {
    let at = |is_it: &dyn Fn(IpAddr) -> bool| -> Vec<Listener> {
        let of_port = all.iter().filter(|one| one.address.port() == address.port());
        of_port.filter(|one| is_it(one.address.ip().to_canonical())).copied().collect()
    };
    let exact = at(&|ip| ip == address.ip());
    if exact.is_empty() { at(&|ip| takes_all_of(ip, address.ip())) } else { exact }
}

/// Whether a socket at the unspecified address `ip` takes connections to `to`. One of IPv6 mostly takes those
/// of IPv4 too, and `/proc` does not tell.
fn takes_all_of(ip: IpAddr, to: IpAddr) -> bool {
    ip.is_unspecified() && (ip.is_ipv6() || to.is_ipv4())
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`
fn listener(line: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Listener { address: SocketAddr::new(address(ip)?, port), inode })
}

/// Each 32 bits stand there as a number of the machine's own byte order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(8 * at..8 * at + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut octets = [0; 16];
            for (at, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(octets)))
        }
        _ => None,
    }
}
