//! Sections E and F: PATCH and DELETE.

use shibuki::http::{EtagMode, HttpConfig};

use crate::support::{OBS, Server, WATCH, attribute, fragment, trickle};

async fn strict() -> Server {
    Server::start(HttpConfig {
        etag_mode: EtagMode::Strict,
        ..HttpConfig::default()
    })
    .await
}

/// Credentials that no session has.
fn restart() -> String {
    fragment("neww", "a-new-password-of-22-and-more")
}

#[tokio::test]
async fn point_36_other_content_type_is_415_with_accept_patch() {
    let server = Server::open().await;
    let (session, tag) = server.session("/whip/live", OBS).await;
    for content_type in ["application/sdp", "application/json", ""] {
        let headers = [("content-type", content_type), ("if-match", tag.as_str())];
        let reply = server.send("PATCH", &session, &headers, trickle(OBS)).await;
        reply.is_problem(415);
        assert_eq!(reply.header("accept-patch"), "application/trickle-ice-sdpfrag");
    }
    let headers = [
        ("content-type", "Application/Trickle-ICE-sdpfrag; charset=utf-8"),
        ("if-match", tag.as_str()),
    ];
    assert_eq!(
        server
            .send("PATCH", &session, &headers, trickle(OBS))
            .await
            .status,
        204
    );
}

#[tokio::test]
async fn point_36_a_malformed_fragment_is_400() {
    let server = Server::open().await;
    let (session, tag) = server.session("/whip/live", OBS).await;
    for body in ["", "{}", "a=ice-ufrag:only\r\n", "\u{0}\u{1}"] {
        server.patch(&session, Some(&tag), body).await.is_problem(400);
    }
    assert_eq!(
        server.send("GET", &session, &[], "").await.status,
        204,
        "the session lives on"
    );
}

#[tokio::test]
async fn point_37_trickle_with_the_right_etag_is_204_each_time() {
    for server in [Server::open().await, strict().await] {
        let (session, tag) = server.session("/whip/live", OBS).await;
        for if_match in [tag.clone(), format!("\"other\", {tag}"), tag] {
            let reply = server.patch(&session, Some(&if_match), &trickle(OBS)).await;
            assert_eq!((reply.status, reply.text.as_str()), (204, ""));
            assert_eq!(reply.header("etag"), "");
            reply.has_cors();
        }
    }
}

#[tokio::test]
async fn point_38_strict_wants_if_match() {
    let server = strict().await;
    let (session, _) = server.session("/whip/live", OBS).await;
    for body in [trickle(OBS), restart()] {
        server.patch(&session, None, &body).await.is_problem(428);
        server
            .patch(&session, Some("\"wrong\""), &body)
            .await
            .is_problem(412);
    }
}

#[tokio::test]
async fn point_38_lenient_accepts_none_for_the_running_ice_session_only() {
    let server = Server::open().await;
    let (session, tag) = server.session("/whip/live", OBS).await;
    assert_eq!(server.patch(&session, None, &trickle(OBS)).await.status, 204);
    server.patch(&session, None, &restart()).await.is_problem(428);
    for wrong in ["\"wrong\"", &format!("W/{tag}")] {
        server
            .patch(&session, Some(wrong), &trickle(OBS))
            .await
            .is_problem(412);
    }
}

#[tokio::test]
async fn point_39_new_credentials_restart_ice() {
    for server in [Server::open().await, strict().await] {
        for star in ["*", "\"*\""] {
            let created = server.post("/whep/live", WATCH).await;
            let (session, tag) = (created.header("location"), created.header("etag"));
            let reply = server.patch(session, Some(star), &restart()).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            assert_eq!(reply.header("content-type"), "application/trickle-ice-sdpfrag");
            assert!(reply.header("etag").starts_with('"') && reply.header("etag") != tag);
            for name in ["ice-ufrag", "ice-pwd"] {
                assert_ne!(attribute(&reply.text, name), attribute(&created.text, name));
            }
            let count = |text: &str, line: &str| text.lines().filter(|l| l.starts_with(line)).count();
            assert!(count(&reply.text, "a=candidate:") >= 2, "{}", reply.text);
            for line in ["a=ice-lite", "a=ice-options"] {
                assert_eq!(
                    count(&reply.text, line) > 0,
                    count(&created.text, line) > 0,
                    "{line}"
                );
            }
            assert_eq!(
                reply.text.matches('\n').count(),
                reply.text.matches("\r\n").count()
            );
        }
    }
}

#[tokio::test]
async fn point_39_a_star_with_the_old_credentials_is_trickle() {
    for server in [Server::open().await, strict().await] {
        let (session, tag) = server.session("/whip/live", OBS).await;
        for star in ["*", "\"*\""] {
            assert_eq!(
                server.patch(&session, Some(star), &trickle(OBS)).await.status,
                204
            );
        }
        assert_eq!(
            server.patch(&session, Some(&tag), &trickle(OBS)).await.status,
            204,
            "the tag is still good"
        );
    }
}

