//! What the HTTP side writes to the log. Alone in its binary, because the log is the process's.

#[expect(dead_code, reason = "shared with the conformance tests")]
#[path = "http_conformance/support.rs"]
mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use support::{OBS, SDP, Server, closed};

#[tokio::test]
async fn point_29_keys_and_session_urls_stay_out_of_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_env_filter("off,shibuki=trace")
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let server = Server::start(closed()).await;
    for path in [
        "/whip/live?token=live-key",
        "/whip/live/live-key",
        "/whip?token=live-key",
        "/whip/live/wrong-key",
    ] {
        server
            .send("POST", path, &[SDP, ("authorization", "Bearer wrong-key")], OBS)
            .await;
    }
    let (session, _) = server.session("/whip/live/live-key", OBS).await;
    server
        .send("DELETE", &session, &[("authorization", "Bearer live-key")], "")
        .await;
    server
        .send("DELETE", &session, &[("authorization", "Bearer live-key")], "")
        .await;
    Server::open()
        .await
        .send("POST", "/whip", &[SDP, ("authorization", "Bearer open-key")], OBS)
        .await;

    let text = log.text();
    assert_eq!(
        text.matches(" INFO ").count(),
        9,
        "one line for each POST and DELETE, and one for the join that came to nothing: {text}"
    );
    let id = session.rsplit('/').next().unwrap();
    for secret in ["live-key", "wrong-key", "open-key", id, "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.contains(&id[..8]), "the short id is there: {text}");
}

/// Where the test's log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
