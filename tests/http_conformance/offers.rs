//! Section A: POST an offer.

use shibuki::http::{HttpConfig, IceServer};

use crate::support::{FFMPEG, OBS, PUBLISH, Reply, SDP, Server, WATCH};

/// Every captured offer: its name, the endpoint it is for, its text.
macro_rules! offers {
    ($($endpoint:literal: $($name:literal)+;)+) => {
        [$($(($name, $endpoint, include_str!(concat!("../offers/", $name, ".sdp"))),)+)+]
    };
}
const ALL: [(&str, &str, &str); 19] = offers! {
    "/whip/live": "aiortc-1.16-sendonly" "chromium-156-sendonly" "chromium-156-simulcast" "ffmpeg-9.0-h264-opus"
        "firefox-153-simulcast" "gstreamer-1.28-whipclientsink" "gstreamer-1.28-whipsink" "obs-30.2-h264-opus"
        "obs-32.2-h264-opus" "obs-32.2-simulcast-3";
    "/whep/live": "aiortc-1.16-recvonly" "chromium-156-recvonly" "firefox-153-recvonly-h264" "firefox-153-recvonly"
        "gstreamer-1.28-whepclientsrc" "gstreamer-1.28-whepsrc" "wrtc-0.10-recvonly";
    "/whip/live/": "obs-32.2-h264-opus";
    "/whep/live/": "chromium-156-recvonly";
};

#[tokio::test]
async fn point_01_every_captured_offer_gets_201_with_an_answer() {
    for (name, endpoint, offer) in ALL {
        // A server each: a viewer is matched against what its stream carries.
        let reply = Server::open().await.post(endpoint, offer).await;
        assert_eq!(reply.status, 201, "{name}: {}", reply.text);
        assert_eq!(reply.header("content-type"), "application/sdp", "{name}");
        assert!(reply.text.starts_with("v=0\r\n"), "{name}");
        assert!(reply.text.ends_with("\r\n"), "{name}");
        assert_eq!(
            reply.text.matches('\n').count(),
            reply.text.matches("\r\n").count(),
            "{name}"
        );
        reply.has_cors();
    }
}

#[tokio::test]
async fn point_02_the_etag_is_strong_and_unique() {
    let server = Server::open().await;
    let tags = [
        server.session("/whep/a", WATCH).await.1,
        server.session("/whep/a", WATCH).await.1,
    ];
    for tag in &tags {
        let opaque = tag
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or_default();
        assert!(
            !opaque.is_empty() && opaque != "*" && !opaque.contains('"'),
            "{tag}"
        );
    }
    assert_ne!(tags[0], tags[1]);
}

#[tokio::test]
async fn point_03_location_is_an_absolute_path_with_an_unguessable_id() {
    let server = Server::open().await;
    let (one, _) = server.session("/whip/live?token=secret", PUBLISH).await;
    let (two, _) = server.session("/whip/live/secret", PUBLISH).await;
    assert_ne!(one, two);
    for location in [one, two] {
        let id = location
            .strip_prefix("/session/")
            .unwrap_or_else(|| panic!("{location}"));
        assert!(
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{location}"
        );
    }
}

#[tokio::test]
async fn point_04_all_candidates_are_in_the_answer_ipv4_udp_host_first() {
    let server = Server::open().await;
    for (name, endpoint, offer) in ALL {
        let answer = server.post(endpoint, offer).await.text;
        let candidates: Vec<_> = answer
            .lines()
            .filter_map(|line| line.strip_prefix("a=candidate:"))
            .collect();
        let first: Vec<_> = candidates[0].split(' ').collect();
        assert_eq!(first[2].to_lowercase(), "udp", "{name}");
        assert_eq!(first[4..8], ["192.0.2.1", "8080", "typ", "host"], "{name}");
        assert!(
            candidates
                .iter()
                .any(|candidate| candidate.contains("2001:db8::1 8080")),
            "{name}"
        );
        assert!(answer.contains("a=end-of-candidates\r\n"), "{name}");
        assert!(answer.len() < 8 * 1024, "{name}: {}", answer.len());
    }
}

#[tokio::test]
async fn point_05_other_content_type_is_415_with_accept_post() {
    let server = Server::open().await;
    for endpoint in ["/whip/live", "/whep/live"] {
        for content_type in [
            None,
            Some("text/plain"),
            Some("application/json"),
            Some("application/sdpx"),
            Some(""),
        ] {
            let headers: Vec<_> = content_type
                .map(|value| ("content-type", value))
                .into_iter()
                .collect();
            let reply = server.send("POST", endpoint, &headers, OBS).await;
            reply.is_problem(415);
            assert_eq!(reply.header("accept-post"), "application/sdp");
        }
    }
}

