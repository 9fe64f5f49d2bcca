//! What stands in an answer.

use super::*;

/// Everything that holds for every answer, whoever asked.
fn check_answer(name: &str, offer_text: &str, answer_text: &str, direction: SdpAttributeType) {
    assert!(
        answer_text.starts_with("v=0\r\n") && answer_text.ends_with("\r\n"),
        "{name}"
    );
    assert_eq!(
        answer_text.matches('\n').count(),
        answer_text.matches("\r\n").count(),
        "{name}"
    );
    assert_eq!(
        answer_text.matches('\r').count(),
        answer_text.matches("\r\n").count(),
        "{name}"
    );
    assert!(
        answer_text.len() < 8 * 1024,
        "{name}: {} bytes",
        answer_text.len()
    );

    let (offer, answer) = (read(offer_text), read(answer_text));
    assert!(
        answer.get_attribute(SdpAttributeType::IceLite).is_some(),
        "{name}"
    );
    assert_eq!(answer.media.len(), offer.media.len(), "{name}");
    let mut accepted_mids = Vec::new();
    for (index, (offered, answered)) in offer.media.iter().zip(&answer.media).enumerate() {
        let name = format!("{name}, m-line {index}");
        assert_eq!(answered.get_type(), offered.get_type(), "{name}");
        assert_eq!(
            answered.get_proto().to_string(),
            offered.get_proto().to_string(),
            "{name}"
        );
        let mid = attributes(answered, SdpAttributeType::Mid);
        assert_eq!(mid, attributes(offered, SdpAttributeType::Mid), "{name}");
        let offered_types = payload_types(offered);
        let answered_types = payload_types(answered);
        assert!(
            !answered_types.is_empty() && answered_types.iter().all(|pt| offered_types.contains(pt)),
            "{name}"
        );
        if answered.get_port() == 0 {
            continue;
        }
        accepted_mids.extend(mid.iter().map(|mid| mid.trim_start_matches("mid:").to_owned()));
        check_section(&name, offered, answered, direction.clone());
    }
    let group = answer.attribute.iter().find_map(|attribute| match attribute {
        SdpAttribute::Group(group) => Some(group.tags.clone()),
        _ => None,
    });
    assert_eq!(group, Some(accepted_mids), "{name}");
    let end = answer_text.matches("a=end-of-candidates\r\n").count();
    assert_eq!(end, 1, "{name}");
}

fn check_section(name: &str, offered: &SdpMedia, answered: &SdpMedia, direction: SdpAttributeType) {
    assert_eq!(answered.get_port(), 9, "{name}");
    assert!(answered.get_attribute(direction).is_some(), "{name}");
    assert!(
        answered.get_attribute(SdpAttributeType::RtcpMux).is_some(),
        "{name}"
    );
    for kind in [
        SdpAttributeType::IceUfrag,
        SdpAttributeType::IcePwd,
        SdpAttributeType::Fingerprint,
    ] {
        assert_eq!(answered.get_attributes_of_type(kind).len(), 1, "{name}");
    }
    let rsize = |media: &SdpMedia| media.get_attribute(SdpAttributeType::RtcpRsize).is_some();
    assert_eq!(rsize(answered), rsize(offered), "{name}");
    let offered_extensions = extmaps(offered);
    assert!(
        extmaps(answered)
            .iter()
            .all(|entry| offered_extensions.contains(entry)),
        "{name}"
    );
    // Payload types and feedback keep their meaning to the letter.
    for kind in [SdpAttributeType::Rtpmap, SdpAttributeType::Rtcpfb] {
        let known = attributes(offered, kind.clone());
        for line in attributes(answered, kind) {
            assert!(known.contains(&line), "{name}: {line}");
        }
    }
    assert_eq!(
        attributes(answered, SdpAttributeType::Rtpmap).len(),
        payload_types(answered).len(),
        "{name}"
    );
    let transport_feedback = attributes(answered, SdpAttributeType::Rtcpfb)
        .iter()
        .any(|l| l.ends_with("transport-cc"));
    let transport_extension = extmaps(answered)
        .iter()
        .any(|(_, uri)| uri.contains("transport-wide-cc"));
    assert_eq!(transport_feedback, transport_extension, "{name}");
}

