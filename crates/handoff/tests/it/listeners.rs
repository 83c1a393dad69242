use std::net::SocketAddr;

use handoff::{Listener, listeners_for, parse_listeners};

const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0 20 4 30 10 -1
   3: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0 100 0 0 10 0
";

const TABLE_V6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21 1 0 100 0 0 10 0
   1: 00000000000000000000000000000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1 0 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:1F93 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 23 1 0 100 0 0 10 0
";

/// The machine on which these were written counts from the little end.
fn all() -> Vec<Listener> {
    let mut all = parse_listeners(TABLE);
    all.extend(parse_listeners(TABLE_V6));
    all
}

#[track_caller]
fn check(address: &str, inodes: &[u64]) {
    let address: SocketAddr = address.parse().unwrap();
    let found: Vec<u64> = listeners_for(address, &all()).iter().map(|one| one.inode).collect();
    assert_eq!(found, inodes, "{address}");
}

/// Verifies: ORCH-155
#[test]
#[cfg(target_endian = "little")]
fn whoever_takes_a_connection_to_an_address_is_found() {
    assert_eq!(all().len(), 6, "what is connected does not listen");
    // Who listens at the very address comes before who listens at all of them.
    check("127.0.0.1:8080", &[11]);
    check("127.0.0.2:8080", &[12]);
    check("[::1]:8080", &[21]);
    check("127.0.0.1:8081", &[14]);
    check("[::1]:8081", &[]);
    // A socket of IPv6 takes IPv4 too.
    check("127.0.0.1:8082", &[22]);
    check("[::1]:8082", &[22]);
    check("127.0.0.1:8083", &[23]);
    check("127.0.0.1:9000", &[]);
}

#[test]
fn lines_that_are_no_listeners_are_passed_over() {
    for text in ["", "sl local", "0: x:y 0:0 0A 0 0 0 0 0 1", "0: 0100007F:1F90 0:0 0A 0 0 0 0"] {
        assert_eq!(parse_listeners(text), [], "{text}");
    }
}