#[tokio::test]
async fn point_06_parameters_case_and_spaces_in_the_content_type_are_fine() {
    let server = Server::open().await;
    for value in [
        "application/sdp; charset=utf-8",
        "Application/SDP",
        "  application/sdp  ",
        "application/sdp ;q=1",
    ] {
        let reply = server
            .send("POST", "/whip/live", &[("content-type", value)], OBS)
            .await;
        assert_eq!(reply.status, 201, "{value:?}: {}", reply.text);
    }
}

#[tokio::test]
async fn point_07_malformed_sdp_is_400() {
    let server = Server::open().await;
    let binary: Vec<u8> = (0..=255).collect();
    let bodies: [Vec<u8>; 6] = [
        Vec::new(),
        OBS.strip_prefix("v=0\r\n").unwrap().into(),
        OBS[..80].into(),
        b"{\"type\":\"offer\"}".into(),
        binary,
        b"v=0\r\n\xff\xfe".into(),
    ];
    for endpoint in ["/whip/live", "/whep/live"] {
        for body in &bodies {
            server
                .send("POST", endpoint, &[SDP], body.clone())
                .await
                .is_problem(400);
        }
    }
}

#[tokio::test]
async fn point_07_a_body_over_the_cap_is_413() {
    let server = Server::open().await;
    for length in [64 * 1024 + 1, 900 * 1024] {
        server
            .send("POST", "/whip/live", &[SDP], vec![b'a'; length])
            .await
            .is_problem(413);
    }
    // At the cap, the content decides.
    server
        .send("POST", "/whip/live", &[SDP], vec![b'a'; 64 * 1024])
        .await
        .is_problem(400);
}

#[tokio::test]
async fn point_08_directions_are_mirrored_and_the_wrong_one_is_422() {
    let server = Server::open().await;
    let turned =
        |offer: &str, from: &str, to: &str| offer.replace(&format!("a={from}\r\n"), &format!("a={to}\r\n"));
    let direction = |reply: &Reply, is: &str, count| {
        let line = format!("a={is}\r\n");
        assert_eq!(reply.text.matches(&line).count(), count, "{is}: {}", reply.text);
    };
    direction(&server.post("/whip/a", PUBLISH).await, "recvonly", 2);
    direction(
        &server
            .post("/whip/a", &turned(PUBLISH, "sendonly", "sendrecv"))
            .await,
        "recvonly",
        2,
    );
    direction(&server.post("/whep/b", WATCH).await, "sendonly", 2);
    direction(
        &server
            .post("/whep/b", &turned(WATCH, "recvonly", "sendrecv"))
            .await,
        "sendonly",
        2,
    );
    for (endpoint, offer, from) in [("/whip/a", PUBLISH, "sendonly"), ("/whep/b", WATCH, "recvonly")] {
        let wrong = if from == "sendonly" {
            "recvonly"
        } else {
            "sendonly"
        };
        server
            .post(endpoint, &turned(offer, from, wrong))
            .await
            .is_problem(422);
        server
            .post(endpoint, &turned(offer, from, "inactive"))
            .await
            .is_problem(422);
    }
}

#[tokio::test]
async fn point_09_more_media_than_served_is_422() {
    let (session, media) = OBS.split_at(OBS.find("m=audio").unwrap());
    let second = media.replace("a=mid:0", "a=mid:2").replace("a=mid:1", "a=mid:3");
    Server::open()
        .await
        .post("/whip/live", &format!("{session}{media}{second}"))
        .await
        .is_problem(422);
}

#[tokio::test]
async fn point_10_whip_has_no_partial_answers_and_whep_needs_one_that_fits() {
    let no_video = |offer: &str| offer.replace("H264/90000", "H261/90000");
    let server = Server::open().await;
    server.post("/whip/live", &no_video(OBS)).await.is_problem(422);

    let (publisher, _) = server.session("/whip/live", OBS).await;
    server.connect(&publisher);
    let viewer = |video: &str, audio: &str| {
        let mut offer = WATCH.replace("opus/48000", &format!("{audio}/48000"));
        if video != "H264" {
            offer = offer.replace("H264/90000", &format!("{video}/90000"));
        }
        offer
    };
    let reply = server.post("/whep/live", &viewer("H264", "none")).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    assert!(reply.text.contains("\r\nm=audio 0 "), "{}", reply.text);
    let reply = server.post("/whep/live", &viewer("none", "none")).await;
    reply.is_problem(422);
    assert!(
        reply.text.contains("H264"),
        "the missing codec is named: {}",
        reply.text
    );
}

#[tokio::test]
async fn point_11_setup_is_answered_by_its_counterpart() {
    let server = Server::open().await;
    let offer = |setup| PUBLISH.replace("a=setup:actpass", &format!("a=setup:{setup}"));
    for (offered, answered) in [
        ("actpass", "passive"),
        ("active", "passive"),
        ("passive", "active"),
    ] {
        let reply = server.post("/whip/live", &offer(offered)).await;
        assert!(
            reply.text.contains(&format!("a=setup:{answered}\r\n")),
            "{offered}: {}",
            reply.text
        );
        assert!(!reply.text.contains("actpass"));
    }
    assert!(
        server
            .post("/whip/ff", FFMPEG)
            .await
            .text
            .contains("a=setup:active\r\n")
    );
}

