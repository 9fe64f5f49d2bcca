//! A thousand sessions: what operators ask for stays whole, and how long the server takes for it.
//!
//! The figures in docs/performance.md: `cargo test --release --test http_conformance thousand -- --nocapture`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use shibuki::core::ids::{SessionId, WorkerId};
use shibuki::core::route::Notice;
use shibuki::core::statistics::{MediaReport, PublisherReport, SessionReport, ViewerReport, WorkerReport};
use shibuki::http::HttpConfig;

use crate::support::{OBS, Server, WATCH};

const STREAMS: usize = 100;
const VIEWERS: usize = 9;
const TIMES: u32 = 20;

/// The mean time of one request, with its transport over loopback, and the last answer.
#[expect(clippy::disallowed_methods, reason = "a test of the real clock")]
async fn ask(server: &Server, path: &str) -> (Duration, String) {
    let mut text = server.send("GET", path, &[], "").await.text;
    let start = Instant::now();
    for _ in 0..TIMES {
        let reply = server.send("GET", path, &[], "").await;
        assert_eq!(reply.status, 200, "{path}");
        text = reply.text;
    }
    (start.elapsed() / TIMES, text)
}

/// The first event of a kind, and the time from the request to it.
#[expect(clippy::disallowed_methods, reason = "a test of the real clock")]
async fn first_event(server: &Server, path: &str) -> (Duration, Value) {
    let url = format!("http://{}{path}", server.address);
    let client = reqwest::Client::new();
    let start = Instant::now();
    let mut response = client.get(url).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("\n\n") {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    let took = start.elapsed();
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    (took, serde_json::from_str(data).unwrap())
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test of the real clock")]
async fn a_thousand_sessions_are_all_there() {
    let server = Server::start(HttpConfig::default()).await;
    let mut sessions = HashMap::new();
    for stream in 0..STREAMS {
        for viewer in 0..=VIEWERS {
            let (path, offer) = match viewer {
                0 => (format!("/whip/stream-{stream}"), OBS),
                _ => (format!("/whep/stream-{stream}"), WATCH),
            };
            let (location, _) = server.session(&path, offer).await;
            let session: SessionId = location.strip_prefix("/session/").unwrap().parse().unwrap();
            server.notice(WorkerId(0), Notice::Claimed { session });
            server.connect(&location);
            let media = match viewer {
                0 => MediaReport::Publisher(PublisherReport::default()),
                _ => MediaReport::Viewer(ViewerReport::default()),
            };
            let report = SessionReport {
                remote: None,
                srtp: None,
                first_packet: Some(Duration::from_millis(20)),
                first_keyframe: Some(Duration::from_millis(30)),
                media,
            };
            sessions.insert(session, report);
        }
    }
    let report = WorkerReport {
        sessions,
        ..WorkerReport::default()
    };
    server.notice(WorkerId(0), Notice::Report(Arc::new(report)));

    let start = Instant::now();
    server.sweep();
    println!("first look at all joins: {:?}", start.elapsed());
    let start = Instant::now();
    for _ in 0..TIMES {
        server.sweep();
    }
    println!("each second's look: {:?}", start.elapsed() / TIMES);

    let (took, metrics) = ask(&server, "/metrics").await;
    println!("/metrics: {took:?}, {} bytes", metrics.len());
    for line in [
        "shibuki_sessions{role=\"publisher\",state=\"connected\"} 100.0",
        "shibuki_sessions{role=\"viewer\",state=\"connected\"} 900.0",
        "shibuki_streams{state=\"live\"} 100.0",
        "shibuki_join_seconds_count{role=\"viewer\",step=\"first_keyframe\"} 900",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}");
    }

    let mut all = Duration::ZERO;
    for _ in 0..TIMES {
        let (took, update) = first_event(&server, "/api/v1/events?names=statistics").await;
        all += took;
        assert_eq!(update["sessions"], 1000);
        assert_eq!(update["streams"].as_array().unwrap().len(), STREAMS);
    }
    println!("a console's update, with connecting: {:?}", all / TIMES);

    let (took, list) = ask(&server, "/api/v1/sessions?limit=1000").await;
    println!("all sessions: {took:?}, {} bytes", list.len());
    let list: Value = serde_json::from_str(&list).unwrap();
    let list = list["sessions"].as_array().unwrap();
    assert_eq!(list.len(), 1000);
    assert!(
        list.iter()
            .all(|session| session["steps"]["firstKeyframeMs"].is_number())
    );
    let (took, _) = ask(&server, "/api/v1/streams?limit=1000").await;
    println!("all streams: {took:?}");
}
