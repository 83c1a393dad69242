use std::net::SocketAddr;

/// An address beyond this machine is not served without a token (ORCH-231).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "server.addr is {addr}, which others can reach, and there is no token; set auth.token_file \
     (ORCHD_TOKEN_FILE), or let server.addr be 127.0.0.1 or [::1]"
)]
pub struct BindRefused {
    /// The address.
    pub addr: SocketAddr,
}

/// Whether a server may listen on `addr`: on 127.0.0.0/8 and ::1 always, elsewhere with a token only.
///
/// # Errors
/// [`BindRefused`].
pub fn check_bind(addr: SocketAddr, has_token: bool) -> Result<(), BindRefused> {
    if has_token || addr.ip().is_loopback() { Ok(()) } else { Err(BindRefused { addr }) }
}
