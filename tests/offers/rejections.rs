//! Every reason to refuse, with its status and words.

use shibuki::sdp::OfferError;

use super::*;

#[test]
fn point_7_malformed_sdp_is_400() {
    let obs = captured("obs-32.2-h264-opus");
    let many_sections = made(&vec!["m=audio 9 UDP/TLS/RTP/SAVPF 0\n"; 33]);
    let many_types = made(&[&format!("m=audio 9 UDP/TLS/RTP/SAVPF{}\n", " 1".repeat(129))]);
    let long = obs.to_owned() + &"a=x\r\n".repeat(16 * 1024);
    let cases: &[(&str, OfferError)] = &[
        ("", OfferError::Empty),
        ("\r\n\r\n", OfferError::Empty),
        ("hello", OfferError::Line(1)),
        ("{\"type\":\"offer\"}", OfferError::Line(1)),
        ("v=0\r\n\u{0}\u{1}", OfferError::Binary(2)),
        ("v=0\r\na=mid:0\ra=evil\r\n", OfferError::Binary(2)),
        ("v=1\r\n", OfferError::Version),
        ("o=- 1 1 IN IP4 127.0.0.1\r\n", OfferError::Version),
        ("v=0\r\n", OfferError::Origin),
        ("v=0\r\no=- 1 1 IN\r\n", OfferError::Origin),
        (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n",
            OfferError::NoMedia,
        ),
        (&made(&["m=audio 9\n"]), OfferError::MediaLine(0)),
        (&many_sections, OfferError::TooManySections(32)),
        (&many_types, OfferError::TooManyFormats(128)),
        (&long, OfferError::TooLong(65536)),
        (&obs.replace("a=mid:1", "a=mid:0"), OfferError::DuplicateMid),
        (&obs.replace("a=mid:0", "a=mid:two words"), OfferError::Mid(0)),
        (&obs.replace("a=ice-ufrag:yxdq\r\n", ""), OfferError::NoIce),
        (
            &obs.replace("a=ice-ufrag:yxdq", "a=ice-ufrag:abc"),
            OfferError::Ice,
        ),
        (
            &obs.replace("a=ice-pwd:GC1XfTFNfqsxt+cB6sSFmm", "a=ice-pwd:short"),
            OfferError::Ice,
        ),
        (
            &obs.replace("a=ice-ufrag:yxdq", &format!("a=ice-ufrag:{}", "a".repeat(257))),
            OfferError::Ice,
        ),
        (
            &obs.replace("sha-256 D7:6B", "sha-256 D7:6"),
            OfferError::Fingerprint,
        ),
        (&obs.replace("sha-256 D7:", "sha-256 "), OfferError::Fingerprint),
        (
            &obs.replace("a=setup:actpass", "a=setup:holdconn"),
            OfferError::Setup,
        ),
    ];
    for (text, expected) in cases {
        let rejection = publish(text).expect_err(text);
        assert_eq!(rejection, Reject::Malformed(expected.clone()), "{text:.200}");
        assert_eq!(rejection.status(), 400);
    }
    let truncated = &obs[..obs.len() / 4];
    assert_eq!(
        publish(truncated).expect_err("a quarter of an offer").status(),
        400
    );
    let socks = publish(&made(&["m=socks 9 UDP/TLS/RTP/SAVPF 0\n"])).unwrap_err();
    assert_eq!(socks.status(), 400);
}

#[test]
fn point_8_publishers_must_send() {
    for direction in ["recvonly", "inactive"] {
        let expected = Reject::NotSending {
            kind: MediaKind::Video,
            direction,
        };
        assert_eq!(
            publish(&made(&[&audio("sendonly", ""), &video(direction, "")])).unwrap_err(),
            expected
        );
    }
    for (name, text) in VIEWERS {
        let rejection = publish(text).expect_err(name);
        assert!(
            matches!(rejection, Reject::NotSending { .. }) && rejection.status() == 422,
            "{name}"
        );
    }
    let (answer, _) = publish(&made(&[&audio("sendrecv", ""), &video("sendrecv", "")])).unwrap();
    assert_eq!(answer.matches("a=recvonly\r\n").count(), 2);
}

#[test]
fn point_8_viewers_must_receive() {
    for direction in ["sendonly", "inactive"] {
        let expected = Reject::NotReceiving {
            kind: MediaKind::Video,
            direction,
        };
        assert_eq!(
            watch(&made(&[&video(direction, "")]), None).unwrap_err(),
            expected
        );
        assert_eq!(expected.status(), 422);
    }
    for (name, text) in PUBLISHERS {
        assert!(
            matches!(watch(text, None).expect_err(name), Reject::NotReceiving { .. }),
            "{name}"
        );
    }
    let (answer, _) = watch(&made(&[&audio("sendrecv", ""), &video("sendrecv", "")]), None).unwrap();
    assert_eq!(answer.matches("a=sendonly\r\n").count(), 2);
}

#[test]
fn point_9_a_second_track_of_a_kind_is_refused() {
    let second = video("sendonly", "").replace("a=mid:1", "a=mid:2");
    let rejection = publish(&made(&[&video("sendonly", ""), &second])).unwrap_err();
    assert_eq!(rejection, Reject::TooManyTracks(MediaKind::Video));
    assert_eq!(rejection.status(), 422);
    let second = audio("sendonly", "").replace("a=mid:0", "a=mid:2");
    let rejection = publish(&made(&[&audio("sendonly", ""), &second])).unwrap_err();
    assert_eq!(rejection, Reject::TooManyTracks(MediaKind::Audio));
    // A viewer's second one is declined instead.
    let second = video("recvonly", "").replace("a=mid:1", "a=mid:2");
    let (answer, media) = watch(&made(&[&video("recvonly", ""), &second]), None).unwrap();
    assert_eq!((media.tracks.len(), read(&answer).media[1].get_port()), (1, 0));
}