#[tokio::test]
async fn point_40_after_a_restart_the_old_etag_is_412() {
    let server = Server::open().await;
    let (session, old) = server.session("/whip/live", OBS).await;
    let new = server
        .patch(&session, Some("*"), &restart())
        .await
        .header("etag")
        .to_owned();
    server
        .patch(&session, Some(&old), &restart())
        .await
        .is_problem(412);
    assert_eq!(server.patch(&session, Some(&new), &restart()).await.status, 204);
}

#[tokio::test]
async fn point_41_a_restart_that_cannot_be_leaves_the_session_alone() {
    let server = Server::open().await;
    let (session, tag) = server.session("/whip/live", OBS).await;
    let too_short = fragment("new", "short");
    let reply = server.patch(&session, Some("*"), &too_short).await;
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    reply.is_problem(reply.status);
    assert_eq!(
        server.patch(&session, Some(&tag), &trickle(OBS)).await.status,
        204
    );
}

#[tokio::test]
async fn point_42_candidates_of_no_use_are_dropped_in_silence() {
    let server = Server::open().await;
    let (session, tag) = server.session("/whip/live", OBS).await;
    let candidates = [
        "a=candidate:1 1 tcp 1518280447 198.51.100.1 9 typ host tcptype active\r\n",
        "a=candidate:1 1 udp 2113937151 5b8ee7b8-c1f8-4f1b.local 51040 typ host\r\n",
        "a=candidate:1 1 udp 2113937151 host.example 51040 typ host\r\n",
        "a=candidate:1 2 udp 2113937151 198.51.100.1 51040 typ host\r\n",
        "a=candidate:1 0 udp 2113937151 198.51.100.1 51040 typ host\r\n",
        "a=candidate:nonsense\r\n",
        "a=x-unknown:attribute\r\n",
        "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n",
    ];
    for candidate in candidates {
        let reply = server
            .patch(&session, Some(&tag), &format!("{}{candidate}", trickle(OBS)))
            .await;
        assert_eq!(reply.status, 204, "{candidate}: {}", reply.text);
    }
}

#[tokio::test]
async fn point_43_the_end_of_candidates_alone_is_fine_and_so_is_what_follows() {
    let server = Server::open().await;
    let (session, tag) = server.session("/whip/live", OBS).await;
    for body in [
        "a=end-of-candidates\r\n",
        &format!("a=end-of-candidates\r\n{}", trickle(OBS)),
    ] {
        for if_match in [Some(tag.as_str()), None] {
            assert_eq!(server.patch(&session, if_match, body).await.status, 204, "{body}");
        }
    }
}

#[tokio::test]
async fn point_44_credentials_may_stand_at_media_level() {
    let server = Server::open().await;
    let (session, tag) = server.session("/whip/live", OBS).await;
    let (ufrag, pwd) = (attribute(OBS, "ice-ufrag"), attribute(OBS, "ice-pwd"));
    let body = format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:9\r\n"
    );
    assert_eq!(server.patch(&session, Some(&tag), &body).await.status, 204);
    assert_eq!(
        server.patch(&session, None, &body).await.status,
        204,
        "and they are the running session's"
    );
}

#[tokio::test]
async fn point_44_overlapping_patches_all_get_an_answer() {
    let server = std::sync::Arc::new(Server::open().await);
    let (session, _) = server.session("/whip/live", OBS).await;
    let patches: Vec<_> = (0..32)
        .map(|i| {
            let (server, session) = (server.clone(), session.clone());
            let body = if i % 2 == 0 {
                trickle(OBS)
            } else {
                fragment(&format!("neww{i}"), &"p".repeat(24))
            };
            tokio::spawn(async move { server.patch(&session, Some("*"), &body).await.status })
        })
        .collect();
    for patch in patches {
        let status = patch.await.unwrap();
        assert!(status == 200 || status == 204, "{status}");
    }
}

#[tokio::test]
async fn point_44_an_unknown_session_is_404() {
    let server = Server::open().await;
    for path in [
        "/session/0123456789abcdef0123456789abcdef",
        "/session/x",
        "/session/..%2fx",
    ] {
        server.patch(path, Some("*"), &trickle(OBS)).await.is_problem(404);
        server.send("GET", path, &[], "").await.is_problem(404);
    }
}

#[tokio::test]
async fn point_45_delete_is_200_once_whatever_if_match_says() {
    let server = Server::open().await;
    for (endpoint, offer) in [("/whip/live", OBS), ("/whep/live", WATCH)] {
        let (session, _) = server.session(endpoint, offer).await;
        assert_eq!(
            server
                .send("DELETE", &session, &[("if-match", "\"wrong\"")], "")
                .await
                .status,
            200
        );
        server.send("DELETE", &session, &[], "").await.is_problem(404);
    }
}

#[tokio::test]
async fn point_47_after_the_end_every_method_is_404() {
    let server = Server::open().await;
    let (session, tag) = server.session("/whip/live", OBS).await;
    server.send("DELETE", &session, &[], "").await;
    server
        .patch(&session, Some(&tag), &trickle(OBS))
        .await
        .is_problem(404);
    server
        .patch(&session, Some("*"), &restart())
        .await
        .is_problem(404);
    server.send("GET", &session, &[], "").await.is_problem(404);
}
