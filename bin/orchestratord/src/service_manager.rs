use std::{
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use anyhow::Context as _;
use nix::time::{ClockId, clock_gettime};

use crate::environment::Environment;

/// Time that the service manager is asked for beyond the drain, in milliseconds.
const STOP_MARGIN_MS: u64 = 10_000;

/// The service manager that started the daemon, told how the daemon is (`sd_notify`, systemd 252). Without
/// one nothing is told.
pub(crate) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that the daemon lives, at least.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Finds it by what the environment says.
    ///
    /// # Errors
    /// The environment names one that cannot be spoken to.
    pub(crate) fn find(environment: &Environment) -> anyhow::Result<Self> {
        let Some(name) = environment.notify_socket() else {
            return Ok(Self { socket: None, watchdog: None });
        };
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(name),
        };
        let address = address.with_context(|| format!("NOTIFY_SOCKET: {name} is no socket"))?;
        let socket = UnixDatagram::unbound().context("cannot speak to the service manager")?;
        // It must never hold the daemon up.
        socket.set_nonblocking(true).context("cannot speak to the service manager")?;
        let watchdog = environment.watchdog_usec(std::process::id()).map(Duration::from_micros);
        Ok(Self { socket: Some((socket, address)), watchdog })
    }

    /// The daemon takes work.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The configuration is read again; [`Self::ready`] ends this.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has this clock");
        let now_us = now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}"));
    }

    /// The daemon ends, and may take so long for it.
    pub(crate) fn stopping(&self, drain: Duration) {
        let wanted = drain + Duration::from_millis(STOP_MARGIN_MS);
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", wanted.as_micros()));
    }

    /// Tells it again and again that the daemon lives. This is a task of the one thread that all work runs
    /// on: where that thread hangs, nothing is told, and the service manager starts the daemon anew.
    pub(crate) async fn keep_alive(&self) {
        let Some(watchdog) = self.watchdog else { return };
        loop {
            self.tell("WATCHDOG=1");
            tokio::time::sleep(watchdog / 2).await;
        }
    }

    fn tell(&self, text: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(text.as_bytes(), address) {
            tracing::warn!(event = "service_manager_unheard", %error, "{text} was not delivered");
        }
    }
}
