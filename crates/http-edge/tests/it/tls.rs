use http::Version;
use http_edge::{EdgeOptions, ServerTls, TlsFiles, UnfitTls};

use crate::{
    authority::{Authority, Pair},
    running_server::{RunningServer, local},
};

fn options(pair: &Pair) -> EdgeOptions {
    EdgeOptions { tls: Some(ServerTls::new(&pair.files()).unwrap()), ..local() }
}

fn url(server: &RunningServer, path: &str) -> String {
    format!("https://localhost:{}{path}", server.addr.port())
}

/// Verifies: ORCH-237
#[tokio::test]
async fn both_protocols_are_spoken_over_tls_as_the_client_chooses() {
    let authority = Authority::new("tests");
    let server = RunningServer::start(options(&authority.issue())).await;
    let check = async |client: reqwest::ClientBuilder, expected: Version| {
        let answer = client.build().unwrap().get(url(&server, "/v2/hello")).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, expected));
        assert!(answer.headers().contains_key("x-correlation-id"));
        assert_eq!(answer.text().await.unwrap(), "hello");
    };
    check(authority.client(), Version::HTTP_2).await;
    check(authority.client().http1_only(), Version::HTTP_11).await;
    // A client that trusts others does not come through, nor does plain text.
    let stranger = Authority::new("others").client().build().unwrap();
    assert!(stranger.get(url(&server, "/v2/hello")).send().await.is_err());
    let plain = format!("http://localhost:{}/v2/hello", server.addr.port());
    assert!(authority.client().build().unwrap().get(plain).send().await.is_err());
}

/// Verifies: ORCH-236, ORCH-237
#[tokio::test]
async fn the_own_origin_over_tls_is_https() {
    let authority = Authority::new("tests");
    let server = RunningServer::start(options(&authority.issue())).await;
    let client = authority.client().build().unwrap();
    for (scheme, status) in [("https", 200), ("http", 403)] {
        let origin = format!("{scheme}://localhost:{}", server.addr.port());
        let request = client.get(url(&server, "/v2/hello")).header("Origin", origin);
        assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{scheme}");
    }
}

/// Verifies: ORCH-237
#[tokio::test]
async fn with_a_client_authority_only_its_clients_come_in() {
    let authority = Authority::new("tests");
    let clients = Authority::new("clients");
    let (pair, ca) = (authority.issue(), clients.pem());
    let files = TlsFiles { client_ca: Some(ca.as_bytes()), ..pair.files() };
    let options = EdgeOptions { tls: Some(ServerTls::new(&files).unwrap()), ..local() };
    let server = RunningServer::start(options).await;
    let ask = async |identity: Option<Pair>| {
        let client = authority.client();
        let client = match identity {
            None => client,
            Some(Pair { cert, key }) => {
                let pem = format!("{cert}{key}");
                client.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap())
            }
        };
        client.build().unwrap().get(url(&server, "/v2/hello")).send().await
    };
    assert!(ask(None).await.is_err());
    assert!(ask(Some(authority.issue())).await.is_err(), "another authority's certificate");
    assert_eq!(ask(Some(clients.issue())).await.unwrap().status().as_u16(), 200);
}

/// Verifies: ORCH-237
#[tokio::test]
async fn certificates_are_replaced_while_connections_go_on() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let tls = ServerTls::new(&old.issue().files()).unwrap();
    let options = EdgeOptions { tls: Some(tls.clone()), ..local() };
    let server = RunningServer::start(options).await;
    let ask = async |client: &reqwest::Client| {
        client
            .get(url(&server, "/v2/hello"))
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
    };
    let open = old.client().build().unwrap();
    assert!(ask(&open).await);
    let unfit = tls.replace(&TlsFiles { key: b"", ..new.issue().files() });
    assert!(unfit.is_err());
    assert!(ask(&old.client().build().unwrap()).await, "what is unfit changes nothing");
    tls.replace(&new.issue().files()).unwrap();
    assert!(ask(&open).await, "the open connection goes on");
    assert!(ask(&new.client().build().unwrap()).await);
    assert!(!ask(&old.client().build().unwrap()).await);
}

/// Verifies: ORCH-274
#[tokio::test]
async fn a_handshake_that_stalls_is_closed_and_counts_as_a_connection() {
    let authority = Authority::new("tests");
    let mut options = options(&authority.issue());
    options.limits.head_read_timeout_ms = 100;
    options.limits.connections_max = 1;
    let server = RunningServer::start(options).await;
    let mut stalled = server.connect().await;
    while server.counters.connections_open() == 0 {
        tokio::task::yield_now().await;
    }
    let refused = authority.client().build().unwrap().get(url(&server, "/v2/hello")).send().await;
    assert!(refused.is_err());
    assert_eq!(server.counters.connections_refused(), 1);
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stalled, &mut bytes).await.unwrap();
    assert_eq!(bytes, b"");
}

/// Verifies: ORCH-237
#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new("tests");
    let (one, other) = (authority.issue(), authority.issue());
    let check = |files: TlsFiles<'_>, expected: &str| {
        let error: UnfitTls = ServerTls::new(&files).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(TlsFiles { cert: b"", ..one.files() }, "tls.cert holds no certificate in PEM form");
    check(TlsFiles { cert: b"x", ..one.files() }, "tls.cert holds no certificate in PEM form");
    check(TlsFiles { key: b"", ..one.files() }, "tls.key holds no private key in PEM form");
    check(
        TlsFiles { key: other.key.as_bytes(), ..one.files() },
        "tls.cert and tls.key cannot be used together",
    );
    check(
        TlsFiles { client_ca: Some(b""), ..one.files() },
        "tls.client_ca holds no certificate in PEM form",
    );
}
