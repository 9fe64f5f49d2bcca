//! SIGHUP and the API: the configuration is read again, and nobody who is connected notices.

#![expect(clippy::disallowed_methods, reason = "a test of the real clock")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use support::http;
use support::server::Process;
use support::stage::Stage;

/// Removed with the test.
struct File(PathBuf);

impl File {
    fn new(contents: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("reload-{}-{count}.toml", std::process::id());
        let file = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        file.write(contents);
        file
    }

    fn write(&self, contents: &str) {
        fs::write(&self.0, contents).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn wait(server: &Process, what: &str, done: impl Fn(&Process) -> bool) {
    let start = Instant::now();
    while !done(server) {
        assert!(start.elapsed() < support::DEADLINE, "{what}:\n{}", server.log());
        std::thread::yield_now();
    }
}

/// What the API answers to the wish.
fn reloaded(server: &Process, key: &str) -> http::Reply {
    let headers = format!("Authorization: Bearer {key}\r\n");
    http::request(server.at.http, "POST", "/api/v1/reload", &headers, b"")
}

fn published(server: &Process, key: &str) -> u16 {
    let headers = format!("Content-Type: application/sdp\r\nAuthorization: Bearer {key}\r\n");
    let offer = support::PUBLISH_PASSIVE.as_bytes();
    http::request(server.at.http, "POST", "/whip/other", &headers, offer).status
}

#[test]
fn sighup_changes_the_keys_and_ends_no_session() {
    let file = File::new("");
    let server = Process::start_with(&["--config", file.0.to_str().unwrap()]);
    let mut stage = Stage::on(server);
    assert_eq!(published(&stage.server, "any"), 201);

    file.write("workers = 7\n[keys]\npublish = \"good\"\nwatch = \"good\"\n");
    stage.server.signal("HUP");
    wait(&stage.server, "the new key counts", |server| {
        published(server, "any") == 401
    });
    assert_eq!(published(&stage.server, "good"), 201);
    let log = stage.server.log();
    assert!(
        log.contains("only after a restart") && log.contains("workers"),
        "{log}"
    );
    stage.exchange();

    // A mistake in the file costs nothing but a line in the log.
    file.write("[keys]\npublsh = \"none\"\n");
    stage.server.signal("HUP");
    wait(&stage.server, "the mistake is told", |server| {
        server.log().contains("stays as it was")
    });
    assert_eq!(published(&stage.server, "any"), 401);
    assert_eq!(published(&stage.server, "good"), 201);
    stage.exchange();
}

#[test]
fn the_api_says_what_changed_and_what_waits_for_a_restart() {
    let file = File::new("[keys]\nadmin = \"root\"\n");
    let server = Process::start_with(&["--config", file.0.to_str().unwrap()]);
    reloaded(&server, "guess").is_problem(401);
    let answer = |server: &Process, key: &str| -> serde_json::Value {
        let reply = reloaded(server, key);
        assert_eq!(reply.status, 200, "{reply:?}");
        serde_json::from_str(&reply.body).unwrap()
    };
    assert_eq!(
        answer(&server, "root"),
        serde_json::json!({"changed": [], "needsRestart": []})
    );
    assert_eq!(published(&server, "any"), 201);

    file.write("workers = 7\nmax-sessions = 5\n[keys]\nadmin = \"chief\"\npublish = \"good\"\n");
    let expected = serde_json::json!({
        "changed": ["keys.publish", "keys.admin", "max-sessions", "max-viewers-per-stream", "max-handshakes"],
        "needsRestart": ["workers"],
    });
    assert_eq!(answer(&server, "root"), expected);
    assert_eq!(published(&server, "any"), 401);
    assert_eq!(published(&server, "good"), 201);
    // The new key counts from now on; what waits for a restart is told until it happens.
    reloaded(&server, "root").is_problem(401);
    let expected = serde_json::json!({"changed": [], "needsRestart": ["workers"]});
    assert_eq!(answer(&server, "chief"), expected);

    file.write("[keys]\nadmin = \"chief\"\npublsh = \"none\"\n");
    let reply = reloaded(&server, "chief");
    reply.is_problem(422);
    assert!(
        reply.body.contains("stays as it was") && reply.body.contains("publsh"),
        "{reply:?}"
    );
    assert_eq!(published(&server, "any"), 401);
}
