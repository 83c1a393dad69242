use std::net::TcpListener;

use crate::{daemon::Home, waiting::wait_for};

/// Verifies: ORCH-161, ORCH-284
#[test]
fn a_server_that_never_answers_is_given_up_after_the_pools_own_time() {
    // The system takes connections for it; nobody ever reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let home = Home::new(&format!(
        "[pools.x]\nengine = \"openai\"\nurl = \"{url}\"\nfirst_byte_timeout_ms = 150\n"
    ));
    let daemon = home.start();
    wait_for("the pool says why it is not ready", || {
        let status = daemon.get("/v2/status").json();
        let error = status["pools"][0]["last_error"].as_str()?.to_owned();
        error.contains("did not answer within 150 ms").then_some(())
    });
    daemon.stop();
}
