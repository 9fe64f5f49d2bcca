//! Section I: the WHEP layer extension, and the largest picture by query.

use crate::support::{Reply, Server, WATCH, closed};
use shibuki::http::HttpConfig;

const SIMULCAST: &str = include_str!("../offers/chromium-156-simulcast.sdp");
const JSON: (&str, &str) = ("content-type", "application/json");

/// A server with a publisher of the layers q, h, f on `live`.
async fn published() -> Server {
    let server = Server::open().await;
    let (publisher, _) = server.session("/whip/live", SIMULCAST).await;
    server.connect(&publisher);
    server
}

async fn choose(server: &Server, session: &str, wish: &str) -> Reply {
    let path = format!("{session}/layer");
    server.send("POST", &path, &[JSON], wish.to_owned()).await
}

#[tokio::test]
async fn point_61_a_viewers_201_links_to_its_layers_and_a_publishers_does_not() {
    let server = published().await;
    let reply = server.post("/whep/live", WATCH).await;
    let expected = format!(
        "<{}/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"",
        reply.header("location")
    );
    assert_eq!(reply.header_at("link", 1), expected);
    reply.has_cors();
    let publisher = server.post("/whip/other", SIMULCAST).await;
    assert_eq!(publisher.header("link"), "");
    choose(&server, publisher.header("location"), "{}")
        .await
        .is_problem(404);
}

#[tokio::test]
async fn point_61_a_layer_is_chosen_by_rid_and_given_up_again() {
    let server = published().await;
    let (session, _) = server.session("/whep/live", WATCH).await;
    for wish in [
        r#"{"mediaId":"0","rid":"h","maxTemporalLayerId":1}"#,
        r#"{"mediaId":"0","encodingId":"f"}"#,
        r#"{"rid":"q","maxHeight":360}"#,
        r#"{"mediaId":"0"}"#,
        "{}",
    ] {
        let reply = choose(&server, &session, wish).await;
        assert_eq!((reply.status, reply.text.as_str()), (200, ""), "{wish}");
        reply.has_cors();
    }
    let path = format!("{session}/layer");
    let given_up = server.send("DELETE", &path, &[], "").await;
    assert_eq!((given_up.status, given_up.text.as_str()), (200, ""));
    let options = server.send("OPTIONS", &path, &[], "").await;
    assert_eq!(
        (options.status, options.header("accept-post")),
        (204, "application/json")
    );
}

#[tokio::test]
async fn point_61_what_the_stream_does_not_have_is_422() {
    let server = published().await;
    let (session, _) = server.session("/whep/live", WATCH).await;
    for wish in [
        r#"{"mediaId":"0","rid":"x"}"#,
        r#"{"mediaId":"0","rid":""}"#,
        r#"{"mediaId":"0","encodingId":"Q"}"#,
        r#"{"mediaId":"no-such-mid","rid":"q"}"#,
    ] {
        choose(&server, &session, wish).await.is_problem(422);
    }
    // Nobody publishes there.
    let (session, _) = server.session("/whep/silent", WATCH).await;
    choose(&server, &session, r#"{"mediaId":"0","rid":"q"}"#)
        .await
        .is_problem(422);
    assert_eq!(choose(&server, &session, r#"{"mediaId":"0"}"#).await.status, 200);
}

#[tokio::test]
async fn a_wish_that_cannot_be_read_is_refused() {
    let server = published().await;
    let (session, _) = server.session("/whep/live", WATCH).await;
    for wish in [
        "",
        "[1]",
        "{",
        r#"{"rid":7}"#,
        r#"{"maxHeight":0}"#,
        r#"{"maxHeight":70000}"#,
    ] {
        choose(&server, &session, wish).await.is_problem(400);
    }
    let path = format!("{session}/layer");
    let reply = server
        .send("POST", &path, &[("content-type", "text/plain")], "{}")
        .await;
    reply.is_problem(415);
    assert_eq!(reply.header("accept-post"), "application/json");
    server.send("GET", &path, &[], "").await.is_problem(405);
    let unknown = format!("/session/{}", "0".repeat(32));
    choose(&server, &unknown, "{}").await.is_problem(404);
}

#[tokio::test]
async fn strict_sessions_want_a_key_for_their_layer_too() {
    let server = Server::start(HttpConfig {
        strict_session_auth: true,
        ..closed()
    })
    .await;
    let (session, _) = server.session("/whep/live/look", WATCH).await;
    choose(&server, &session, "{}").await.is_problem(401);
    let path = format!("{session}/layer");
    let headers = [JSON, ("authorization", "Bearer look")];
    assert_eq!(server.send("POST", &path, &headers, "{}").await.status, 200);
}

#[tokio::test]
async fn a_wish_for_little_delay_or_for_smoothness_is_one_of_three() {
    let server = published().await;
    for query in ["latency=low", "latency=auto", "latency=smooth&max-height=360"] {
        let reply = server.post(&format!("/whep/live?{query}"), WATCH).await;
        assert_eq!(reply.status, 201, "{query}: {}", reply.text);
    }
    for query in ["latency=", "latency=LOW", "latency=100"] {
        server
            .post(&format!("/whep/live?{query}"), WATCH)
            .await
            .is_problem(400);
    }
}

#[tokio::test]
async fn a_largest_height_by_query_is_a_number_of_pixels() {
    let server = published().await;
    for query in ["max-height=360", "max-height=1&token=none", "other=1", "token=x"] {
        let reply = server.post(&format!("/whep/live?{query}"), WATCH).await;
        assert_eq!(reply.status, 201, "{query}: {}", reply.text);
    }
    for query in [
        "max-height=",
        "max-height=0",
        "max-height=-1",
        "max-height=tall",
        "max-height=65536",
    ] {
        server
            .post(&format!("/whep/live?{query}"), WATCH)
            .await
            .is_problem(400);
    }
}
