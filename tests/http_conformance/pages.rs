//! The JSON that the pages read.

use serde_json::{Value, json};
use shibuki::http::{HttpConfig, Keys};

use crate::support::{OBS, Server, WATCH};

async fn get(server: &Server, path: &str) -> Value {
    let reply = server.send("GET", path, &[], "").await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("cache-control"), "no-store");
    reply.has_cors();
    serde_json::from_str(&reply.text).unwrap()
}

#[tokio::test]
async fn streams_are_listed_with_their_viewers() {
    let server = Server::open().await;
    assert_eq!(get(&server, "/api/v1/streams").await, json!({"streams": []}));
    server.session("/whep/live", WATCH).await;
    server.session("/whep/live", WATCH).await;
    let stream = get(&server, "/api/v1/streams/live").await;
    assert_eq!(
        (&stream["name"], &stream["publishing"], &stream["viewers"]),
        (&json!("live"), &json!(false), &json!(2))
    );
    assert_eq!(
        get(&server, "/api/v1/streams/").await,
        json!({"streams": [stream]})
    );
    server
        .send("GET", "/api/v1/streams/other", &[], "")
        .await
        .is_problem(404);
    server
        .send("GET", "/api/v1/streams/.other", &[], "")
        .await
        .is_problem(404);
}

#[tokio::test]
async fn a_published_stream_is_shown_with_its_codecs_and_its_age() {
    let server = Server::open().await;
    server.connect(&server.session("/whip/live", OBS).await.0);
    let expected = json!({
        "name": "live", "publishing": true, "viewers": 0,
        "video": {"codec": "H264"}, "audio": {"codec": "opus"}, "since": "2026-07-25T17:20:00Z",
        "muted": {"audio": false, "video": false},
    });
    assert_eq!(get(&server, "/api/v1/streams/live").await, expected);
}

#[tokio::test]
async fn a_watch_key_shows_only_its_own_streams() {
    let mut keys = Keys::default();
    keys.watch.add("all");
    keys.watch.add_for("one".parse().unwrap(), "look");
    let server = Server::start(HttpConfig {
        keys: keys.into(),
        ..HttpConfig::default()
    })
    .await;
    for path in ["/whip/one", "/whip/two"] {
        server.connect(&server.session(path, OBS).await.0);
    }
    let names = async |token| {
        let list = get(&server, &format!("/api/v1/streams?token={token}")).await;
        let name = |stream: &Value| stream["name"].as_str().unwrap().to_owned();
        let mut names: Vec<_> = list["streams"].as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    };
    assert_eq!(names("all").await, ["one", "two"]);
    assert_eq!(names("look").await, ["one"]);
    server
        .send("GET", "/api/v1/streams", &[], "")
        .await
        .is_problem(401);
    server
        .send("GET", "/api/v1/streams?token=wrong", &[], "")
        .await
        .is_problem(401);
    server
        .send("GET", "/api/v1/streams/two?token=look", &[], "")
        .await
        .is_problem(403);
}

#[tokio::test]
async fn info_says_what_a_client_needs_to_know() {
    let mut keys = Keys::default();
    keys.publish.add("key");
    let config = HttpConfig {
        version: "1.2.3".into(),
        media_port: 8080,
        keys: keys.into(),
        ..HttpConfig::default()
    };
    let expected = json!({
        "version": "1.2.3", "publishKeyRequired": true, "watchKeyRequired": false, "adminKeyRequired": false,
        "mediaPort": 8080,
    });
    assert_eq!(get(&Server::start(config).await, "/api/v1/info").await, expected);
}

#[tokio::test]
async fn health_is_200() {
    let reply = Server::open().await.send("GET", "/healthz", &[], "").await;
    assert_eq!(reply.status, 200);
}
