use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use crate::{
    clock::{now, pause},
    http::Connection,
    options::Options,
    process::Process,
};

/// Longest time until a server answers.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The model that the engine serves.
pub(crate) const MODEL: &str = "scripted";

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// The scripted engine with these flags beside its own.
pub(crate) fn engine(options: &Options, slots: u32, flags: &[&str]) -> Result<Server> {
    let mut command = Command::new(&options.engine);
    command
        .args(["--directives", "--slots", &slots.to_string(), "--model", MODEL])
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut process = Process::start("the scripted engine", &mut command)?;
    let stdout = process.child_mut().stdout.take().expect("stdout is piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).context("the engine told no address")?;
    let address = line.trim().parse().context("the engine told no address")?;
    Ok(Server { process, address })
}

/// The daemon with its data under `folder`, one pool at `engine` with `slots`, and further configuration.
pub(crate) async fn daemon(
    options: &Options,
    folder: &Utf8Path,
    engine: SocketAddr,
    slots: u32,
    sections: &str,
) -> Result<Server> {
    let address = free_address()?;
    let pool =
        format!("[pools.bench]\nengine = \"openai\"\nurl = \"http://{engine}\"\nslots = {slots}\n");
    let config = daemon_config(folder, address, &format!("{pool}\n{sections}"))?;
    let process = spawn_daemon(options, folder, &config)?;
    let mut server = Server { process, address };
    server.answers("/readyz").await?;
    server.serves().await?;
    Ok(server)
}

/// Writes the configuration of a daemon.
pub(crate) fn daemon_config(
    folder: &Utf8Path,
    address: SocketAddr,
    sections: &str,
) -> Result<Utf8PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))?;
    let config = folder.join("config.toml");
    let data_dir = folder.join("data");
    let text = format!("data_dir = \"{data_dir}\"\n\n[server]\naddr = \"{address}\"\n{sections}");
    std::fs::write(&config, text).with_context(|| format!("cannot write {config}"))?;
    Ok(config)
}

/// Starts a daemon and does not wait for it.
pub(crate) fn spawn_daemon(
    options: &Options,
    folder: &Utf8Path,
    config: &Utf8Path,
) -> Result<Process> {
    let mut command = Command::new(&options.daemon);
    command.args(["--config", config.as_str()]).env_clear();
    quiet(&mut command, &folder.join("daemon.log"))?;
    Process::start("the daemon", &mut command)
}

/// nginx as a proxy of `engine` that passes each piece on at once.
pub(crate) async fn nginx(
    binary: &Utf8Path,
    folder: &Utf8Path,
    engine: SocketAddr,
) -> Result<Server> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))?;
    let address = free_address()?;
    let text = format!(
        "worker_processes 1;\ndaemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
         \x20 fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n\
         \x20 upstream engine {{ server {engine}; keepalive 512; }}\n\
         \x20 server {{\n    listen {address};\n    location / {{\n      proxy_pass http://engine;\n\
         \x20     proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      proxy_buffering off;\n\
         \x20     proxy_read_timeout 600s;\n    }}\n  }}\n}}\n"
    );
    let config = folder.join("nginx.conf");
    std::fs::write(&config, text).with_context(|| format!("cannot write {config}"))?;
    let mut command = Command::new(binary);
    command
        .args(["-c", config.as_str(), "-p", folder.as_str(), "-e"])
        .arg(folder.join("error.log"));
    quiet(&mut command, &folder.join("output.log"))?;
    let mut server = Server { process: Process::start("nginx", &mut command)?, address };
    server.answers("/health").await?;
    Ok(server)
}

/// vllm-router in front of `engine`, with what guards against overload switched wide open.
pub(crate) async fn vllm_router(
    binary: &Utf8Path,
    folder: &Utf8Path,
    engine: SocketAddr,
) -> Result<Server> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))?;
    let (address, metrics) = (free_address()?, free_address()?);
    let mut command = Command::new(binary);
    command
        .args(["--worker-urls", &format!("http://{engine}"), "--policy", "round_robin"])
        .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
        .args(["--prometheus-host", "127.0.0.1", "--prometheus-port", &metrics.port().to_string()])
        .args(["--max-concurrent-requests", "4096", "--log-level", "error"]);
    quiet(&mut command, &folder.join("output.log"))?;
    let mut server = Server { process: Process::start("vllm-router", &mut command)?, address };
    server.serves().await?;
    Ok(server)
}

impl Server {
    /// Waits until a path answers with success.
    async fn answers(&mut self, path: &str) -> Result<()> {
        let start = now();
        loop {
            if let Ok(mut connection) = Connection::open(self.address).await
                && let Ok(response) = connection.get(path).await
                && response.status().is_success()
            {
                return Ok(());
            }
            self.process.expect_alive()?;
            if now().duration_since(start) > READY_WITHIN {
                bail!("{path} of {} did not answer within {READY_WITHIN:?}", self.address);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a completion succeeds.
    async fn serves(&mut self) -> Result<()> {
        let start = now();
        let body = json!({"model": MODEL, "prompt": "[[tokens=1]]", "max_tokens": 1}).to_string();
        loop {
            let mut status = None;
            if let Ok(mut connection) = Connection::open(self.address).await
                && let Ok(response) = connection.post("/v1/completions", body.clone().into()).await
            {
                status = Some(response.status());
                if response.status().is_success() {
                    crate::http::body_of(response).await?;
                    return Ok(());
                }
            }
            self.process.expect_alive()?;
            if now().duration_since(start) > READY_WITHIN {
                bail!("{} served nothing within {READY_WITHIN:?}: {status:?}", self.address);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// An address on loopback that nothing listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    listener.local_addr().context("no port is free")
}

/// Everything that a process prints goes into a file.
fn quiet(command: &mut Command, log: &Utf8Path) -> Result<()> {
    let file = File::create(log).with_context(|| format!("cannot write {log}"))?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone().context("cannot share a log")?)
        .stderr(file);
    Ok(())
}

/// Waits outside of the runtime for readiness, asking as often as it can; for times to readiness.
pub(crate) fn wait_ready(process: &mut Process, address: SocketAddr) -> Result<Duration> {
    use std::io::{Read as _, Write as _};
    let start = now();
    loop {
        let mut answer = [0; 12];
        let asked = std::net::TcpStream::connect(address).and_then(|mut stream| {
            stream.write_all(
                b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            )?;
            stream.read_exact(&mut answer)
        });
        if asked.is_ok() && answer.ends_with(b"200") {
            return Ok(now().duration_since(start));
        }
        process.expect_alive()?;
        if now().duration_since(start) > READY_WITHIN {
            bail!("the daemon was not ready within {READY_WITHIN:?}");
        }
        pause(Duration::from_millis(1));
    }
}
