//! The API for operators: who may, what it shows, and its description.

use serde_json::Value;
use shibuki::http::{HttpConfig, Keys};

use crate::support::{OBS, Reply, Server, WATCH};

fn root() -> Keys {
    let mut keys = Keys::default();
    keys.admin.add("root");
    keys
}

fn with(keys: Keys) -> HttpConfig {
    HttpConfig {
        keys: keys.into(),
        ..HttpConfig::default()
    }
}

async fn get(server: &Server, path: &str) -> Value {
    let reply = server.send("GET", path, &[], "").await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    assert_eq!(reply.header("cache-control"), "no-store");
    reply.has_cors();
    serde_json::from_str(&reply.text).unwrap()
}

#[tokio::test]
async fn sessions_are_listed_filtered_and_in_pieces() {
    let server = Server::open().await;
    let (publisher, _) = server.session("/whip/live", OBS).await;
    server.connect(&publisher);
    for _ in 0..4 {
        server.session("/whep/live", WATCH).await;
    }
    server.session("/whep/other", WATCH).await;
    let all = get(&server, "/api/v1/sessions").await;
    assert_eq!(all["sessions"].as_array().unwrap().len(), 6);
    assert!(all.get("next").is_none());
    for (query, count) in [
        ("role=publisher", 1),
        ("role=viewer", 5),
        ("stream=other", 1),
        ("stream=none", 0),
        ("state=connected", 1),
        ("state=accepted&stream=live", 4),
        ("state=connecting", 0),
    ] {
        let found = get(&server, &format!("/api/v1/sessions?{query}")).await;
        assert_eq!(found["sessions"].as_array().unwrap().len(), count, "{query}");
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/sessions?limit=4".to_owned();
    loop {
        let piece = get(&server, &path).await;
        let ids = piece["sessions"].as_array().unwrap().iter();
        seen.extend(ids.map(|session| session["id"].as_str().unwrap().to_owned()));
        let Some(next) = piece["next"].as_str() else { break };
        path = format!("/api/v1/sessions?limit=4&after={next}");
    }
    let expected: Vec<_> = all["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["id"].clone())
        .collect();
    assert_eq!(seen, expected);
    for bad in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "role=admin",
        "state=x",
        "stream=.x",
    ] {
        server
            .send("GET", &format!("/api/v1/sessions?{bad}"), &[], "")
            .await
            .is_problem(400);
    }
    let gone = "/api/v1/sessions?after=0000000000000000";
    server.send("GET", gone, &[], "").await.is_problem(410);
}

#[tokio::test]
async fn a_sessions_name_in_the_api_is_not_its_secret() {
    let server = Server::open().await;
    let (location, _) = server.session("/whip/live", OBS).await;
    server.connect(&location);
    let secret = location.strip_prefix("/session/").unwrap();
    let reply = server.send("GET", "/api/v1/sessions", &[], "").await;
    assert!(!reply.text.contains(secret));
    let session = &serde_json::from_str::<Value>(&reply.text).unwrap()["sessions"][0];
    let id = session["id"].as_str().unwrap();
    assert!(id.len() == 16 && secret.starts_with(id));
    assert_eq!(get(&server, &format!("/api/v1/sessions/{id}")).await, *session);
    assert_eq!(
        (&session["role"], &session["state"]),
        (&"publisher".into(), &"connected".into())
    );
    assert_eq!(session["current"], true);
    for (method, path) in [
        ("DELETE", format!("/session/{id}")),
        ("GET", "/api/v1/sessions/x".into()),
    ] {
        server.send(method, &path, &[], "").await.is_problem(404);
    }
}

#[tokio::test]
async fn with_a_key_configured_operators_need_it() {
    let server = Server::start(with(root())).await;
    let ask = async |key: Option<&str>| -> Reply {
        let value = format!("Bearer {}", key.unwrap_or_default());
        let headers = [("authorization", value.as_str())];
        let headers = if key.is_some() { &headers[..] } else { &[] };
        server.send("GET", "/api/v1/sessions", headers, "").await
    };
    ask(None).await.is_problem(401);
    ask(Some("wrong")).await.is_problem(401);
    assert_eq!(ask(Some("root")).await.status, 200);
    // It is no key to publish or to watch with, but nobody needs one here.
    assert_eq!(get(&server, "/api/v1/info").await["adminKeyRequired"], true);
}

#[tokio::test]
async fn a_key_for_something_else_is_no_operators() {
    let mut keys = root();
    keys.watch.add("look");
    let server = Server::start(with(keys)).await;
    let with = |key| server.send("GET", "/api/v1/sessions", key, "");
    with(&[("authorization", "Bearer look")]).await.is_problem(403);
    let streams = server.send("GET", "/api/v1/streams", &[("authorization", "Bearer root")], "");
    streams.await.is_problem(403);
}

#[tokio::test]
async fn without_a_key_only_this_machine_itself_is_answered() {
    let server = Server::open().await;
    for headers in [
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("origin", "https://evil.example"),
        ("host", "evil.example"),
    ] {
        server
            .send("GET", "/api/v1/sessions", &[headers], "")
            .await
            .is_problem(403);
    }
    assert_eq!(server.send("GET", "/api/v1/sessions", &[], "").await.status, 200);
}

#[tokio::test]
async fn the_description_is_openapi_3_1_and_names_every_address() {
    let server = Server::open().await;
    let reply = server.send("GET", "/api/openapi.json", &[], "").await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, "application/json")
    );
    let document: Value = serde_json::from_str(&reply.text).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace("{stream}", "none").replace("{id}", "none");
        for method in methods.as_object().unwrap().keys() {
            // It does not end.
            if path == "/api/v1/events" {
                continue;
            }
            let reply = server.send(&method.to_uppercase(), &path, &[], "").await;
            // Or it would not be ready any more.
            server.send("DELETE", "/api/v1/drain", &[], "").await;
            assert_ne!(reply.status, 405, "{method} {path}");
            assert!(reply.status < 500, "{method} {path}: {}", reply.text);
            assert!(
                !reply.text.contains("nothing is at this address"),
                "{method} {path}"
            );
        }
    }
    let page = server.send("GET", "/api", &[], "").await;
    assert!(page.status == 200 && page.text.contains("openapi.json"));
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'")
    );
}

