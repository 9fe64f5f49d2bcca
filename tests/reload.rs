//! SIGHUP: the configuration is read again, and nobody who is connected notices.

#![expect(clippy::disallowed_methods, reason = "a test of the real clock")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use support::http;
use support::server::Process;
use support::stage::Stage;

/// Removed with the test.
struct File(PathBuf);

impl File {
    fn new(contents: &str) -> Self {
        let name = format!("reload-{}.toml", std::process::id());
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
