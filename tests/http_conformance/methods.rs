//! Section B: GET, HEAD, OPTIONS, CORS.

use shibuki::http::{CorsOrigins, HttpConfig, IceServer, Keys};

use crate::support::{OBS, Server, WATCH};

const PREFLIGHT: [(&str, &str); 3] = [
    ("origin", "https://player.example"),
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "authorization,content-type"),
];

#[tokio::test]
async fn point_21_get_and_head_answer_without_a_body() {
    let server = Server::open().await;
    let (publisher, _) = server.session("/whip/live", OBS).await;
    let (viewer, _) = server.session("/whep/live", WATCH).await;
    for method in ["GET", "HEAD"] {
        for path in [
            "/whip/live",
            "/whip/live/",
            "/whip/never",
            "/whip",
            "/whip/",
            &publisher,
            &viewer,
        ] {
            let reply = server.send(method, path, &[], "").await;
            assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{method} {path}");
            reply.has_cors();
        }
        for path in ["/whep/live", "/whep/live/", "/whep/never"] {
            let reply = server.send(method, path, &[], "").await;
            assert_eq!((reply.status, reply.text.as_str()), (200, ""), "{method} {path}");
            assert_eq!(reply.header("content-type"), "application/sdp");
            assert_eq!(reply.header("content-length"), "0");
        }
    }
}

#[tokio::test]
async fn point_22_methods_without_a_meaning_are_405_with_allow() {
    let server = Server::open().await;
    let (session, _) = server.session("/whip/live", OBS).await;
    let cases = [
        (
            "PUT",
            vec![
                "/whip",
                "/whip/live",
                "/whep/live",
                &session,
                "/api/v1/streams",
                "/healthz",
            ],
        ),
        ("PATCH", vec!["/whip", "/whip/live", "/whip/live/", "/whep/live"]),
        ("DELETE", vec!["/whip", "/whip/live", "/whip/live/", "/whep/live"]),
    ];
    for (method, paths) in cases {
        for path in paths {
            let reply = server.send(method, path, &[], "").await;
            reply.is_problem(405);
            let allowed: Vec<_> = reply.header("allow").split(',').map(str::trim).collect();
            assert!(
                allowed.contains(&"GET") && !allowed.contains(&method),
                "{method} {path}: {allowed:?}"
            );
        }
    }
}

#[tokio::test]
async fn point_23_options_names_what_is_accepted_and_needs_no_key() {
    let server = Server::start(closed()).await;
    for path in ["/whip", "/whip/live", "/whip/live/", "/whep/live"] {
        for headers in [&PREFLIGHT[..], &[]] {
            let reply = server.send("OPTIONS", path, headers, "").await;
            assert_eq!(reply.status, 204, "{path}");
            assert_eq!(reply.header("accept-post"), "application/sdp");
            // A client that asks by itself, beside the browser's preflight, reads here that it may trickle.
            let methods = reply.header("access-control-allow-methods");
            assert!(methods.contains("PATCH"), "{methods}");
            reply.has_cors();
        }
    }
    let reply = server
        .send("OPTIONS", "/session/0123456789abcdef0123456789abcdef", &[], "")
        .await;
    assert_eq!(reply.status, 204);
    assert_eq!(reply.header("accept-patch"), "application/trickle-ice-sdpfrag");
}

#[tokio::test]
async fn point_24_a_preflight_names_methods_and_headers() {
    let server = Server::start(closed()).await;
    let session = "/session/0123456789abcdef0123456789abcdef";
    for path in [
        "/whip/live",
        "/whep/live",
        session,
        "/api/v1/streams",
        "/no/such/page",
    ] {
        let reply = server.send("OPTIONS", path, &PREFLIGHT, "").await;
        assert_eq!(reply.status, 204, "{path}");
        assert_eq!(
            reply.header("access-control-allow-methods"),
            "OPTIONS, GET, HEAD, POST, PATCH, DELETE"
        );
        let allowed = reply.header("access-control-allow-headers");
        for name in ["Authorization", "Content-Type", "If-Match", "ETag", "Link"] {
            assert!(
                allowed.split(", ").any(|header| header == name),
                "{name} in {allowed}"
            );
        }
        assert!(reply.header("access-control-max-age").parse::<u32>().unwrap() > 0);
    }
}

#[tokio::test]
async fn point_25_errors_are_problems_and_readable_across_origins() {
    let server = Server::start(closed()).await;
    let cases = [
        ("GET", "/no/such/page", 404),
        ("GET", "/session/unknown", 404),
        ("POST", "/whip/.hidden", 404),
        ("POST", "/whip/live", 401),
        ("POST", "/whip/%ff", 400),
        ("PUT", "/whip/live", 405),
        ("GET", "/api/v1/streams", 401),
    ];
    for (method, path, status) in cases {
        server.send(method, path, &[], "").await.is_problem(status);
    }
    server
        .send("POST", "/whip/live", &[], vec![0; 70_000])
        .await
        .is_problem(413);
    assert_eq!(server.send("HEAD", "/no/such/page", &[], "").await.text, "");
}

#[tokio::test]
async fn point_25_listed_origins_alone_are_allowed_where_there_is_a_list() {
    let origins = CorsOrigins::Only(vec!["https://a.example".into(), "https://b.example/".into()]);
    let server = Server::start(HttpConfig {
        cors_origins: origins,
        ..HttpConfig::default()
    })
    .await;
    let allowed = [
        ("https://a.example", true),
        ("https://b.example", true),
        ("https://c.example", false),
    ];
    for (origin, is_allowed) in allowed {
        let reply = server.send("GET", "/whip/live", &[("origin", origin)], "").await;
        assert_eq!(
            reply.header("access-control-allow-origin"),
            if is_allowed { origin } else { "" }
        );
        assert_eq!(reply.header("vary"), "Origin");
    }
}

#[tokio::test]
async fn point_26_ice_servers_are_on_options_for_those_who_may_but_not_on_a_preflight() {
    let server = Server::start(closed()).await;
    let key = ("authorization", "Bearer key");
    let links = async |path, headers: &[(&str, &str)]| {
        let reply = server.send("OPTIONS", path, headers, "").await;
        reply.headers.get_all("link").iter().count()
    };
    for path in ["/whip/live", "/whep/live"] {
        assert_eq!(links(path, &[key]).await, 1, "{path}");
        assert_eq!(links(path, &[]).await, 0, "{path}");
        assert_eq!(links(path, &[&PREFLIGHT[..], &[key]].concat()).await, 0, "{path}");
    }
}

/// A server with the key `key` for everything, and a TURN server.
fn closed() -> HttpConfig {
    let mut keys = Keys::default();
    keys.publish.add("key");
    keys.watch.add("key");
    let turn = IceServer {
        url: "turn:h".into(),
        username: Some("u".into()),
        credential: Some("c".into()),
    };
    HttpConfig {
        keys: keys.into(),
        ice_servers: vec![turn],
        ..HttpConfig::default()
    }
}
