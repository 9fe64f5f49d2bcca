//! Bad input over HTTP and UDP, from strangers and from peers with keys: a clear error or nothing at all, no panic,
//! no growth, and nobody else's stream is disturbed.

mod support;

use std::fs;
use std::io::Write;
use std::time::Duration;

use shibuki::core::peer::testing::TestClient;
use support::client::{Client, own_offer};
use support::forge::{self, Chance};
use support::http;
use support::stage::Stage;

/// As in the guard's tests, with room for what HTTP connections leave in the allocator.
const HELD: usize = 12 << 20;
const SPENT: Duration = Duration::from_micros(200);

fn captured_offers() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/offers");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sdp"))
        .collect();
    paths.sort();
    assert!(paths.len() > 10);
    paths
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// The offer with some lines lost, doubled, moved, cut short, or with bytes changed.
fn spoilt(chance: &mut Chance, offer: &str) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = offer.lines().map(|line| line.as_bytes().to_vec()).collect();
    for _ in 0..=chance.below(4) {
        let (at, to) = (chance.below(lines.len()), chance.below(lines.len()));
        match chance.below(7) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(to, lines[at].clone()),
            2 => lines.swap(at, to),
            3 => lines[at].truncate(chance.below(20)),
            4 => lines[at] = chance.spoil(&lines[at]),
            5 => lines[at].extend(b"99999999999999999999999"),
            _ => lines[at] = lines[at].repeat(50),
        }
    }
    lines.join(&b"\r\n"[..])
}

#[test]
fn spoilt_offers_are_refused_or_answered() {
    let mut stage = Stage::new();
    let mut chance = Chance::new(1);
    let (mut refused, mut accepted) = (0, 0);
    for offer in captured_offers() {
        let own = own_offer(&TestClient::new(Default::default()), &offer);
        for turn in 0..25 {
            let path = if turn % 2 == 0 {
                "/whip/spoilt"
            } else {
                "/whep/innocent"
            };
            let body = spoilt(&mut chance, &own);
            let to = stage.server.at.http;
            let reply = http::request(to, "POST", path, "Content-Type: application/sdp\r\n", &body);
            match reply.status {
                201 => {
                    accepted += 1;
                    let session = reply.header("location").unwrap();
                    assert_eq!(http::request(to, "DELETE", session, "", b"").status, 200);
                }
                400 | 406 | 413 | 415 | 422 => {
                    refused += 1;
                    reply.is_problem(reply.status);
                }
                _ => panic!("{reply:?} to {}", String::from_utf8_lossy(&body)),
            }
        }
        stage.exchange();
    }
    assert!(
        refused > 50 && accepted > 50,
        "{refused} refused, {accepted} accepted"
    );
    stage.has_spent_at_most(HELD, Duration::MAX);
}

#[test]
fn what_is_no_offer_gets_a_clear_error() {
    let mut stage = Stage::new();
    let to = stage.server.at.http;
    let sdp = "Content-Type: application/sdp\r\n";
    let cases: [(&str, Vec<u8>, u16); 8] = [
        ("", support::WATCH.into(), 415),
        ("Content-Type: application/json\r\n", support::WATCH.into(), 415),
        ("Content-Type: \u{7f}\r\n", support::WATCH.into(), 400),
        (sdp, b"".to_vec(), 400),
        (sdp, vec![0xFF; 300], 400),
        (sdp, b"v=0\r\n".repeat(1000), 400),
        (sdp, vec![b'a'; 1 << 20], 413),
        (sdp, support::WATCH.repeat(200).into(), 413),
    ];
    for endpoint in ["/whip/new", "/whep/innocent"] {
        for (headers, body, status) in &cases {
            let reply = http::request(to, "POST", endpoint, headers, body);
            assert_eq!(reply.status, *status, "{headers} {reply:?}");
            stage.exchange();
        }
    }
    for path in [
        "/whip/..",
        "/whip/%2e%2e",
        "/whip/a%00b",
        "/whep/%ff",
        "/session/%",
        "/session/../x",
    ] {
        let reply = http::post(to, path, support::WATCH);
        assert!((400..500).contains(&reply.status), "{path} {reply:?}");
    }
    stage.exchange();
    stage.has_spent_at_most(HELD, Duration::MAX);
}

#[test]
fn a_body_without_end_is_not_kept() {
    let mut stage = Stage::new();
    let mut stream = http::connect(stage.server.at.http);
    let head = "POST /whip/live HTTP/1.1\r\nHost: a\r\nContent-Type: application/sdp\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    // 64 MiB, or until the server has had enough.
    let sent = (0..1024)
        .take_while(|_| stream.write_all(chunk.as_bytes()).is_ok())
        .count();
    assert!(sent < 1024, "the server took all of it");
    stage.exchange();
    stage.has_spent_at_most(HELD, Duration::MAX);
}

