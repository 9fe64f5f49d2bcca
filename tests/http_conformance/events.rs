//! Point 60, server-sent events for a session's client; and those for operators.

use std::time::Duration;

use serde_json::{Value, json};
use shibuki::control::ControlConfig;
use shibuki::core::ids::WorkerId;
use shibuki::core::route::{EndReason, Notice};
use shibuki::http::{HttpConfig, ServeLimits};

use crate::support::{OBS, Reply, SDP, Server, WATCH, closed};

const JSON: (&str, &str) = ("content-type", "application/json");
const EVERY: &str = "active,inactive,layers,reconnect,viewercount,layerchange,videopaused,videoresumed";

/// An open event stream.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(server: &Server, path: &str) -> Self {
        let response = reqwest::get(format!("http://{}{path}", server.address))
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["access-control-allow-origin"], "*");
        let text = String::new();
        Self { response, text }
    }

    /// The next event's name and data; `None` when the stream ends.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let found = line("event: ").map(|name| {
                    let data = line("data: ").expect("an event has data");
                    (name.to_owned(), serde_json::from_str(data).unwrap())
                });
                self.text = rest.to_owned();
                match found {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.response.chunk());
            let chunk = chunk.await.expect("something comes").ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn expect(&mut self, name: &str, data: Value) {
        assert_eq!(self.next().await, Some((name.to_owned(), data)));
    }
}

async fn subscribe(server: &Server, session: &str, names: &str) -> Reply {
    let path = format!("{session}/sse");
    server.send("POST", &path, &[JSON], names.to_owned()).await
}

/// What a worker says of a session: this server has none.
fn ended(server: &Server, location: &str) {
    let session = location.strip_prefix("/session/").unwrap().parse().unwrap();
    let reason = EndReason::PeerClosed;
    server.notice(WorkerId(0), Notice::Ended { session, reason });
}

#[tokio::test]
async fn point_60_a_viewers_201_links_to_its_events() {
    let server = Server::open().await;
    let reply = server.post("/whep/live", WATCH).await;
    let expected = format!(
        "<{}/sse>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; events=\"{EVERY}\"",
        reply.header_at("location", 0)
    );
    assert_eq!(reply.header_at("link", 0), expected);
    reply.has_cors();
    assert_eq!(server.post("/whip/live", OBS).await.header("link"), "");
    // A page that publishes is told, without a comma.
    let headers = [SDP, ("origin", "https://studio.example")];
    let reply = server.send("POST", "/whip/page", &headers, OBS).await;
    let expected = format!(
        "<{}/sse>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"",
        reply.header("location")
    );
    assert_eq!(reply.header("link"), expected);
    let chosen = [("content-type", "application/json")];
    let path = format!("{}/sse", reply.header("location"));
    let names = r#"["findings","viewercount"]"#;
    assert_eq!(server.send("POST", &path, &chosen, names).await.status, 201);
}

