use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle};

/// A connection that stays open; dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true).context("cannot set up a connection")?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.context("cannot speak HTTP")?;
        #[expect(clippy::disallowed_methods, reason = "the handle is kept, and ends it")]
        let driver = tokio::spawn(async move {
            // What goes wrong on the connection is told by the request it happens to.
            let _ = connection.await;
        });
        Ok(Self { address, sender, driver })
    }

    /// Posts JSON and returns the answer with its body still to come.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        let request = Request::post(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .expect("a valid head");
        self.sender.ready().await.context("the connection was closed")?;
        self.sender.send_request(request).await.with_context(|| format!("{path} failed"))
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Response<Incoming>> {
        let request = Request::get(path)
            .header(header::HOST, self.address.to_string())
            .body(Full::default())
            .expect("a valid head");
        self.sender.ready().await.context("the connection was closed")?;
        self.sender.send_request(request).await.with_context(|| format!("{path} failed"))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The whole body; an error where the status is no success.
pub(crate) async fn body_of(response: Response<Incoming>) -> Result<Bytes> {
    let status = response.status();
    let body = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
    if !status.is_success() {
        bail!("{status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(body)
}

/// The whole body as JSON; an error where the status is no success.
pub(crate) async fn json_of(response: Response<Incoming>) -> Result<Value> {
    serde_json::from_slice(&body_of(response).await?).context("the answer is no JSON")
}