#[test]
fn a_head_without_end_is_not_kept() {
    let mut stage = Stage::new();
    let mut stream = http::connect(stage.server.at.http);
    stream.write_all(b"POST /whip/live HTTP/1.1\r\n").unwrap();
    let header = format!("x-more: {}\r\n", "a".repeat(1000));
    let sent = (0..65_536)
        .take_while(|_| stream.write_all(header.as_bytes()).is_ok())
        .count();
    assert!(sent < 65_536, "the server took all of it");
    stage.exchange();
    stage.has_spent_at_most(HELD, Duration::MAX);
}

/// Slowloris: many connections, each of which says a little and then a little more.
#[test]
fn slow_connections_stop_nobody() {
    const CONNECTIONS: usize = 400;
    let mut stage = Stage::new();
    let to = stage.server.at.http;
    let mut slow: Vec<_> = (0..CONNECTIONS).map(|_| http::connect(to)).collect();
    let head = b"POST /whip/slow HTTP/1.1\r\nHost: a\r\nContent-Type: application/sdp\r\nContent-Length: 900\r\n\r\nv=0";
    for (at, connection) in slow.iter_mut().enumerate() {
        // Up to the request line, into the headers, into the body.
        let until = [5, 40, head.len()][at % 3];
        connection.write_all(&head[..until]).unwrap();
    }
    for at in 0..CONNECTIONS {
        if at % 20 == 0 {
            stage.exchange();
            let reply = http::request(to, "GET", "/api/v1/streams", "", b"");
            assert_eq!(reply.status, 200);
        }
        // A server may have given up on it by now.
        let _ = slow[at].write_all(b"\r");
    }
    let mut viewer = Client::watch(stage.server.at, "innocent");
    viewer.connect();
    // Each may hold its buffers, and no more.
    stage.has_spent_at_most(CONNECTIONS * 40_000 + HELD, Duration::MAX);
}

/// A hundred thousand datagrams of noise, a third of them with a first byte that says STUN, DTLS or RTP.
#[test]
fn noise_on_the_media_port_is_ignored() {
    let mut stage = Stage::new();
    let mut chance = Chance::new(2);
    let mut noise = |count: usize| -> Vec<Vec<u8>> {
        let one = |n: usize| {
            let len = match n % 4 {
                0 => chance.below(4),
                1 => chance.below(60),
                _ => chance.below(400),
            };
            let mut bytes = chance.bytes(len);
            if let (Some(first), Some(kind)) = (bytes.first_mut(), [0x00, 0x16, 0x80].get(n % 9)) {
                *first = *kind;
            }
            bytes
        };
        (0..count).map(one).collect()
    };
    let mut back = 0;
    for _ in 0..20 {
        let mut outsider = stage.outsider();
        stage.attack(&mut outsider, noise(4_000).into_iter());
        back += outsider.back;
    }
    assert_eq!(back, 0, "nothing answers noise");
    // And from a peer whose address is known.
    let mut insider = Client::watch(stage.server.at, "noise");
    insider.connect();
    stage.attack(&mut insider, noise(20_000).into_iter());
    assert!(insider.exists(), "noise ends no session");
    assert!(!insider.core.is_closed());
    stage.has_spent_at_most(HELD, SPENT);
}

/// What a session really sends, cut short, lengthened, with bytes changed: of every kind, from its own address and
/// from another one.
#[test]
fn spoilt_packets_end_no_session() {
    let mut stage = Stage::new();
    let mut chance = Chance::new(3);
    let mut peer = Client::publish(stage.server.at, "spoilt");
    peer.connect();
    let packet = forge::rtp(96, 1, 1, 2_985_326_069, &[0x65; 200]);
    let originals = [
        peer.last_check.clone(),
        peer.last_dtls.clone(),
        peer.core.seal_rtp(&packet).unwrap(),
        peer.core.seal_rtcp(&sender_report()).unwrap(),
    ];
    let spoilt: Vec<_> = (0..20_000)
        .map(|n| chance.spoil(&originals[n % originals.len()]))
        .collect();
    stage.attack(&mut peer, spoilt.iter().cloned());
    let mut outsider = stage.outsider();
    // A check may be changed behind its MESSAGE-INTEGRITY and still be good, from wherever.
    let others = spoilt
        .into_iter()
        .filter(|datagram| datagram.first().is_none_or(|first| *first > 3));
    stage.attack(&mut outsider, others);
    assert_eq!(outsider.back, 0);
    // The session itself is as good as before.
    let mut viewer = Client::watch(stage.server.at, "spoilt");
    viewer.connect();
    for seq in 10..5000u16 {
        let payload = [&[0x65; 410][..], &u64::from(seq).to_be_bytes()].concat();
        let packet = forge::rtp(96, seq, u32::from(seq) * 3000, 2_985_326_069, &payload);
        let sealed = peer.core.seal_rtp(&packet).unwrap();
        peer.send(&sealed);
        if viewer.runs_to(Duration::from_millis(50), |viewer| !viewer.rtp.is_empty()) {
            break;
        }
    }
    assert!(
        !viewer.rtp.is_empty(),
        "media of a peer whose packets were spoilt"
    );
    stage.has_spent_at_most(HELD, SPENT);
}

