//! Trickle and ICE restart bodies.

use shibuki::core::ids::Mid;
use shibuki::sdp::{OfferError, SdpFragment, parse_fragment, restart_fragment};

use super::*;

const BROWSER: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
    a=candidate:3471623853 1 udp 2122194687 2001:db8::1 61765 typ host generation 0\r\n\
    a=end-of-candidates\r\n";

#[test]
fn point_37_a_browsers_trickle_is_understood() {
    let fragment = parse_fragment(BROWSER).unwrap();
    let ice = IceCredentials {
        ufrag: "EsAw".to_owned(),
        pwd: "P2uYro0UCOQ4zxjKXaWCBui1".to_owned(),
    };
    let mid = Some(Mid("0".into()));
    assert_eq!(
        fragment,
        SdpFragment {
            ice: Some(ice),
            candidates: 2,
            end_of_candidates: true,
            mid
        }
    );
}

#[test]
fn point_42_useless_candidates_are_dropped_in_silence() {
    for candidate in [
        "1 1 tcp 1518214911 192.0.2.1 9 typ host tcptype active",
        "1 1 udp 2122260223 4f0d3a3c-9a2e-4a4e-8d1c-6a2f1e3b7c11.local 61764 typ host",
        "1 1 udp 2122260223 media.example.org 61764 typ host",
        "1 2 udp 2122260223 192.0.2.1 61764 typ host",
        "1 0 udp 2122260223 192.0.2.1 61764 typ host",
        "1 1 udp 2122260223 192.0.2.1 70000 typ host",
        "",
    ] {
        let text = format!("{BROWSER}m=video 9 RTP/AVP 0\r\na=unknown:x\r\na=candidate:{candidate}\r\n");
        assert_eq!(parse_fragment(&text).unwrap().candidates, 2, "{candidate}");
        let text = format!("m=video 9 RTP/AVP 0\r\na=mid:1\r\na=candidate:{candidate}\r\n");
        let fragment = parse_fragment(&text).unwrap();
        assert_eq!(
            (fragment.candidates, fragment.ice, fragment.end_of_candidates),
            (0, None, false),
            "{candidate}"
        );
    }
}

#[test]
fn point_43_the_end_of_candidates_is_the_end() {
    let fragment = parse_fragment("a=end-of-candidates").unwrap();
    assert!(fragment.end_of_candidates && fragment.candidates == 0 && fragment.ice.is_none());
    let late = format!("{BROWSER}a=candidate:9 1 UDP 1 192.0.2.9 9 typ host\r\n");
    assert_eq!(parse_fragment(&late).unwrap().candidates, 2);
}

#[test]
fn point_44_credentials_may_stand_at_media_level() {
    let text = "m=video 9 UDP/TLS/RTP/SAVPF 0\na=mid:video0\na=ice-ufrag:EsAw\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:audio1\na=ice-ufrag:EsAw\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\n";
    let fragment = parse_fragment(text).unwrap();
    assert_eq!(fragment.ice.unwrap().ufrag, "EsAw");
    assert_eq!(fragment.mid.unwrap().as_str(), "video0");
}

#[test]
fn point_36_malformed_fragments_are_refused() {
    for (text, expected) in [
        ("", OfferError::Empty),
        ("{\"mute\":true}", OfferError::Line(1)),
        ("a=mid:0\r\n\u{7f}", OfferError::Binary(2)),
        ("a=ice-ufrag:EsAw\r\n", OfferError::NoIce),
        ("a=ice-ufrag:EsAw\r\na=ice-pwd:short\r\n", OfferError::Ice),
    ] {
        let error = parse_fragment(text).unwrap_err();
        assert_eq!((error.status(), error), (400, expected), "{text}");
    }
}

#[test]
fn point_39_a_restart_is_answered_with_credentials_and_candidates() {
    let addresses: Vec<SocketAddr> = vec![
        "203.0.113.7:8443".parse().unwrap(),
        "[2001:db8::7]:8443".parse().unwrap(),
    ];
    let text = restart_fragment(&server_ice(), &addresses);
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    assert!(
        text.starts_with("a=ice-lite\r\n") && text.ends_with("a=end-of-candidates\r\n"),
        "{text}"
    );
    assert!(
        text.contains("\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp "),
        "{text}"
    );
    let mid = Some(Mid("0".into()));
    let expected = SdpFragment {
        ice: Some(server_ice()),
        candidates: 2,
        end_of_candidates: true,
        mid,
    };
    assert_eq!(parse_fragment(&text).unwrap(), expected);

    let asked = parse_fragment("m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:video0\r\n").unwrap();
    assert!(
        asked
            .restart_answer(&server_ice(), &addresses)
            .contains("\r\na=mid:video0\r\n")
    );
}
