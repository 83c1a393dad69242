use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public internet, by IANA's registries of special-purpose addresses.
/// Everything else is somebody's own network, this machine, or a service of a cloud's host.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127 | 224.., _, _) => true, // this network, private, loopback, multicast, reserved
        (100, 64..=127, _) => true,           // shared by carriers
        (169, 254, _) => true,                // link-local, metadata services
        (172, 16..=31, _) | (192, 168, _) => true, // private
        (192, 0, 0 | 2) | (192, 88, 99) => true, // protocol assignments, documentation, 6to4 relay
        (198, 18..=19, _) => true,            // benchmarks
        (198, 51, 100) | (203, 0, 113) => true, // documentation
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_public_v4(inner);
    }
    let [first, second, ..] = address.segments();
    let global_unicast = first & 0xe000 == 0x2000;
    let special = matches!((first, second), (0x2001, 0..=0x01ff | 0x0db8) | (0x3fff, 0..=0x0fff));
    global_unicast && !special
}

/// The IPv4 address that an IPv6 address leads to: mapped, translated (64:ff9b::/96) or 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let pair = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(pair(high, low)),
        [0x2002, high, low, ..] => Some(pair(high, low)),
        _ => address.to_ipv4_mapped(),
    }
}
