//! An engine whose answers are known beforehand: an OpenAI-compatible HTTP server for tests. It prints
//! the address it listens on as one line on stdout.

mod answer;
mod options;
mod request;
mod request_log;
mod server;

use std::{io::Write as _, sync::Arc};

use clap::Parser as _;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{options::Options, server::Server};

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.exit_with_stdin {
        std::thread::spawn(|| {
            // Whether it ends or fails, whoever started this process is gone.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            std::process::exit(0);
        });
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind(options.listen).await?;
    // Who reads the address may look into the log at once.
    let server = Arc::new(Server::new(options)?);
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?)?;
    stdout.flush()?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let server = Arc::clone(&server);
        connections.spawn(async move {
            let service = service_fn(move |request| Arc::clone(&server).handle(request));
            // An error is a client that went away or a fault as directed; both are in the request log.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