#[test]
fn point_10_a_publisher_without_a_common_codec_is_refused_whole() {
    let theora = video("sendonly", "").replace("VP8/90000", "theora/90000");
    let rejection = publish(&made(&[&audio("sendonly", ""), &theora])).unwrap_err();
    assert_eq!(rejection, Reject::NoCommonCodec(MediaKind::Video));
    assert_eq!(rejection.status(), 422);
    assert!(rejection.to_string().contains("H264"), "{rejection}");
}

#[test]
fn point_10_a_viewer_with_nothing_left_hears_which_codec_it_lacks() {
    let video_only = made(&[&video("recvonly", "")]);
    for (codec, name) in [
        (Codec::H265 { profile_id: 1 }, "H265"),
        (H264, "H264"),
        (Codec::Vp9 { profile_id: 2 }, "VP9 profile 2"),
        (Codec::Av1 { profile: 0 }, "AV1"),
    ] {
        let stream = StreamCodecs {
            video: Some(codec),
            audio: Some(Codec::Opus),
        };
        let rejection = watch(&video_only, Some(&stream)).unwrap_err();
        assert_eq!(rejection, Reject::CodecNotOffered(codec));
        assert_eq!(
            rejection.to_string(),
            format!("the stream is {name}; this viewer did not offer it")
        );
        assert_eq!(rejection.status(), 422);
    }
    // Neither of its m-lines fits: the picture's reason is told.
    let pcm = audio("recvonly", "").replace("opus/48000/2", "PCMU/8000");
    let stream = StreamCodecs {
        video: Some(H264),
        audio: Some(Codec::Opus),
    };
    let rejection = watch(&made(&[&pcm, &video("recvonly", "")]), Some(&stream)).unwrap_err();
    assert_eq!(rejection, Reject::CodecNotOffered(H264));
    let rejection = watch(&made(&[&pcm]), None).unwrap_err();
    assert_eq!(rejection, Reject::NoCommonCodec(MediaKind::Audio));
}

#[test]
fn point_13_rtcp_mux_is_demanded_of_every_m_line() {
    let text = made(&[
        &audio("sendonly", ""),
        &video("sendonly", "").replace("a=rtcp-mux\n", ""),
    ]);
    let rejection = publish(&text).unwrap_err();
    assert_eq!((rejection.status(), rejection), (422, Reject::NoRtcpMux));
    let text = made(&[&video("recvonly", "").replace("a=rtcp-mux\n", "")]);
    assert_eq!(watch(&text, None).unwrap_err(), Reject::NoRtcpMux);
}

#[test]
fn weak_or_missing_fingerprints_are_refused() {
    let obs = captured("obs-32.2-h264-opus");
    let line = obs
        .lines()
        .find(|line| line.starts_with("a=fingerprint"))
        .unwrap();
    for replacement in [
        "a=ignored",
        "a=fingerprint:sha-1 68:79:6B:D6:11:55:52:BC:20:14:04:58:37:8C:C1:2F:A2:3B:D7:7D",
    ] {
        let rejection = publish(&obs.replace(line, replacement)).unwrap_err();
        assert_eq!((rejection.status(), rejection), (422, Reject::NoFingerprint));
    }
}

#[test]
fn what_cannot_share_one_transport_is_refused() {
    let other = video("sendonly", "").replace("a=ice-ufrag:abcd", "a=ice-ufrag:other");
    let text = made(&[&audio("sendonly", ""), &other]);
    publish(&text).expect("in a BUNDLE group the first m-line's transport serves all");
    let rejection = publish(&text.replace("a=group:BUNDLE 0 1\r\n", "")).unwrap_err();
    assert_eq!((rejection.status(), rejection), (422, Reject::NotBundled));

    let same_type = video("sendonly", "")
        .replace("SAVPF 96", "SAVPF 111")
        .replace("rtpmap:96", "rtpmap:111");
    let rejection = publish(&made(&[&audio("sendonly", ""), &same_type])).unwrap_err();
    assert_eq!(
        (rejection.status(), rejection),
        (422, Reject::PayloadTypeReused(111))
    );
}

#[test]
fn plain_rtp_no_media_and_endless_layers_are_refused() {
    let plain = video("sendonly", "").replace("UDP/TLS/RTP/SAVPF", "RTP/AVP");
    assert_eq!(
        publish(&made(&[&plain])).unwrap_err(),
        Reject::Protocol("RTP/AVP".to_owned())
    );
    let data = format!("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:0\n{TRANSPORT}");
    assert_eq!(publish(&made(&[&data])).unwrap_err(), Reject::NothingOffered);
    assert_eq!(watch(&made(&[&data]), None).unwrap_err(), Reject::NothingOffered);
    let layers: String = (0..9).map(|n| format!("a=rid:{n} send\n")).collect();
    assert_eq!(
        publish(&made(&[&video("sendonly", &layers)])).unwrap_err(),
        Reject::TooManyLayers(8)
    );
}
