use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use testkit::ScriptedEngine;

use crate::{
    daemon::{Daemon, Home, pool_of, scripted_task},
    waiting::wait_for,
};

/// Hands in a task over HTTP/2 and reads its whole stream.
async fn run_task(client: &reqwest::Client, base: &str) {
    // Nothing can be asked before the engine is attached.
    let task = scripted_task("[[tokens=5]]").to_string();
    let id = loop {
        let request = client.post(format!("{base}/v2/tasks")).body(task.clone());
        let request = request.header("x-correlation-id", "over-h2");
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        assert_eq!(answer.headers()["x-correlation-id"], "over-h2");
        assert_eq!(answer.version(), reqwest::Version::HTTP_2);
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().await.unwrap();
        if status == 202 {
            break body["task_id"].as_str().unwrap().to_owned();
        }
        assert_eq!(body["retriable"], true, "{body}");
    };
    let stream = client.get(format!("{base}/v2/tasks/{id}/events")).send().await.unwrap();
    assert_eq!(stream.version(), reqwest::Version::HTTP_2);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["x-correlation-id"].len(), 36, "a fresh one");
    let events = stream.text().await.unwrap();
    assert!(events.starts_with("retry: 1000\n\n") && events.contains("\nevent: end\n"), "{events}");
}

fn https(daemon: &Daemon) -> String {
    format!("https://localhost:{}", daemon.addr.port())
}

fn install_provider() {
    // Another test of this process may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Verifies: ORCH-237
#[tokio::test]
async fn a_task_is_handed_in_and_streamed_over_tls_and_http2() {
    install_provider();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &authority).unwrap();

    let engine = ScriptedEngine::start(&[]);
    let home = Home::new("");
    let (cert_file, key_file) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    std::fs::write(&cert_file, cert.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let tls = format!("[tls]\ncert = \"{cert_file}\"\nkey = \"{key_file}\"");
    home.configure(&format!("{}\n{tls}", pool_of(&engine)));
    let daemon = home.start();
    let trusted = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([trusted]).no_proxy().build().unwrap();
    run_task(&client, &https(&daemon)).await;

    // What is unfit at a hangup changes nothing.
    std::fs::write(&cert_file, "no certificate").unwrap();
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for("the signal is answered", || {
        let log = home.log();
        (log.contains("reload_refused") && log.contains("tls.cert")).then_some(())
    });
    run_task(&client, &https(&daemon)).await;

    // Without it the rest holds, and it is spoken on, also when its files are gone.
    std::fs::remove_file(&cert_file).unwrap();
    home.configure(&format!("{}\n[log]\nlevel = \"debug\"", pool_of(&engine)));
    hang_up(&home, &daemon, "\"need_restart\":\"tls.cert, tls.key\"");
    run_task(&client, &https(&daemon)).await;
}

/// Sends the signal, and waits for a line that answers it.
fn hang_up(home: &Home, daemon: &Daemon, expected: &str) {
    let before = home.log().len();
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for("the signal is answered", || {
        let log = &home.log()[before..];
        assert!(!log.contains("reload_refused"), "{log}");
        (log.contains(expected) && log.contains("\"reloaded\"")).then_some(())
    });
}

/// Verifies: ORCH-237, ORCH-285
#[tokio::test]
async fn tls_begins_with_a_restart_and_what_comes_with_it_holds_at_once() {
    install_provider();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.self_signed(&key).unwrap();
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start().ready();
    let (cert_file, key_file) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    std::fs::write(&cert_file, cert.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let tls = format!("[tls]\ncert = \"{cert_file}\"\nkey = \"{key_file}\"");
    let more = "[queue]\nmodel_capacity = 77";
    home.configure(&format!("{}\n{tls}\n{more}", pool_of(&engine)));
    hang_up(&home, &daemon, "\"need_restart\":\"tls.cert, tls.key\"");
    let able = daemon.get("/v2/meta/capabilities").json();
    assert_eq!(able["limits"]["queue_model_capacity"], 77);
    assert!(!able["features"].as_array().unwrap().contains(&"tls".into()), "{able}");
}

/// Verifies: ORCH-005, ORCH-274
#[tokio::test]
async fn http2_is_spoken_without_tls_to_whoever_begins_with_it() {
    install_provider();
    let engine = ScriptedEngine::start(&[]);
    let home = Home::scripted(&engine, "", "");
    let daemon = home.start();
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    run_task(&client, &format!("http://{}", daemon.addr)).await;
}
