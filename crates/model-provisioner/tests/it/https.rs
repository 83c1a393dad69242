use std::sync::Arc;

use catalog_core::VerifyResult;
use fetch::Authority;
use model_provisioner::{ProvisionError, Untrusted};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::world::{World, digest, model, untrusted};

/// A server with a certificate of its own, that gives one file for every path.
struct FileServer {
    reference: String,
    certificate_pem: String,
    _serving: JoinSet<()>, // dropping it ends the server
}

impl FileServer {
    async fn start(bytes: &[u8]) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reference = format!(
            "https://localhost:{}/dir/tiny%20one.gguf",
            listener.local_addr().unwrap().port()
        );
        let mut answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len()).into_bytes();
        answer.extend_from_slice(bytes);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let mut stream = acceptor.accept(connection).await.unwrap();
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(&answer).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        Self { reference, certificate_pem: cert.pem(), _serving: serving }
    }

    async fn world(&self) -> World {
        let url = self.reference.parse().unwrap();
        World::new(&[])
            .await
            .restarted(|config| {
                config.policy.listed.push(Authority::of(&url).unwrap());
                config.policy.extra_ca_pem.push(self.certificate_pem.clone().into_bytes());
            })
            .await
    }
}

/// Verifies: ORCH-183
#[tokio::test]
async fn a_file_behind_an_address_becomes_a_model() {
    let world = World::new(&[]).await; // installs the crypto provider
    drop(world);
    let bytes = model("one");
    let server = FileServer::start(&bytes).await;
    let world = server.world().await;
    let entry = world.ensure(&server.reference, None).await.unwrap();
    assert_eq!(
        (entry.id.digest(), entry.verify_result),
        (Some(digest(&bytes)), VerifyResult::Warn)
    );
    let expected = format!("models/{}/tiny_20one.gguf", digest(&bytes).folder_name());
    assert_eq!(world.cached_files(), [expected]);
    let world = World::restarted(world, |config| config.policy.enabled = false).await;
    world.ensure(&server.reference, Some(digest(&bytes))).await.unwrap();
}

/// Verifies: ORCH-185
#[tokio::test]
async fn a_file_of_another_digest_or_of_another_kind_is_deleted() {
    drop(World::new(&[]).await);
    let server = FileServer::start(&model("two")).await;
    let world = server.world().await;
    let outcome = world.ensure(&server.reference, Some(digest(&model("one")))).await;
    assert!(matches!(untrusted(&outcome), Untrusted::FetchedDigest { .. }));
    assert_eq!(world.cached_files(), [""; 0]);
    let page = FileServer::start(b"<html>not a model</html>").await;
    let world = page.world().await;
    let outcome = world.ensure(&page.reference, None).await;
    assert!(matches!(untrusted(&outcome), Untrusted::Header { .. }));
    assert_eq!(world.cached_files(), [""; 0]);
}

/// Verifies: ORCH-193
#[tokio::test]
async fn an_address_on_this_machine_has_to_be_listed() {
    drop(World::new(&[]).await);
    let server = FileServer::start(&model("one")).await;
    let world = server.world().await.restarted(|config| config.policy.listed.clear()).await;
    let outcome = world.ensure(&server.reference, None).await;
    assert!(matches!(**outcome.as_ref().unwrap_err(), ProvisionError::Fetch { .. }), "{outcome:?}");
}