#[tokio::test]
async fn point_12_bundle_is_not_demanded_of_one_m_line_and_unknown_mids_are_tolerated() {
    let server = Server::open().await;
    let audio_only = &OBS[..OBS.find("m=video").unwrap()];
    let cases = [
        audio_only.replace("a=group:BUNDLE 0 1\r\n", ""),
        audio_only.to_owned(),
        OBS.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0 1 7"),
    ];
    for offer in cases {
        let reply = server.post("/whip/live", &offer).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        assert!(reply.text.contains("a=rtcp-mux\r\n"));
    }
}

#[tokio::test]
async fn point_13_no_rtcp_mux_is_422() {
    let server = Server::open().await;
    for (endpoint, offer) in [("/whip/live", OBS), ("/whep/live", WATCH)] {
        server
            .post(endpoint, &offer.replace("a=rtcp-mux\r\n", ""))
            .await
            .is_problem(422);
    }
}

#[tokio::test]
async fn point_14_whep_answers_name_one_stream_for_all_tracks() {
    let answer = Server::open().await.post("/whep/live", WATCH).await.text;
    let msids: Vec<_> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("a=msid:"))
        .collect();
    let streams: Vec<_> = msids.iter().filter_map(|msid| msid.split(' ').next()).collect();
    assert_eq!(streams.len(), 2, "{answer}");
    assert_eq!(streams[0], streams[1]);
    assert_ne!(msids[0], msids[1]);
}

#[tokio::test]
async fn point_15_m_lines_and_mids_keep_their_order() {
    let server = Server::open().await;
    let shape = |sdp: &str| -> Vec<String> {
        let line = |line: &str| {
            let media = line
                .strip_prefix("m=")
                .map(|rest| rest.split(' ').next().unwrap_or_default().to_owned());
            media.or_else(|| line.strip_prefix("a=mid:").map(Into::into))
        };
        sdp.lines().filter_map(line).collect()
    };
    for (name, endpoint, offer) in ALL {
        assert_eq!(
            shape(&server.post(endpoint, offer).await.text),
            shape(offer),
            "{name}"
        );
    }
}

#[tokio::test]
async fn point_16_a_post_to_a_session_is_405_with_allow() {
    let server = Server::open().await;
    let (session, _) = server.session("/whip/live", OBS).await;
    // medooze's client mutes by a JSON POST.
    for content_type in ["application/sdp", "application/json"] {
        let reply = server
            .send("POST", &session, &[("content-type", content_type)], "{}")
            .await;
        reply.is_problem(405);
        let allowed: Vec<_> = reply.header("allow").split(',').map(str::trim).collect();
        assert!(
            ["GET", "PATCH", "DELETE"]
                .iter()
                .all(|method| allowed.contains(method)),
            "{allowed:?}"
        );
        assert!(!allowed.contains(&"POST"));
    }
}

#[tokio::test]
async fn point_17_two_posts_make_two_independent_sessions() {
    let server = Server::open().await;
    let (one, _) = server.session("/whep/live", WATCH).await;
    let (two, _) = server.session("/whep/live", WATCH).await;
    assert_ne!(one, two);
    assert_eq!(server.send("DELETE", &one, &[], "").await.status, 200);
    assert_eq!(server.send("GET", &two, &[], "").await.status, 204);
}

#[tokio::test]
async fn point_18_ice_servers_have_a_link_line_each() {
    let turn = IceServer {
        url: "turn:h?transport=udp".into(),
        username: Some("u".into()),
        credential: Some("c".into()),
    };
    let stun = IceServer {
        url: "stun:h:3478".into(),
        username: None,
        credential: None,
    };
    let unusable = IceServer {
        url: "stun:a,b".into(),
        ..stun.clone()
    };
    let config = HttpConfig {
        ice_servers: vec![stun, unusable, turn],
        ..HttpConfig::default()
    };
    let server = Server::start(config).await;
    for (endpoint, offer) in [("/whip/live", OBS), ("/whep/live", WATCH)] {
        let reply = server.post(endpoint, offer).await;
        let links: Vec<_> = reply
            .headers
            .get_all("link")
            .iter()
            .map(|link| link.to_str().unwrap())
            .filter(|link| link.contains("ice-server"))
            .collect();
        let expected = [
            "<stun:h:3478>; rel=\"ice-server\"",
            "<turn:h?transport=udp>; rel=\"ice-server\"; username=\"u\"; credential=\"c\"; credential-type=\"password\"",
        ];
        assert_eq!(links, expected);
    }
}