#[tokio::test]
async fn the_process_says_that_it_is_alive_and_ready() {
    let server = Server::open().await;
    for (path, word) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let reply = server.send("GET", path, &[], "").await;
        assert_eq!((reply.status, reply.text.as_str()), (200, word));
    }
}

/// The only session's name in the API.
async fn only_session(server: &Server, role: &str) -> String {
    let found = get(server, &format!("/api/v1/sessions?role={role}")).await;
    found["sessions"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_operator_ends_sessions_and_streams() {
    let server = Server::open().await;
    let (viewer, _) = server.session("/whep/live", WATCH).await;
    let path = format!("/api/v1/sessions/{}", only_session(&server, "viewer").await);
    assert_eq!(server.send("DELETE", &path, &[], "").await.status, 204);
    server.send("DELETE", &path, &[], "").await.is_problem(404);
    server.send("DELETE", &viewer, &[], "").await.is_problem(404);

    for (query, left) in [("", 1), ("?viewers=true", 0)] {
        let (publisher, _) = server.session("/whip/live", OBS).await;
        server.connect(&publisher);
        server.session("/whep/live", WATCH).await;
        let reply = server
            .send("DELETE", &format!("/api/v1/streams/live{query}"), &[], "")
            .await;
        assert_eq!(reply.status, 204, "{}", reply.text);
        let rest = get(&server, "/api/v1/sessions").await;
        assert_eq!(rest["sessions"].as_array().unwrap().len(), left);
        for session in rest["sessions"].as_array().unwrap() {
            let path = format!("/api/v1/sessions/{}", session["id"].as_str().unwrap());
            server.send("DELETE", &path, &[], "").await;
        }
    }
    server
        .send("DELETE", "/api/v1/streams/none", &[], "")
        .await
        .is_problem(404);
}

#[tokio::test]
async fn an_operator_mutes_a_stream() {
    let server = Server::open().await;
    server.connect(&server.session("/whip/live", OBS).await.0);
    let change = async |body: &'static str| server.send("PATCH", "/api/v1/streams/live", &[], body).await;
    let muted = |reply: Reply| serde_json::from_str::<Value>(&reply.text).unwrap()["muted"].clone();
    let audio = change(r#"{"muted":{"audio":true}}"#).await;
    assert_eq!(muted(audio), serde_json::json!({"audio": true, "video": false}));
    let both = change(r#"{"muted":{"video":true}}"#).await;
    assert_eq!(muted(both), serde_json::json!({"audio": true, "video": true}));
    assert_eq!(get(&server, "/api/v1/streams/live").await["muted"]["video"], true);
    for bad in ["", "[]", r#"{"muted":{"sound":true}}"#, r#"{"muted":7}"#] {
        change(bad).await.is_problem(400);
    }
    let none = server.send("PATCH", "/api/v1/streams/none", &[], "{}").await;
    none.is_problem(404);
}

#[tokio::test]
async fn an_operator_chooses_a_viewers_layer() {
    let server = Server::open().await;
    server.connect(&server.session("/whip/live", OBS).await.0);
    server.session("/whep/live", WATCH).await;
    let choose = async |role: &'static str, wish: &'static str| {
        let path = format!("/api/v1/sessions/{}/layer", only_session(&server, role).await);
        server
            .send("POST", &path, &[("content-type", "application/json")], wish)
            .await
    };
    assert_eq!(choose("viewer", r#"{"maxHeight":360}"#).await.status, 204);
    choose("viewer", r#"{"rid":"none"}"#).await.is_problem(422);
    choose("viewer", "[").await.is_problem(400);
    choose("publisher", "{}").await.is_problem(404);
}

#[tokio::test]
async fn metrics_count_sessions_and_name_everything_once() {
    let server = Server::open().await;
    server.connect(&server.session("/whip/live", OBS).await.0);
    server.session("/whep/live", WATCH).await;
    let reply = server.send("GET", "/metrics", &[], "").await;
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    for line in [
        "shibuki_sessions{role=\"publisher\",state=\"connected\"} 1",
        "shibuki_sessions{role=\"viewer\",state=\"accepted\"} 1",
        "shibuki_sessions_accepted_total{role=\"viewer\"} 1",
        "shibuki_streams{state=\"live\"} 1",
        "shibuki_stream_viewers{stream=\"live\"} 1",
        "shibuki_join_seconds_count{role=\"publisher\",step=\"connected\"} 1",
    ] {
        let found = reply
            .text
            .lines()
            .any(|known| known.trim_end_matches(".0") == line);
        assert!(found, "{line} in\n{}", reply.text);
    }
    assert!(reply.text.ends_with("# EOF\n") && reply.text.matches("# EOF").count() == 1);
    let mut types: Vec<_> = reply
        .text
        .lines()
        .filter(|line| line.starts_with("# TYPE "))
        .collect();
    types.sort_unstable();
    assert!(types.windows(2).all(|pair| pair[0] != pair[1]), "{types:?}");
}

#[tokio::test]
async fn each_address_for_operators_asks_for_the_right() {
    let server = Server::start(with(root())).await;
    let id = "0".repeat(16);
    for (method, path) in [
        ("GET", "/api/v1/sessions".to_owned()),
        ("GET", format!("/api/v1/sessions/{id}")),
        ("DELETE", format!("/api/v1/sessions/{id}")),
        ("POST", format!("/api/v1/sessions/{id}/layer")),
        ("PATCH", "/api/v1/streams/live".to_owned()),
        ("DELETE", "/api/v1/streams/live".to_owned()),
        ("GET", "/api/v1/events".to_owned()),
        ("GET", "/api/v1/drain".to_owned()),
        ("POST", "/api/v1/drain".to_owned()),
        ("DELETE", "/api/v1/drain".to_owned()),
        ("GET", "/metrics".to_owned()),
    ] {
        server.send(method, &path, &[], "").await.is_problem(401);
        let wrong = [("authorization", "Bearer wrong")];
        server.send(method, &path, &wrong, "").await.is_problem(401);
    }
}
