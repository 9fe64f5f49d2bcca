//! The end of the process: everybody is told, and it does not take long. OBS reconnects within 2 s after a
//! close_notify, and stops for good without one.

#![expect(clippy::disallowed_methods, reason = "a test of the real clock")]

mod support;

use std::io::Write;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use support::client::{Client, dtls_server};
use support::http;
use support::server::Process;
use support::stage::Stage;

/// From the signal to the end of the process.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// Its status, and how long it took from now.
fn ended(server: &mut Process) -> (ExitStatus, Duration) {
    let start = Instant::now();
    loop {
        if let Some(status) = server.exited() {
            return (status, start.elapsed());
        }
        assert!(
            start.elapsed() < support::DEADLINE,
            "it does not end:\n{}",
            server.log()
        );
        std::thread::yield_now();
    }
}

fn everybody_is_told(signal: &str) {
    let mut stage = Stage::new();
    let offer = support::PUBLISH_PASSIVE;
    let mut passive = Client::offer(stage.server.at, "/whip/passive", offer, dtls_server());
    passive.connect();
    // A session that never got further than its offer, one in the middle of its handshake, and an idle connection.
    let _unborn = Client::watch(stage.server.at, "innocent");
    let mut half = Client::watch(stage.server.at, "innocent");
    half.connect_ice();
    let _idle = http::connect(stage.server.at.http);

    stage.server.signal(signal);
    let (status, took) = ended(&mut stage.server);
    assert_eq!(status.code(), Some(0), "{status}:\n{}", stage.server.log());
    assert!(took < STOPS_WITHIN, "{took:?}");
    assert!(
        !stage.server.log().contains("did not end in time"),
        "{}",
        stage.server.log()
    );
    assert!(!stage.server.log().contains("panicked"), "{}", stage.server.log());

    // What was sent before the end is in the sockets.
    for client in [&mut stage.publisher, &mut passive]
        .into_iter()
        .chain(&mut stage.viewers)
    {
        client.pump();
        assert!(client.core.is_closed(), "close_notify");
    }
}

#[test]
fn sigterm_says_goodbye_to_everybody() {
    everybody_is_told("TERM");
}

#[test]
fn sigint_says_goodbye_to_everybody() {
    everybody_is_told("INT");
}

#[test]
fn requests_under_way_do_not_hold_it_up() {
    let mut server = Process::start();
    let mut slow: Vec<_> = (0..20).map(|_| http::connect(server.at.http)).collect();
    for connection in &mut slow {
        let head =
            "POST /whip/live HTTP/1.1\r\nHost: a\r\nContent-Type: application/sdp\r\nContent-Length: 500\r\n";
        connection.write_all(head.as_bytes()).unwrap();
    }
    for connection in slow.iter_mut().take(10) {
        connection.write_all(b"\r\nv=0\r\n").unwrap();
    }
    server.signal("TERM");
    let (status, took) = ended(&mut server);
    assert_eq!(status.code(), Some(0), "{status}:\n{}", server.log());
    assert!(took < STOPS_WITHIN, "{took:?}");
}

/// Both signals are there before the first is acted upon: whatever the stop does, the second ends it.
#[test]
fn a_second_signal_ends_it_at_once() {
    for (first, second) in [("TERM", "INT"), ("INT", "TERM")] {
        let mut stage = Stage::new();
        stage.server.signal("STOP");
        stage.server.signal(first);
        stage.server.signal(second);
        stage.server.signal("CONT");
        let (status, took) = ended(&mut stage.server);
        assert!(took < STOPS_WITHIN, "{took:?}");
        assert!(
            status.code().is_some_and(|code| code != 101),
            "an end of its own: {status}"
        );
    }
}
