//! Section C: authorisation.

use shibuki::http::HttpConfig;

use crate::support::{OBS, SDP, Server, WATCH, closed, trickle};

fn strict() -> HttpConfig {
    HttpConfig {
        strict_session_auth: true,
        ..closed()
    }
}

async fn post_as(server: &Server, path: &str, offer: &str, authorization: Option<&str>) -> u16 {
    let mut headers = vec![SDP];
    headers.extend(authorization.map(|value| ("authorization", value)));
    let reply = server.send("POST", path, &headers, offer.to_owned()).await;
    match reply.status {
        201 => {}
        status => reply.is_problem(status),
    }
    if reply.status == 401 {
        assert!(reply.header("www-authenticate").starts_with("Bearer realm=\""));
    }
    reply.status
}

#[tokio::test]
async fn point_27_no_or_a_wrong_key_is_401_and_one_for_something_else_403() {
    let server = Server::start(closed()).await;
    let cases = [
        ("/whip/live", OBS, None, 401),
        ("/whip/live", OBS, Some("Bearer wrong"), 401),
        ("/whip/live", OBS, Some("Basic YWxsOmFsbA=="), 401),
        ("/whip/live", OBS, Some("Bearer live-key"), 201),
        ("/whip/other", OBS, Some("Bearer live-key"), 403),
        ("/whip/other", OBS, Some("Bearer all"), 201),
        ("/whip/live", OBS, Some("Bearer look"), 403),
        ("/whep/live", WATCH, None, 401),
        ("/whep/live", WATCH, Some("Bearer look"), 201),
        ("/whep/live", WATCH, Some("Bearer live-key"), 403),
        ("/whep/other", WATCH, Some("Bearer look"), 403),
    ];
    for (path, offer, authorization, status) in cases {
        assert_eq!(
            post_as(&server, path, offer, authorization).await,
            status,
            "{path} {authorization:?}"
        );
    }
}

#[tokio::test]
async fn point_28_a_key_is_found_wherever_clients_put_it() {
    let server = Server::start(closed()).await;
    let cases = [
        ("/whip/live", Some("bearer live-key")),
        ("/whip/live", Some("BEARER   live-key  ")),
        ("/whip/live", Some("live-key")),
        ("/whip/live?token=live-key", None),
        ("/whip/live/?token=live-key", None),
        ("/whip/live/live-key", None),
        ("/whip/live/live-key/", None),
        ("/whip/live/live%2Dkey", None),
        ("/whip/live/live-key", Some("Bearer undefined")),
    ];
    for (path, authorization) in cases {
        assert_eq!(
            post_as(&server, path, OBS, authorization).await,
            201,
            "{path} {authorization:?}"
        );
    }
    assert_eq!(post_as(&server, "/whep/live/look", WATCH, None).await, 201);
    assert_eq!(post_as(&server, "/whep/live?token=look", WATCH, None).await, 201);
    assert_eq!(post_as(&server, "/whip/live/wrong", OBS, None).await, 401);
}

#[tokio::test]
async fn point_29_existing_streams_look_like_missing_ones_without_a_key() {
    let server = Server::start(closed()).await;
    assert_eq!(post_as(&server, "/whip/live", OBS, Some("live-key")).await, 201);
    let requests = [
        ("POST", "/whip/"),
        ("POST", "/whep/"),
        ("GET", "/whip/"),
        ("GET", "/whep/"),
    ];
    for (method, prefix) in [&requests[..], &[("GET", "/api/v1/streams/")]].concat() {
        for headers in [&[SDP][..], &[SDP, ("authorization", "Bearer wrong")]] {
            let ask = async |stream| {
                let mut reply = server
                    .send(method, &format!("{prefix}{stream}"), headers, WATCH)
                    .await;
                reply.headers.remove("date");
                (reply.status, reply.text, reply.headers)
            };
            assert_eq!(ask("live").await, ask("none").await, "{method} {prefix}");
        }
    }
}

#[tokio::test]
async fn point_30_the_session_url_alone_is_enough_by_default() {
    let server = Server::start(closed()).await;
    let (session, tag) = server.session("/whip/live?token=live-key", OBS).await;
    assert_eq!(
        server.patch(&session, Some(&tag), &trickle(OBS)).await.status,
        204
    );
    assert_eq!(server.send("DELETE", &session, &[], "").await.status, 200);
}

#[tokio::test]
async fn point_30_strict_sessions_need_the_right_that_made_them() {
    let server = Server::start(strict()).await;
    let (session, tag) = server.session("/whip/live?token=live-key", OBS).await;
    for method in ["PATCH", "DELETE"] {
        let ask = async |headers: &[(&str, &str)]| server.send(method, &session, headers, "").await;
        ask(&[]).await.is_problem(401);
        ask(&[("authorization", "Bearer wrong")]).await.is_problem(401);
        ask(&[("authorization", "Bearer look")]).await.is_problem(403);
    }
    let authorised = format!("{session}?token=live-key");
    assert_eq!(
        server.patch(&authorised, Some(&tag), &trickle(OBS)).await.status,
        204
    );
    assert_eq!(
        server
            .send("DELETE", &session, &[("authorization", "Bearer live-key")], "")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn point_31_whip_without_a_name_takes_the_stream_from_the_key() {
    let open = Server::open().await;
    for path in ["/whip", "/whip/"] {
        let headers = [SDP, ("authorization", "Bearer my-stream")];
        let reply = open.send("POST", path, &headers, OBS).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        open.connect(reply.header("location"));
        let stream = open.send("GET", "/api/v1/streams/my-stream", &[], "").await;
        assert!(stream.text.contains("\"publishing\":true"), "{}", stream.text);
        open.send("DELETE", reply.header("location"), &[], "").await;
        assert_eq!(post_as(&open, path, OBS, None).await, 401);
        assert_eq!(post_as(&open, path, OBS, Some("Bearer no/name")).await, 422);
    }

    let server = Server::start(closed()).await;
    let cases = [("live-key", 201), ("all", 403), ("look", 403), ("wrong", 401)];
    for (key, status) in cases {
        assert_eq!(post_as(&server, "/whip", OBS, Some(key)).await, status, "{key}");
    }
    let (session, _) = server.session("/whip?token=live-key", OBS).await;
    server.connect(&session);
    let stream = server
        .send("GET", "/api/v1/streams/live?token=look", &[], "")
        .await;
    assert!(stream.text.contains("\"publishing\":true"), "{}", stream.text);
}

#[tokio::test]
async fn point_31_a_trailing_slash_is_no_redirect() {
    let server = Server::open().await;
    let (session, _) = server.session("/whip/live/", OBS).await;
    server.session("/whep/live/", WATCH).await;
    assert_eq!(
        server
            .send("DELETE", &format!("{session}/"), &[], "")
            .await
            .status,
        200
    );
}