#[test]
fn point_15_every_captured_publisher_gets_a_matching_answer() {
    for (name, text) in PUBLISHERS {
        let (answer, media) = publish(text).unwrap_or_else(|reject| panic!("{name}: {reject}"));
        check_answer(name, text, &answer, SdpAttributeType::Recvonly);
        assert_eq!(media.tracks.len(), read(text).media.len(), "{name}");
        assert!(
            read(&answer).media.iter().all(|media| media.get_port() == 9),
            "{name}"
        );
        assert!(
            !answer.contains("playout-delay") && !answer.contains("a=msid"),
            "{name}"
        );
        for bad in [
            " red/90000",
            " ulpfec/",
            " flexfec",
            " CN/",
            "telephone-event",
            "PCMU",
            "G722",
        ] {
            assert!(!answer.contains(bad), "{name}: {bad}");
        }
        // RFC 2198 for sound is taken from whoever offers it; for pictures from nobody.
        let offered = text.contains(" red/48000");
        assert_eq!(answer.contains(" red/48000"), offered, "{name}");
    }
}

#[test]
fn point_15_every_captured_viewer_gets_a_matching_answer_while_waiting() {
    for (name, text) in VIEWERS {
        let (answer, media) = watch(text, None).unwrap_or_else(|reject| panic!("{name}: {reject}"));
        check_answer(name, text, &answer, SdpAttributeType::Sendonly);
        assert_eq!(media.tracks.len(), 2, "{name}");
        assert_eq!(answer.contains("goog-remb"), text.contains("goog-remb"), "{name}");
    }
}

#[test]
fn viewers_that_offer_feedback_about_the_network_are_taken_at_their_word() {
    let ids = |name: &str| {
        let (_, media) = watch(captured(name), Some(&H264_AND_OPUS)).unwrap();
        let of = |kind| viewer_track(&media, kind).extensions;
        let (video, audio) = (of(MediaKind::Video), of(MediaKind::Audio));
        let fed_back = viewer_track(&media, MediaKind::Video).codecs[0].feedback;
        assert_eq!(
            fed_back.transport_cc,
            video.transport_cc.is_some(),
            "{name}: the one is no use without the other"
        );
        let remb = fed_back.remb;
        (video.transport_cc, audio.transport_cc, video.abs_send_time, remb)
    };
    assert_eq!(ids("chromium-156-recvonly"), (Some(4), Some(4), None, true));
    assert_eq!(ids("firefox-153-recvonly-h264"), (Some(7), Some(7), None, true));
    // REMB alone is worked out from the time of sending.
    assert_eq!(ids("aiortc-1.16-recvonly"), (None, None, Some(3), true));
    // Feedback without the extension.
    assert_eq!(ids("gstreamer-1.28-whepclientsrc"), (None, None, None, false));
}