/// Nonsense under valid keys: RTP of every codec, with every kind of header.
#[test]
fn a_publishers_nonsense_harms_nobody() {
    let mut stage = Stage::new();
    let mut chance = Chance::new(4);
    let offer = include_str!("offers/chromium-156-sendonly.sdp");
    let mut peer = Client::offer(stage.server.at, "/whip/nonsense", offer, Default::default());
    peer.connect();
    // Somebody watches it, so that it is forwarded too.
    let mut viewer = Client::watch(stage.server.at, "nonsense");
    viewer.connect();
    let payload_types: Vec<u8> = offer
        .lines()
        .filter(|line| !line.contains(" rtx/"))
        .filter_map(|line| line.strip_prefix("a=rtpmap:")?.split(' ').next()?.parse().ok())
        .collect();
    let mut sealed = Vec::new();
    let (mut pt, mut seq) = (0, 0u16);
    for n in 0..20_000usize {
        // A source for each of twenty payload types; their sequence and timestamp jump about.
        let source = n / 1_000;
        if n % 1_000 == 0 {
            pt = payload_types[source % payload_types.len()];
        }
        seq = seq.wrapping_add(if n % 50 == 0 {
            chance.below(5_000) as u16
        } else {
            1
        });
        let mut packet = forge::rtp(pt, seq, chance.next() as u32, 1000 + source as u32, &[]);
        if n % 5 == 0 {
            let sources = chance.below(16);
            packet[0] |= sources as u8;
            packet.extend(chance.bytes(sources * 4));
        }
        if n % 2 == 0 {
            // One-byte and two-byte forms, whose elements may reach past the end.
            let (words, profile) = (chance.below(6), [0xBEDE_u16, 0x1000, 0x1005, 7][chance.below(4)]);
            packet[0] |= 0x10;
            packet.extend_from_slice(&profile.to_be_bytes());
            packet.extend_from_slice(&(words as u16).to_be_bytes());
            packet.extend(chance.bytes(words * 4));
        }
        let header_len = packet.len();
        // Padding of a length that is the payload's last byte, whatever that is.
        packet[0] |= if n % 7 == 0 { 0x20 } else { 0 };
        packet[1] ^= (chance.next() as u8) & 0x80;
        let len = chance.below(if n % 3 == 0 { 8 } else { 300 });
        packet.extend(chance.bytes(len));
        sealed.push(peer.core.seal_rtp_unread(&packet, header_len).unwrap());
    }
    let mut forwarded = 0;
    for some in sealed.chunks(500) {
        stage.attack(&mut peer, some.iter().cloned());
        viewer.pump();
        forwarded += std::mem::take(&mut viewer.rtp).len();
    }
    assert!(
        forwarded > 1_000,
        "only {forwarded} packets of nonsense reached the viewer"
    );
    assert!(peer.exists() && viewer.exists());
    // The buffer of that stream is bounded, and counts here too.
    stage.has_spent_at_most(HELD + (8 << 20), SPENT * 2);
}

/// Nonsense under valid keys: RTCP from a viewer and from a publisher.
#[test]
fn nonsense_in_rtcp_harms_nobody() {
    let mut stage = Stage::new();
    let mut chance = Chance::new(5);
    for mut peer in [
        Client::watch(stage.server.at, "innocent"),
        Client::publish(stage.server.at, "rtcp"),
    ] {
        peer.connect();
        let mut sealed = Vec::new();
        for _ in 0..10_000 {
            let mut compound = Vec::new();
            for _ in 0..=chance.below(3) {
                let words = chance.below(12);
                compound.push(0x80 | (chance.next() as u8 & 0x3F));
                compound.push(192 + chance.below(24) as u8);
                // Right, or not.
                let length = if chance.below(3) == 0 {
                    chance.next() as u16
                } else {
                    words as u16
                };
                compound.extend_from_slice(&length.to_be_bytes());
                compound.extend(chance.bytes(words * 4));
            }
            if chance.below(4) == 0 {
                compound = chance.spoil(&sender_report());
            }
            if let Some(packet) = peer.core.seal_rtcp(&compound) {
                sealed.push(packet);
            }
        }
        assert!(sealed.len() > 5_000, "{}", sealed.len());
        stage.attack(&mut peer, sealed.into_iter());
        assert!(peer.exists());
    }
    stage.has_spent_at_most(HELD, SPENT);
}

fn sender_report() -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6];
    report.extend_from_slice(&2_985_326_069u32.to_be_bytes());
    report.extend_from_slice(&[0x55; 20]);
    report
}