#[tokio::test]
async fn point_60_events_are_subscribed_read_and_given_up() {
    let server = Server::open().await;
    let (session, _) = server.session("/whep/live", WATCH).await;
    let reply = subscribe(&server, &session, r#"["active","inactive","viewercount"]"#).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.has_cors();
    let location = reply.header("location").to_owned();
    let secret = location.strip_prefix(&format!("{session}/sse/")).unwrap();
    assert_eq!(secret.len(), 32);
    let mut events = Events::open(&server, &location).await;
    events.expect("inactive", json!({})).await;
    events.expect("viewercount", json!({"viewercount": 1})).await;
    let (publisher, _) = server.session("/whip/live", OBS).await;
    server.connect(&publisher);
    events.expect("active", json!({})).await;
    ended(&server, &publisher);
    events.expect("inactive", json!({})).await;
    server.session("/whep/live", WATCH).await;
    server.session("/whep/live", WATCH).await;
    server.sweep();
    events.expect("viewercount", json!({"viewercount": 3})).await;
    assert_eq!(server.send("DELETE", &location, &[], "").await.status, 200);
    assert_eq!(events.next().await, None);
    server.send("DELETE", &location, &[], "").await.is_problem(404);
    server.send("GET", &location, &[], "").await.is_problem(404);
}

#[tokio::test]
async fn point_60_a_takeover_is_told_as_the_end_of_one_and_the_start_of_another() {
    let server = Server::open().await;
    server.connect(&server.session("/whip/live", OBS).await.0);
    let (session, _) = server.session("/whep/live", WATCH).await;
    let reply = subscribe(&server, &session, r#"["active","inactive"]"#).await;
    let mut events = Events::open(&server, reply.header("location")).await;
    events.expect("active", json!({})).await;
    server.connect(&server.session("/whip/live", OBS).await.0);
    events.expect("inactive", json!({})).await;
    events.expect("active", json!({})).await;
}

#[tokio::test]
async fn point_60_what_is_no_list_of_known_names_is_refused() {
    let server = Server::open().await;
    let (viewer, _) = server.session("/whep/live", WATCH).await;
    let (publisher, _) = server.session("/whip/live", OBS).await;
    for bad in [
        "",
        "{}",
        "[]",
        r#"["activ"]"#,
        r#"["active",7]"#,
        r#"["findings"]"#,
    ] {
        subscribe(&server, &viewer, bad).await.is_problem(400);
    }
    subscribe(&server, &publisher, r#"["active"]"#)
        .await
        .is_problem(400);
    let path = format!("{viewer}/sse");
    let reply = server
        .send("POST", &path, &[("content-type", "text/plain")], "[\"active\"]")
        .await;
    reply.is_problem(415);
    assert_eq!(reply.header("accept-post"), "application/json");
    assert_eq!(server.send("OPTIONS", &path, &[], "").await.status, 204);
    server.send("GET", &path, &[], "").await.is_problem(405);
    let unknown = format!("/session/{}", "0".repeat(32));
    subscribe(&server, &unknown, r#"["active"]"#)
        .await
        .is_problem(404);
    let (none, short) = (
        format!("{viewer}/sse/{}", "0".repeat(32)),
        format!("{viewer}/sse/1"),
    );
    for path in [none, short] {
        server.send("GET", &path, &[], "").await.is_problem(404);
    }
}

#[tokio::test]
async fn a_subscription_has_one_reader_and_a_session_four_subscriptions() {
    let server = Server::open().await;
    let (session, _) = server.session("/whep/live", WATCH).await;
    let mut locations = Vec::new();
    for _ in 0..5 {
        let reply = subscribe(&server, &session, r#"["inactive"]"#).await;
        locations.push(reply.header("location").to_owned());
    }
    server.send("GET", &locations[0], &[], "").await.is_problem(404);
    let mut first = Events::open(&server, &locations[4]).await;
    first.expect("inactive", json!({})).await;
    let mut second = Events::open(&server, &locations[4]).await;
    second.expect("inactive", json!({})).await;
    assert_eq!(first.next().await, None);
    // With the session everything ends.
    assert_eq!(server.send("DELETE", &session, &[], "").await.status, 200);
    assert_eq!(second.next().await, None);
    server.send("GET", &locations[4], &[], "").await.is_problem(404);
}

#[tokio::test]
async fn who_listens_is_told_to_come_back_when_the_server_goes_down() {
    let server = Server::open().await;
    let (session, _) = server.session("/whep/live", WATCH).await;
    let reply = subscribe(&server, &session, r#"["reconnect"]"#).await;
    let mut events = Events::open(&server, reply.header("location")).await;
    server.shut_down();
    events.expect("reconnect", json!({"url": "/whep/live"})).await;
    assert_eq!(events.next().await, None);
    server.stop().await;
}

#[tokio::test]
async fn strict_sessions_want_a_key_for_their_events_but_not_to_read_them() {
    let server = Server::start(HttpConfig {
        strict_session_auth: true,
        ..closed()
    })
    .await;
    let (session, _) = server.session("/whep/live/look", WATCH).await;
    subscribe(&server, &session, r#"["inactive"]"#)
        .await
        .is_problem(401);
    let path = format!("{session}/sse");
    let headers = [JSON, ("authorization", "Bearer look")];
    let reply = server.send("POST", &path, &headers, r#"["inactive"]"#).await;
    assert_eq!(reply.status, 201);
    let mut events = Events::open(&server, reply.header("location")).await;
    events.expect("inactive", json!({})).await;
}

#[tokio::test]
async fn operators_see_what_happens_in_its_order() {
    let server = Server::open().await;
    let mut events = Events::open(&server, "/api/v1/events?stream=live").await;
    let mut drains = Events::open(&server, "/api/v1/events?names=draining,drain-ended").await;
    let (publisher, _) = server.session("/whip/live", OBS).await;
    server.connect(&publisher);
    server.connect(&server.session("/whip/other", OBS).await.0);
    let (viewer, _) = server.session("/whep/live", WATCH).await;
    server.connect(&viewer);
    ended(&server, &viewer);
    let (next, _) = server.session("/whip/live", OBS).await;
    server.connect(&next);
    ended(&server, &publisher);
    ended(&server, &next);
    let name = |location: &str| location["/session/".len()..][..16].to_owned();
    let mut numbers = Vec::new();
    for expected in [
        json!({"event": "stream-started", "session": name(&publisher)}),
        json!({"event": "viewer-joined", "session": name(&viewer), "viewers": 1}),
        json!({"event": "viewer-left", "session": name(&viewer), "viewers": 0, "reason": "closed by the client"}),
        json!({"event": "stream-taken-over", "session": name(&next), "previous": name(&publisher)}),
        json!({"event": "stream-stopped", "session": name(&next), "reason": "closed by the client"}),
    ] {
        let (event, mut data) = events.next().await.unwrap();
        let object = data.as_object_mut().unwrap();
        numbers.push(object.remove("number").unwrap().as_u64().unwrap());
        assert!(object.remove("at").unwrap().as_str().unwrap().ends_with('Z'));
        assert_eq!(object.remove("stream").unwrap(), "live");
        assert_eq!(
            (event.as_str(), &data),
            (expected["event"].as_str().unwrap(), &expected)
        );
    }
    assert!(numbers.is_sorted());
    let path = "/api/v1/drain";
    assert_eq!(server.send("POST", path, &[], "").await.status, 200);
    assert_eq!(drains.next().await.unwrap().0, "draining");
    assert_eq!(server.send("DELETE", path, &[], "").await.status, 200);
    assert_eq!(drains.next().await.unwrap().0, "drain-ended");
    server
        .send("GET", "/api/v1/events?names=x", &[], "")
        .await
        .is_problem(400);
}

#[tokio::test]
async fn statistics_come_every_second_where_they_are_asked_for() {
    let server = Server::open().await;
    server.session("/whep/live", WATCH).await;
    let mut events = Events::open(&server, "/api/v1/events?names=statistics").await;
    for _ in 0..2 {
        let (name, data) = events.next().await.unwrap();
        assert_eq!((name.as_str(), &data["sessions"]), ("statistics", &json!(1)));
        assert_eq!(data["streams"][0]["name"], "live");
        assert_eq!(data["draining"], false);
        assert!(
            data["server"]["memoryBytes"].as_u64().unwrap() > 1 << 20,
            "{data}"
        );
        assert_eq!(data["server"]["viewersLoss"], Value::Null);
    }
}

#[tokio::test]
async fn sessions_come_every_second_of_a_stream_or_alone() {
    let server = Server::open().await;
    let (viewer, _) = server.session("/whep/live", WATCH).await;
    let (publisher, _) = server.session("/whip/live", OBS).await;
    server.connect(&publisher);
    server.session("/whep/other", WATCH).await;
    let id = |location: &str| location.strip_prefix("/session/").unwrap()[..16].to_owned();
    let of_stream = "/api/v1/events?names=sessions&stream=live".to_owned();
    let of_one = format!("/api/v1/events?names=sessions&session={}", id(&viewer));
    for (path, expected) in [
        // The publisher first, though it came later.
        (of_stream, vec![id(&publisher), id(&viewer)]),
        (of_one, vec![id(&viewer)]),
        ("/api/v1/events?names=sessions&stream=.x".to_owned(), vec![]),
        ("/api/v1/events?names=sessions&session=0".to_owned(), vec![]),
    ] {
        let mut events = Events::open(&server, &path).await;
        for _ in 0..2 {
            let (name, data) = events.next().await.unwrap();
            assert_eq!(
                (name.as_str(), &data["total"]),
                ("sessions", &json!(expected.len()))
            );
            let ids = data["sessions"].as_array().unwrap().iter();
            let ids: Vec<_> = ids
                .map(|session| session["id"].as_str().unwrap().to_owned())
                .collect();
            assert_eq!(ids, expected, "{path}");
        }
    }
}

#[tokio::test]
async fn a_server_that_drains_takes_nobody_new() {
    let server = Server::open().await;
    let (session, _) = server.session("/whep/live", WATCH).await;
    let reply = subscribe(&server, &session, r#"["reconnect"]"#).await;
    let mut events = Events::open(&server, reply.header("location")).await;
    let drain = async |body: &'static str| server.send("POST", "/api/v1/drain", &[JSON], body).await;
    for bad in [
        "{",
        r#"{"redirect":"x"}"#,
        r#"{"redirect":"https://b/path"}"#,
        r#"{"to":1}"#,
        "[]",
    ] {
        drain(bad).await.is_problem(400);
    }
    let reply = drain("").await;
    let state: Value = serde_json::from_str(&reply.text).unwrap();
    assert_eq!(state, json!({"draining": true, "redirect": null, "sessions": 1}));
    let refused = server.post("/whep/live", WATCH).await;
    refused.is_problem(503);
    assert_eq!(refused.header("retry-after"), "10");
    server.send("GET", "/readyz", &[], "").await.is_problem(503);
    // With a place to go to, everybody is sent there.
    drain(r#"{"redirect":"https://b.example:8443/"}"#).await;
    let moved = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
        .post(format!("http://{}/whep/live?max-height=360", server.address))
        .header("content-type", "application/sdp")
        .body(WATCH)
        .send()
        .await
        .unwrap();
    assert_eq!(moved.status(), 307);
    assert_eq!(
        moved.headers()["location"],
        "https://b.example:8443/whep/live?max-height=360"
    );
    let url = "https://b.example:8443/whep/live";
    events.expect("reconnect", json!({ "url": url })).await;
    server.send("DELETE", "/api/v1/drain", &[], "").await;
    assert_eq!(server.post("/whep/live", WATCH).await.status, 201);
    assert_eq!(server.send("GET", "/readyz", &[], "").await.status, 200);
}

#[tokio::test]
async fn slow_readers_hold_up_nobody() {
    let limits = ServeLimits {
        write_timeout: Duration::from_millis(200),
        ..ServeLimits::default()
    };
    let server = Server::start_with(ControlConfig::default(), HttpConfig::default(), limits).await;
    // Never read.
    let _lazy = Events::open(&server, "/api/v1/events").await;
    let mut eager = Events::open(&server, "/api/v1/events").await;
    for _ in 0..300 {
        let (viewer, _) = server.session("/whep/live", WATCH).await;
        server.connect(&viewer);
        ended(&server, &viewer);
        assert_eq!(eager.next().await.unwrap().0, "viewer-joined");
        assert_eq!(eager.next().await.unwrap().0, "viewer-left");
    }
}