#[test]
fn point_14_viewer_answers_announce_one_stream_and_its_ssrcs() {
    for (name, text) in VIEWERS {
        let (answer, media) = watch(text, None).unwrap();
        for (section, track) in read(&answer).media.iter().zip(&media.tracks) {
            let kind = if track.kind == MediaKind::Audio {
                "audio"
            } else {
                "video"
            };
            assert_eq!(
                attributes(section, SdpAttributeType::Msid),
                [format!("msid:live {kind}")],
                "{name}"
            );
            let ssrc = track.ssrc;
            assert!(
                answer.contains(&format!("a=ssrc:{ssrc} cname:live\r\n")),
                "{name}"
            );
            assert!(
                answer.contains(&format!("a=ssrc:{ssrc} msid:live {kind}\r\n")),
                "{name}"
            );
            let rtx = track.codecs.iter().any(|codec| codec.rtx.is_some());
            assert_eq!(track.rtx_ssrc.is_some(), rtx, "{name}");
            if let Some(rtx) = track.rtx_ssrc {
                assert_ne!(rtx, ssrc);
                assert!(
                    answer.contains(&format!("a=ssrc-group:FID {ssrc} {rtx}\r\n")),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn the_live_codec_comes_first_and_the_others_stay_for_the_next_publisher() {
    let cases = [
        ("chromium-156-recvonly", H264, 108),
        ("chromium-156-recvonly", Codec::Vp9 { profile_id: 2 }, 100),
        ("firefox-153-recvonly-h264", H264, 126),
        ("gstreamer-1.28-whepclientsrc", H264, 97),
        ("aiortc-1.16-recvonly", H264, 101),
        ("wrtc-0.10-recvonly", Codec::Av1 { profile: 0 }, 39),
    ];
    for (name, video, pt) in cases {
        let stream = StreamCodecs {
            video: Some(video),
            audio: Some(Codec::Opus),
        };
        let (answer, media) = watch(captured(name), Some(&stream)).unwrap();
        check_answer(name, captured(name), &answer, SdpAttributeType::Sendonly);
        let track = viewer_track(&media, MediaKind::Video);
        assert_eq!(track.codecs[0].pt.0, pt, "{name}");
        assert!(
            track.codecs.iter().any(|entry| entry.codec == Codec::Vp8),
            "{name}"
        );
        let section = read(&answer)
            .media
            .iter()
            .find(|m| attributes(m, SdpAttributeType::Msid)[0].ends_with("video"))
            .map(payload_types)
            .unwrap();
        assert_eq!(section[0], u32::from(pt), "{name}");
    }
}

#[test]
fn packetization_mode_0_is_left_out_where_mode_1_is_offered() {
    let (_, media) = watch(captured("chromium-156-recvonly"), Some(&H264_AND_OPUS)).unwrap();
    let track = viewer_track(&media, MediaKind::Video);
    let modes: Vec<u8> = track
        .codecs
        .iter()
        .filter_map(|entry| match entry.codec {
            Codec::H264 {
                packetization_mode, ..
            } => Some(packetization_mode),
            _ => None,
        })
        .collect();
    assert_eq!(modes, [1, 1, 1, 1]);
    // GStreamer names no mode, which means 0: it stays.
    let (_, media) = watch(captured("gstreamer-1.28-whepclientsrc"), None).unwrap();
    let track = viewer_track(&media, MediaKind::Video);
    assert!(track.codecs.iter().any(|e| matches!(
        e.codec,
        Codec::H264 {
            packetization_mode: 0,
            ..
        }
    )));
}

#[test]
fn point_10_a_viewer_without_the_live_video_codec_keeps_its_audio() {
    let text = captured("wrtc-0.10-recvonly");
    let (answer, media) = watch(text, Some(&H264_AND_OPUS)).unwrap();
    check_answer("wrtc", text, &answer, SdpAttributeType::Sendonly);
    let parsed = read(&answer);
    assert_eq!(parsed.media[0].get_port(), 0);
    assert_eq!(parsed.media[1].get_port(), 9);
    assert_eq!(media.tracks.len(), 1);
    assert_eq!(media.tracks[0].kind, MediaKind::Audio);
    assert_eq!(media.tracks[0].mid.as_str(), "1");
    // The first accepted m-section has the candidates (point 4).
    assert!(attributes(&parsed.media[0], SdpAttributeType::Candidate).is_empty());
    assert_eq!(attributes(&parsed.media[1], SdpAttributeType::Candidate).len(), 3);
}

#[test]
fn a_medium_the_stream_lacks_stays_accepted() {
    let audio_only = StreamCodecs {
        video: None,
        audio: Some(Codec::Opus),
    };
    let (_, media) = watch(captured("firefox-153-recvonly"), Some(&audio_only)).unwrap();
    assert_eq!(media.tracks.len(), 2);
}

#[test]
fn point_4_candidates_stand_once_best_first_in_the_first_section() {
    let (answer, _) = publish(captured("ffmpeg-9.0-h264-opus")).unwrap();
    let candidates: Vec<&str> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("a=candidate:"))
        .collect();
    assert_eq!(candidates.len(), 3);
    assert!(candidates[0].ends_with(" 203.0.113.7 8443 typ host"));
    assert!(candidates[1].ends_with(" 2001:db8::7 8443 typ host"));
    let fields = |n: usize| candidates.iter().map(move |line| line.split(' ').nth(n).unwrap());
    assert!(fields(1).all(|component| component == "1") && fields(2).all(|transport| transport == "udp"));
    let priorities: Vec<u32> = fields(3).map(|text| text.parse().unwrap()).collect();
    assert!(priorities.is_sorted_by(|a, b| a > b));
    let parsed = read(&answer);
    assert_eq!(attributes(&parsed.media[0], SdpAttributeType::Candidate).len(), 3);
    assert!(
        parsed.media[0]
            .get_attribute(SdpAttributeType::EndOfCandidates)
            .is_some()
    );
    assert!(attributes(&parsed.media[1], SdpAttributeType::Candidate).is_empty());
}

#[test]
fn point_11_setup_passive_is_answered_active_and_all_else_passive() {
    let setup = |text: &str| {
        let role = Offer::parse(text).unwrap().dtls_role();
        let (answer, _) = publish(text).unwrap();
        let lines: Vec<String> = answer
            .lines()
            .filter_map(|line| line.strip_prefix("a=setup:"))
            .map(str::to_owned)
            .collect();
        (format!("{role:?}"), lines)
    };
    let passive = vec!["passive".to_owned(), "passive".to_owned()];
    let active = vec!["active".to_owned(), "active".to_owned()];
    assert_eq!(
        setup(captured("ffmpeg-9.0-h264-opus")),
        ("Client".to_owned(), active)
    );
    assert_eq!(
        setup(captured("obs-32.2-h264-opus")),
        ("Server".to_owned(), passive.clone())
    );
    let offered_active = captured("obs-32.2-h264-opus").replace("setup:actpass", "setup:active");
    assert_eq!(setup(&offered_active), ("Server".to_owned(), passive));
}

#[test]
fn point_56_simulcast_is_answered_layer_by_layer_in_the_same_order() {
    for (name, rids) in [
        ("obs-32.2-simulcast-3", ["0", "1", "2"]),
        ("chromium-156-simulcast", ["q", "h", "f"]),
        ("firefox-153-simulcast", ["q", "h", "f"]),
    ] {
        let (answer, media) = publish(captured(name)).unwrap();
        let [a, b, c] = rids;
        let at = |line: String| {
            answer
                .find(&line)
                .unwrap_or_else(|| panic!("{name}: no {line}\n{answer}"))
        };
        let first = at(format!("a=rid:{a} recv\r\n"));
        assert!(first < at(format!("a=rid:{b} recv\r\n")) && first < at(format!("a=rid:{c} recv\r\n")));
        at(format!("a=simulcast:recv {a};{b};{c}\r\n"));
        let track = publisher_track(&media, MediaKind::Video);
        let negotiated: Vec<&str> = track.rids.iter().map(|rid| rid.as_str()).collect();
        assert_eq!(negotiated, rids, "{name}");
        assert!(track.extensions.rid.is_some(), "{name}");
    }
}

#[test]
fn point_56_paused_layers_and_alternatives_are_accepted() {
    let more = "a=rid:a send\na=rid:b send max-width=640;pt=96\na=rid:c send\na=simulcast:send a,b;~c;undeclared recv x\n";
    let (answer, media) = publish(&made(&[&video("sendonly", more)])).unwrap();
    assert!(
        answer.contains("a=rid:a recv\r\na=rid:b recv max-width=640\r\na=rid:c recv\r\n"),
        "{answer}"
    );
    assert!(answer.contains("a=simulcast:recv a,b;c\r\n"), "{answer}");
    let rids: Vec<&str> = media.tracks[0].rids.iter().map(|rid| rid.as_str()).collect();
    assert_eq!(rids, ["a", "b", "c"]);
}

#[test]
fn point_57_rids_without_simulcast_are_accepted() {
    let (answer, media) = publish(&made(&[&video("sendonly", "a=rid:a send\n")])).unwrap();
    assert!(answer.contains("a=rid:a recv\r\n") && !answer.contains("a=simulcast"));
    assert!(media.tracks[0].rids.is_empty());
}

#[test]
fn point_54_transport_cc_needs_the_extension_and_the_feedback() {
    let transport_cc = |name: &str| {
        let (_, media) = publish(captured(name)).unwrap();
        let track = publisher_track(&media, MediaKind::Video);
        (
            track.extensions.transport_cc,
            track.codecs[0].feedback.transport_cc,
        )
    };
    assert!(transport_cc("chromium-156-sendonly").1);
    assert_eq!(transport_cc("gstreamer-1.28-whipclientsink"), (Some(1), true));
    // Feedback without the extension, and neither.
    assert_eq!(transport_cc("gstreamer-1.28-whipsink"), (None, false));
    assert_eq!(transport_cc("obs-32.2-h264-opus"), (None, false));
}

#[test]
fn point_53_offered_feedback_is_agreed() {
    let (_, media) = publish(captured("obs-32.2-h264-opus")).unwrap();
    let feedback = publisher_track(&media, MediaKind::Video).codecs[0].feedback;
    assert!(feedback.nack && feedback.pli && feedback.remb && !feedback.fir);
    let (_, media) = watch(captured("chromium-156-recvonly"), Some(&H264_AND_OPUS)).unwrap();
    let feedback = viewer_track(&media, MediaKind::Video).codecs[0].feedback;
    assert!(feedback.nack && feedback.pli && feedback.fir && feedback.remb && feedback.transport_cc);
    let wildcard = video("sendonly", "a=rtcp-fb:* nack\na=rtcp-fb:* ccm fir\n");
    let (answer, media) = publish(&made(&[&wildcard])).unwrap();
    assert!(media.tracks[0].codecs[0].feedback.nack && media.tracks[0].codecs[0].feedback.fir);
    assert!(answer.contains("a=rtcp-fb:96 nack\r\na=rtcp-fb:96 ccm fir\r\n"));
}

#[test]
fn announced_ssrcs_and_their_retransmissions_are_told_apart() {
    let (_, media) = publish(captured("ffmpeg-9.0-h264-opus")).unwrap();
    let track = publisher_track(&media, MediaKind::Video);
    assert_eq!(track.ssrcs, [Ssrc(2_101_913_927)]);
    assert_eq!(track.rtx_ssrcs, [(Ssrc(2_101_913_927), Ssrc(2_101_913_928))]);
    assert_eq!(track.codecs[0].rtx.map(|pt| pt.0), Some(105));
    let (_, media) = publish(captured("firefox-153-simulcast")).unwrap();
    let track = publisher_track(&media, MediaKind::Video);
    assert_eq!(track.ssrcs.len(), 3);
    assert_eq!(track.rtx_ssrcs.len(), 3);
    // OBS announces no SSRC with simulcast.
    let (_, media) = publish(captured("obs-32.2-simulcast-3")).unwrap();
    assert!(publisher_track(&media, MediaKind::Video).ssrcs.is_empty());
}

#[test]
fn opus_parameters_come_back_whole() {
    let (answer, _) = publish(captured("obs-32.2-h264-opus")).unwrap();
    let line = "a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1\r\n";
    assert!(answer.contains(line), "{answer}");
    let munged = captured("chromium-156-recvonly").replace(
        "minptime=10;useinbandfec=1",
        "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1",
    );
    let (answer, _) = watch(&munged, None).unwrap();
    assert!(
        answer.contains("a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1\r\n"),
        "{answer}"
    );
}

#[test]
fn names_are_compared_without_case_and_repeated_as_offered() {
    let (answer, media) = watch(captured("gstreamer-1.28-whepsrc"), Some(&VP8_AND_OPUS)).unwrap();
    assert!(answer.contains("a=rtpmap:96 OPUS/48000\r\n"), "{answer}");
    assert_eq!(
        viewer_track(&media, MediaKind::Audio).codecs[0].codec,
        Codec::Opus
    );
}

#[test]
fn one_way_extensions_are_answered_the_other_way_round() {
    let (answer, media) = watch(captured("firefox-153-recvonly-h264"), None).unwrap();
    let line = "a=extmap:6/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r\n";
    assert!(answer.contains(line), "{answer}");
    assert_eq!(
        viewer_track(&media, MediaKind::Video).extensions.playout_delay,
        Some(6)
    );
    let (answer, media) = publish(captured("firefox-153-simulcast")).unwrap();
    assert!(
        answer.contains("a=extmap:9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"),
        "{answer}"
    );
    let extensions = publisher_track(&media, MediaKind::Video).extensions;
    assert_eq!(
        (extensions.rid, extensions.repaired_rid, extensions.playout_delay),
        (Some(9), Some(10), None)
    );
}

#[test]
fn point_12_a_single_m_line_needs_neither_bundle_nor_mid() {
    let lone = video("sendonly", "").replace("a=mid:1\n", "");
    let text = made(&[&lone]).replace("a=group:BUNDLE 0 1\r\n", "");
    let (answer, media) = publish(&text).unwrap();
    assert!(
        !answer.contains("BUNDLE") && !answer.contains("a=mid"),
        "{answer}"
    );
    assert_eq!(media.tracks[0].mid.as_str(), "0");
    // A group that names mids which are not there is tolerated: FFmpeg's audio-only offers have one.
    let (answer, _) = publish(&made(&[&audio("sendonly", "")])).unwrap();
    assert!(answer.contains("a=group:BUNDLE 0\r\n"), "{answer}");
}

#[test]
fn a_data_channel_section_is_declined_and_the_rest_served() {
    let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\na=sctp-port:5000\n";
    let text = made(&[&audio("sendonly", ""), &video("sendonly", ""), data]);
    let (answer, media) = publish(&text).unwrap();
    assert!(
        answer.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"),
        "{answer}"
    );
    assert!(answer.contains("a=group:BUNDLE 0 1\r\n"), "{answer}");
    assert_eq!((media.tracks.len(), read(&answer).media.len()), (2, 3));
}

#[test]
fn an_m_line_switched_off_by_the_offer_stays_off() {
    let off = audio("sendonly", "").replace("m=audio 9", "m=audio 0");
    let (answer, media) = publish(&made(&[&off, &video("sendonly", "")])).unwrap();
    assert_eq!(media.tracks.len(), 1);
    assert_eq!(read(&answer).media[0].get_port(), 0);
    assert!(answer.contains("a=group:BUNDLE 1\r\n"), "{answer}");
}

#[test]
fn transport_attributes_may_stand_at_session_level() {
    let bare = |section: String| section.replace(TRANSPORT, "a=rtcp-mux\n");
    let sections = [bare(audio("sendonly", "")), bare(video("sendonly", ""))];
    let session = TRANSPORT
        .replace("a=rtcp-mux\n", "")
        .replace("actpass", "passive");
    let text = made(&[&session, &sections[0], &sections[1]]);
    let offer = Offer::parse(&text).unwrap();
    assert_eq!(offer.remote_ice().ufrag, "abcd");
    assert_eq!(offer.fingerprints().len(), 1);
    assert!(publish(&text).unwrap().0.contains("a=setup:active\r\n"));
}

#[test]
fn all_strong_fingerprints_are_kept_once() {
    let offer = Offer::parse(captured("aiortc-1.16-recvonly")).unwrap();
    let algorithms: Vec<HashAlgorithm> = offer.fingerprints().iter().map(|entry| entry.algorithm).collect();
    assert_eq!(
        algorithms,
        [
            HashAlgorithm::Sha256,
            HashAlgorithm::Sha384,
            HashAlgorithm::Sha512
        ]
    );
    let lengths: Vec<usize> = offer
        .fingerprints()
        .iter()
        .map(|entry| entry.digest.len())
        .collect();
    assert_eq!(lengths, [32, 48, 64]);
}

#[test]
fn point_4_many_codecs_still_fit_8_kib_with_the_live_one_first() {
    let mut section = String::from("m=video 9 UDP/TLS/RTP/SAVPF");
    let mut lines = String::new();
    for pt in 0..128 {
        section.push_str(&format!(" {pt}"));
        lines.push_str(&format!(
            "a=rtpmap:{pt} H264/90000\na=fmtp:{pt} packetization-mode=1;profile-level-id=42e0{pt:02x}\n"
        ));
        for feedback in ["nack", "nack pli", "ccm fir", "goog-remb"] {
            lines.push_str(&format!("a=rtcp-fb:{pt} {feedback}\n"));
        }
    }
    lines = lines.replace("a=rtpmap:127 H264/90000\n", "a=rtpmap:127 VP8/90000\n");
    let section = format!("{section}\na=mid:0\na=recvonly\n{TRANSPORT}{lines}");
    let (answer, media) = watch(&made(&[&section]), Some(&VP8_AND_OPUS)).unwrap();
    assert!(answer.len() < 8 * 1024);
    assert_eq!(media.tracks[0].codecs[0].pt.0, 127);
    assert_eq!(
        payload_types(&read(&answer).media[0]).len(),
        media.tracks[0].codecs.len()
    );
}
