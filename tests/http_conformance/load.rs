//! Point 20 and section D: rate limits, conflicts, caps.

use shibuki::control::ControlConfig;
use shibuki::http::{HttpConfig, ServeLimits};

use crate::support::{OBS, SDP, Server, WATCH, demanding};

fn limited(per_minute: u32) -> HttpConfig {
    HttpConfig {
        rate_limit: per_minute.try_into().ok(),
        rate_limit_loopback: true,
        ..HttpConfig::default()
    }
}

#[tokio::test]
async fn point_20_too_many_requests_are_429_with_retry_after() {
    let server = Server::start(limited(3)).await;
    let (session, _) = server.session("/whep/live", WATCH).await;
    for (method, path) in [("PATCH", session.as_str()), ("DELETE", &session)] {
        assert_ne!(server.send(method, path, &[], "").await.status, 429);
    }
    for method in ["POST", "PATCH", "DELETE"] {
        let reply = server.send(method, "/whep/live", &[SDP], WATCH).await;
        reply.is_problem(429);
        let wait: u64 = reply.header("retry-after").parse().unwrap();
        assert!((1..=20).contains(&wait), "{wait}");
    }
    for method in ["GET", "OPTIONS"] {
        assert!(
            server.send(method, "/whep/live", &[], "").await.status < 300,
            "{method} is not limited"
        );
    }
}

#[tokio::test]
async fn point_20_loopback_is_exempt_unless_set() {
    let server = Server::start(HttpConfig {
        rate_limit_loopback: false,
        ..limited(1)
    })
    .await;
    for _ in 0..5 {
        server.session("/whep/live", WATCH).await;
    }
}

#[tokio::test]
async fn point_20_clients_behind_a_trusted_proxy_are_told_apart() {
    let trusting = HttpConfig {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..limited(1)
    };
    let server = Server::start(trusting).await;
    let status = async |client| {
        let headers = [SDP, ("x-forwarded-for", client)];
        server.send("POST", "/whep/live", &headers, WATCH).await.status
    };
    assert_eq!(status("198.51.100.1").await, 201);
    assert_eq!(status("198.51.100.1").await, 429);
    assert_eq!(status("2001:db8:1:1::1").await, 201);
    assert_eq!(status("2001:db8:1:1::2").await, 429);
    assert_eq!(status("2001:db8:1:2::1").await, 201);
}

#[tokio::test]
async fn point_20_forwarded_addresses_of_strangers_are_not_believed() {
    let server = Server::start(limited(1)).await;
    let status = async |client| {
        let headers = [SDP, ("x-forwarded-for", client)];
        server.send("POST", "/whep/live", &headers, WATCH).await.status
    };
    assert_eq!(status("198.51.100.1").await, 201);
    assert_eq!(status("198.51.100.2").await, 429);
}

#[tokio::test]
async fn point_20_guessing_keys_by_get_is_limited_too() {
    let server = Server::start(limited(1)).await;
    let mut statuses = Vec::new();
    for guess in 0..12 {
        let reply = server
            .send("GET", &format!("/api/v1/streams?token={guess}"), &[], "")
            .await;
        statuses.push(reply.status);
    }
    assert_eq!(statuses, [&[200; 10][..], &[429; 2]].concat());
}

#[tokio::test]
async fn point_32_by_default_a_viewer_waits_for_the_publisher() {
    assert_eq!(Server::open().await.post("/whep/live", WATCH).await.status, 201);
}

#[tokio::test]
async fn point_32_a_viewer_without_a_publisher_is_409_where_one_is_demanded() {
    let server = Server::start_with(demanding(), HttpConfig::default(), ServeLimits::default()).await;
    let reply = server.post("/whep/live", WATCH).await;
    reply.is_problem(409);
    assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1);
    let (publisher, _) = server.session("/whip/live", OBS).await;
    server.connect(&publisher);
    assert_eq!(server.post("/whep/live", WATCH).await.status, 201);
}

#[tokio::test]
async fn point_33_a_second_publisher_is_409_where_the_first_is_kept() {
    let server = Server::start_with(demanding(), HttpConfig::default(), ServeLimits::default()).await;
    let (publisher, _) = server.session("/whip/live", OBS).await;
    server.connect(&publisher);
    let reply = server.post("/whip/live", OBS).await;
    reply.is_problem(409);
    assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn point_33_a_second_publisher_is_accepted_by_default() {
    let server = Server::open().await;
    let (one, _) = server.session("/whip/live", OBS).await;
    server.connect(&one);
    server.session("/whip/live", OBS).await;
    // The old one stays until the new one's media is up.
    assert_eq!(server.send("GET", &one, &[], "").await.status, 204);
}

#[tokio::test]
async fn point_35_a_cap_reached_is_503_with_retry_after() {
    let control = ControlConfig {
        max_sessions: 1,
        ..ControlConfig::default()
    };
    let server = Server::start_with(control, HttpConfig::default(), ServeLimits::default()).await;
    let (session, _) = server.session("/whep/live", WATCH).await;
    let reply = server.post("/whep/live", WATCH).await;
    reply.is_problem(503);
    assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1);
    server.send("DELETE", &session, &[], "").await;
    server.session("/whep/live", WATCH).await;
}
