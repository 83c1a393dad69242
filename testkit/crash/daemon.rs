use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    choices::Choices,
    clock::{now, pause_ms},
    http::Request,
};

/// Longest time from a start to readiness.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Below the ports that the system takes for outgoing connections: a client that knocks while the daemon
/// is down could else be given the daemon's own port, connect to itself, and keep the daemon from it.
const PORTS: (u64, u64) = (20_000, 29_999);

/// How the daemon is started; the same each time.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) binary: Utf8PathBuf,
    pub(crate) config: Utf8PathBuf,
    /// Gets everything that the daemons print.
    pub(crate) log: Utf8PathBuf,
    pub(crate) address: SocketAddr,
}

impl Setup {
    /// Writes the configuration, these sections and its own, into a folder of its own.
    pub(crate) fn new(
        binary: &Utf8Path,
        folder: &Utf8Path,
        sections: &str,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))?;
        let folder = folder.canonicalize_utf8().with_context(|| format!("cannot find {folder}"))?;
        let address = free_address(&folder)?;
        let config = folder.join("config.toml");
        let data_dir = folder.join("data");
        let text =
            format!("data_dir = \"{data_dir}\"\n\n[server]\naddr = \"{address}\"\n\n{sections}");
        std::fs::write(&config, text).with_context(|| format!("cannot write {config}"))?;
        Ok(Self { binary: binary.to_owned(), config, log: folder.join("daemon.log"), address })
    }

    /// The folder of the event log.
    pub(crate) fn events(&self) -> Utf8PathBuf {
        self.config.with_file_name("data").join("events")
    }

    fn log(&self) -> anyhow::Result<File> {
        let open = OpenOptions::new().create(true).append(true).open(&self.log);
        open.with_context(|| format!("cannot write {}", self.log))
    }
}

/// An address on loopback that nothing listens on, tried in an order that differs from folder to folder.
fn free_address(folder: &Utf8Path) -> anyhow::Result<SocketAddr> {
    let mut choices = Choices::of(std::process::id().into(), folder.as_str(), 0);
    for _ in 0..1000 {
        let port = u16::try_from(choices.within(PORTS.0, PORTS.1)).expect("a port");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port of {} to {} is free", PORTS.0, PORTS.1)
}

/// A running daemon; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    address: SocketAddr,
    started: Instant,
}

impl Daemon {
    pub(crate) fn start(setup: &Setup, number: u32) -> anyhow::Result<Self> {
        let mut log = setup.log()?;
        writeln!(log, "=== start {number}").context("cannot write the daemon's log")?;
        let started = now();
        let child = Command::new(&setup.binary)
            .args(["--config", setup.config.as_str()])
            // Nothing of this machine's settings may change what it does.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the daemon's log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", setup.binary))?;
        Ok(Self { child, address: setup.address, started })
    }

    /// Waits until it takes work, and tells how long that took from the start.
    pub(crate) fn wait_until_ready(&mut self) -> anyhow::Result<Duration> {
        loop {
            let answer = Request::get("/readyz").answer(self.address);
            let elapsed = now().duration_since(self.started);
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok(elapsed);
            }
            self.expect_alive()?;
            if elapsed > READY_WITHIN {
                bail!("the daemon was not ready within {} s", READY_WITHIN.as_secs());
            }
            pause_ms(1);
        }
    }

    /// An error where it ended without being told to.
    pub(crate) fn expect_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("cannot look after the daemon")? {
            None => Ok(()),
            Some(status) => bail!("the daemon ended by itself with {status}"),
        }
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.expect_alive()?;
        self.child.kill().context("cannot kill the daemon")?;
        self.child.wait().context("cannot wait for the killed daemon")?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
