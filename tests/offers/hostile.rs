//! Any bytes and mutated offers: nothing panics, nothing takes long, and what is answered stays in bounds.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use shibuki::sdp::parse_fragment;

use super::*;

/// Far above what 64 KiB take (milliseconds unoptimised), far below what something quadratic would.
const BOUND: Duration = Duration::from_secs(2);

/// Runs everything that reads remote text.
#[expect(
    clippy::disallowed_methods,
    reason = "measures that hostile text is dealt with in bounded time"
)]
fn survive(text: &str) {
    let start = Instant::now();
    let _ = parse_fragment(text);
    for result in [
        publish(text).map(|(answer, media)| (answer, media.tracks.len())),
        watch(text, None).map(|(answer, media)| (answer, media.tracks.len())),
        watch(text, Some(&H264_AND_OPUS)).map(|(answer, media)| (answer, media.tracks.len())),
    ] {
        match result {
            Ok((answer, tracks)) => {
                assert!(answer.len() < 8 * 1024 && (1..=2).contains(&tracks));
                assert_eq!(
                    answer.matches("\r\n").count(),
                    answer.chars().filter(|c| c.is_control()).count() / 2
                );
            }
            Err(rejection) => {
                assert!(!rejection.to_string().is_empty() && matches!(rejection.status(), 400 | 422))
            }
        }
    }
    assert!(
        start.elapsed() < BOUND,
        "{:?} for {} bytes",
        start.elapsed(),
        text.len()
    );
}

#[derive(Clone, Debug)]
enum Mutation {
    Remove(Index),
    Repeat(Index, u8),
    Swap(Index, Index),
    Byte(Index, u8),
    Insert(Index, String),
    Truncate(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let insertion = prop_oneof![
        "[a-z]=\\PC{0,40}",
        "a=(rtpmap|fmtp|rtcp-fb|extmap|ssrc|ssrc-group|rid|simulcast|mid|group|setup|candidate|fingerprint):[ -~]{0,60}",
        "m=(audio|video|application) [0-9]{1,6} [A-Z/]{1,20}( [0-9]{1,4}){0,6}",
        "m=(audio|video) (0|9) UDP/TLS/RTP/SAVPF( [0-9]{1,3}){1,6}",
        Just("a=simulcast:send ~,;,;;~~ recv".to_owned()),
        Just("a=ssrc-group:FID 1 1".to_owned()),
        Just("a=extmap:255/recvonly urn:ietf:params:rtp-hdrext:sdes:mid".to_owned()),
    ];
    prop_oneof![
        any::<Index>().prop_map(Mutation::Remove),
        (any::<Index>(), any::<u8>()).prop_map(|(at, times)| Mutation::Repeat(at, times)),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Mutation::Swap(a, b)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        (any::<Index>(), insertion).prop_map(|(at, line)| Mutation::Insert(at, line)),
        any::<Index>().prop_map(Mutation::Truncate),
    ]
}

fn mutate(text: &str, mutations: &[Mutation]) -> String {
    let mut lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
    for mutation in mutations {
        let length = lines.len();
        match mutation {
            Mutation::Remove(at) if length > 1 => drop(lines.remove(at.index(length))),
            Mutation::Remove(_) => {}
            Mutation::Repeat(at, times) => {
                let line = lines[at.index(length)].clone();
                lines.extend(std::iter::repeat_n(line, usize::from(*times)));
            }
            Mutation::Swap(a, b) => lines.swap(a.index(length), b.index(length)),
            Mutation::Byte(at, byte) => {
                let line = &mut lines[at.index(length)];
                let mut bytes = std::mem::take(line).into_bytes();
                if !bytes.is_empty() {
                    let place = at.index(bytes.len());
                    bytes[place] = *byte;
                }
                *line = String::from_utf8_lossy(&bytes).into_owned();
            }
            Mutation::Insert(at, line) => lines.insert(at.index(length + 1), line.clone()),
            Mutation::Truncate(at) => lines.truncate(at.index(length).max(1)),
        }
    }
    lines.join("\r\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(text in "\\PC{0,400}") {
        survive(&text);
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..2000)) {
        survive(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn mutated_offers_are_survived(
        (_, text) in select([PUBLISHERS, VIEWERS].concat()),
        mutations in vec(mutation(), 1..12),
    ) {
        survive(&mutate(text, &mutations));
    }

    #[test]
    fn answers_to_mutated_offers_are_still_sdp(
        (_, text) in select([PUBLISHERS, VIEWERS].concat()),
        mutations in vec(mutation(), 1..4),
    ) {
        let text = mutate(text, &mutations);
        let sections: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
        // The parser that checks knows no other protocols, and skips their m-lines but not what follows.
        let known = [" UDP/TLS/RTP/SAVPF ", " UDP/DTLS/SCTP "];
        prop_assume!(sections.iter().all(|line| known.iter().any(|proto| line.contains(proto))));
        let answers = [publish(&text).ok().map(|(answer, _)| answer), watch(&text, None).ok().map(|(answer, _)| answer)];
        for answer in answers.into_iter().flatten() {
            // The values of codec parameters are the offerer's own, and the parser is particular about them.
            let lines = answer.split_inclusive("\r\n").filter(|line| !line.starts_with("a=fmtp:"));
            let again = read(&lines.collect::<String>());
            prop_assert_eq!(again.media.len(), sections.len());
        }
    }
}

#[test]
fn the_largest_bodies_take_bounded_time() {
    let head = made(&[&audio("sendonly", ""), &video("sendonly", "")]);
    for line in [
        "a=ssrc:1 cname:x",
        "a=ssrc-group:FID 1 2",
        "a=rid:a send",
        "a=extmap:1 urn:x",
        "a=rtcp-fb:* nack",
        "a=fmtp:96 ;;;;;;;;;;;;",
        "a=fingerprint:sha-256 00",
        "a=fingerprint:sha-1 00",
        "a=",
        "a=candidate:",
        "i=",
    ] {
        let room = 65_536 - head.len();
        let text = format!("{head}{}", format!("{line}\r\n").repeat(room / (line.len() + 2)));
        survive(&text);
    }
    let numbered: String = (0..6000).map(|n| format!("a=rid:{n} send\r\n")).collect();
    survive(&format!("{head}{}", &numbered[..60_000]));
    survive(&format!("{head}a=fmtp:96 {}\r\n", "a=1;".repeat(15_000)));
    survive(&format!(
        "{head}a=rid:a send\r\na=simulcast:send {}\r\n",
        "a,".repeat(30_000)
    ));
}
