//! What an attacker on the network can cost the server: the seven points at which rtc 0.21.1 needs a guard, and
//! the rules beside them. Each attack comes over UDP while an innocent publisher and its viewers go on; it is
//! bounded in memory and processor time, and nobody loses a packet. Where the unguarded crates can be shown to
//! suffer, the same test shows it.

mod support;

use std::sync::Arc;
use std::time::Duration;

use rtc::dtls::config::{ConfigBuilder, HandshakeConfig};
use rtc::dtls::conn::DTLSConn;
use rtc::dtls::crypto::Certificate;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;
use shibuki::control::ControlConfig;
use shibuki::core::peer::testing::{Check, ClientOptions};
use support::alone::alone;
use support::client::{Client, dtls_server};
use support::forge;
use support::http;
use support::server::{Process, in_process};
use support::stage::{Attacker, Stage};

/// What the server may hold more after an attack than before: what its allocator and the innocents' media need.
const HELD: usize = 4 << 20;
/// Of processor time for each datagram of an attack, in a build without optimisation, the innocents' media included.
const SPENT: Duration = Duration::from_micros(200);

fn unguarded_dtls() -> DTLSConn {
    let provider = rtc::crypto::default_provider().unwrap();
    let certificate = Certificate::generate_self_signed(vec!["a".to_owned()], provider.crypto()).unwrap();
    let config: HandshakeConfig = ConfigBuilder::default()
        .with_crypto_provider(provider)
        .with_certificates(vec![certificate])
        .with_insecure_skip_verify(true)
        .build(false, None)
        .unwrap();
    DTLSConn::new(Arc::new(config), false, None)
}

/// A session that is past ICE and has not begun DTLS.
fn in_handshake(stage: &Stage) -> Client {
    let mut attacker = Client::watch(stage.server.at, "attack");
    attacker.connect_ice();
    attacker
}

/// Point 1.
#[test]
fn a_client_hello_from_elsewhere_does_not_win_the_race() {
    let mut stage = Stage::new();
    let mut victim = in_handshake(&stage);
    let mut racer = Client::watch(stage.server.at, "attack");
    racer.connect_ice();
    let hello = racer.last_dtls.clone();
    assert_eq!(hello[0], 22, "a handshake record");
    let mut outsider = stage.outsider();
    stage.attack(&mut outsider, (0..200).map(|_| hello.clone()));
    stage.attack(
        &mut outsider,
        (0..200).map(|n| forge::rtp(96, n, 0, 7, &[0; 100])),
    );
    assert_eq!(
        outsider.back, 0,
        "nothing but STUN is taken from an address without a valid check"
    );
    victim.holds_dtls = false;
    victim.connect();
    stage.has_spent_at_most(HELD, SPENT);
}

/// Point 2, unguarded: the stack overflows, and the process is gone.
#[test]
fn tiny_fragments_kill_rtc_dtls() {
    let unguarded = alone("tiny_fragments_kill_rtc_dtls", || {
        let mut conn = unguarded_dtls();
        forge::tiny_fragments(30_000).for_each(|datagram| drop(conn.read(&datagram)));
        conn
    });
    assert_eq!(
        unguarded.status.code(),
        None,
        "killed by a signal: is the guard still needed?"
    );
}

/// Point 2.
#[test]
fn tiny_fragments_are_cut_off() {
    let mut stage = Stage::new();
    let mut attacker = in_handshake(&stage);
    stage.attack(&mut attacker, forge::tiny_fragments(30_000));
    stage.has_spent_at_most(HELD, SPENT);
}

/// Point 2, after the handshake.
#[test]
fn tiny_fragments_over_a_connection_are_cut_off() {
    let mut stage = Stage::new();
    let mut attacker = Client::watch(stage.server.at, "attack");
    attacker.connect();
    stage.attack(&mut attacker, forge::tiny_fragments(10_000));
    stage.has_spent_at_most(HELD, SPENT);
    assert!(attacker.exists());
}

/// Point 3.
#[test]
fn empty_fragments_are_not_kept() {
    // Its processor time grows with the square of their number.
    let unguarded = alone("empty_fragments_are_not_kept", || {
        let mut conn = unguarded_dtls();
        forge::empty_fragments(600).for_each(|datagram| drop(conn.read(&datagram)));
        conn
    });
    let grown = unguarded.grown.expect("it survives");
    assert!(
        grown > 6 << 20,
        "rtc-dtls alone holds {grown} bytes: is the guard still needed?"
    );

    let mut stage = Stage::new();
    let mut attacker = in_handshake(&stage);
    stage.attack(&mut attacker, forge::empty_fragments(4_500));
    stage.has_spent_at_most(HELD, SPENT);
}

/// Point 4.
#[test]
fn records_of_later_epochs_are_not_queued() {
    const DATAGRAMS: u64 = 20_000;
    let unguarded = alone("records_of_later_epochs_are_not_queued", || {
        let mut conn = unguarded_dtls();
        forge::early_records(DATAGRAMS).for_each(|datagram| drop(conn.read(&datagram)));
        conn
    });
    let grown = unguarded.grown.expect("it survives");
    assert!(
        grown > 20 << 20,
        "rtc-dtls alone holds {grown} bytes: is the guard still needed?"
    );

    let mut stage = Stage::new();
    let mut attacker = in_handshake(&stage);
    stage.attack(&mut attacker, forge::early_records(DATAGRAMS));
    stage.has_spent_at_most(HELD, SPENT);
}

/// Point 5.
#[test]
fn forged_ssrcs_leave_nothing_behind() {
    let packets = |ssrcs| (0..ssrcs).map(|ssrc| forge::rtp(96, 1, 1, ssrc, &[0; 28]));
    let unguarded = alone("forged_ssrcs_leave_nothing_behind", || {
        let provider = rtc::crypto::default_provider().unwrap();
        let profile = ProtectionProfile::AeadAes128Gcm;
        let mut context = Context::new(&[1; 16], &[2; 12], profile, None, None, provider.crypto()).unwrap();
        packets(1_000_000).for_each(|packet| assert!(context.decrypt_rtp(&packet).is_err()));
        context
    });
    let grown = unguarded.grown.expect("it survives");
    assert!(
        grown > 40 << 20,
        "rtc-srtp alone holds {grown} bytes: is the guard still needed?"
    );

    let mut stage = Stage::new();
    let mut attacker = Client::publish(stage.server.at, "attack");
    attacker.connect();
    stage.attack(&mut attacker, packets(100_000));
    stage.has_spent_at_most(HELD, SPENT);
    assert!(attacker.exists());
}

/// Point 5, by a publisher who has the keys.
#[test]
fn authentic_ssrcs_are_bounded() {
    let mut stage = Stage::new();
    let mut attacker = Client::publish(stage.server.at, "attack");
    attacker.connect();
    let sealed: Vec<_> = (0..100_000)
        .map(|ssrc| {
            attacker
                .core
                .seal_rtp(&forge::rtp(96, 1, 1, ssrc, &[0x41; 28]))
                .unwrap()
        })
        .collect();
    stage.attack(&mut attacker, sealed.into_iter());
    stage.has_spent_at_most(HELD, SPENT);
    assert!(attacker.exists());
}

/// Point 6.
#[test]
fn unauthenticated_stun_has_no_effect() {
    let mut stage = Stage::new();
    let known = stage.viewers[0].core.check();
    let wrong = |change: fn(&mut Check)| {
        let mut check = Check {
            pwd: "not the password, but as long".into(),
            ..known.clone()
        };
        change(&mut check);
        check.encode()
    };
    let username = known.username.as_bytes();
    let messages = [
        wrong(|_| ()),
        // A role conflict.
        wrong(|check| check.controlling = false),
        wrong(|check| check.priority = None),
        // Without MESSAGE-INTEGRITY, as an agent in conflict would be answered by rtc.
        forge::stun(0x0001, &[(0x0006, username), (0x8029, &[7; 8])]),
        forge::stun(0x0001, &[]),
        // An indication, a success, an error.
        forge::stun(0x0011, &[]),
        forge::stun(0x0101, &[(0x0006, username)]),
        forge::stun(0x0111, &[(0x0009, &[0, 0, 4, 87])]),
    ];
    let mut outsider = stage.outsider();
    stage.attack(&mut outsider, messages.iter().cycle().take(8_000).cloned());
    assert_eq!(outsider.back, 0, "answers go only to who knows the password");
    // The same from an address that has a session: of another stream.
    let mut insider = Client::watch(stage.server.at, "attack");
    insider.connect();
    stage.attack(&mut insider, messages.iter().cycle().take(2_000).cloned());
    stage.has_spent_at_most(HELD, SPENT);
}

/// Point 7.
#[test]
fn another_certificate_than_promised_never_connects() {
    let stage = Stage::new();
    for options in [ClientOptions::default(), dtls_server()] {
        let offer = if options.dtls_role == dtls_server().dtls_role {
            support::PUBLISH_PASSIVE
        } else {
            support::PUBLISH
        };
        let path = "/whip/impostor";
        let mut impostor = Client::offer_with(stage.server.at, path, offer, options, |offer| {
            offer
                .lines()
                .map(|line| match line.strip_prefix("a=fingerprint:sha-256 ") {
                    Some(digest) => format!("a=fingerprint:sha-256 00{}\r\n", &digest[2..]),
                    None => format!("{line}\r\n"),
                })
                .collect()
        });
        impostor.run_until("an end of the session", |client| !client.exists());
        // As DTLS server it is told only after it believes to be connected.
        assert!(
            impostor.core.profile().is_none()
                || impostor.core.is_closed()
                || impostor.core.failure().is_some()
        );
        assert_eq!(impostor.back.media, 0);
    }
}

/// Point 7: browsers may list several, and only one has to match.
#[test]
fn a_fingerprint_matches_at_any_place() {
    let server = Process::start();
    let mut client = Client::offer_with(
        server.at,
        "/whip/live",
        support::PUBLISH,
        ClientOptions::default(),
        |offer| {
            let other = format!("a=fingerprint:sha-256 {}", ["11"; 32].join(":"));
            let sha1 = format!("a=fingerprint:sha-1 {}", ["22"; 20].join(":"));
            offer.replace("a=fingerprint:", &format!("{sha1}\r\n{other}\r\na=fingerprint:"))
        },
    );
    client.connect();
}

/// Nothing comes back to an address for this datagram, once the server has taken it in: the check of a session from
/// the same address is answered after it.
#[track_caller]
fn is_not_answered(stage: &Stage, name: &str, datagram: &[u8]) {
    let mut asker = Client::watch(stage.server.at, "asker");
    asker.holds_dtls = true;
    asker.send(datagram);
    asker.settle();
    assert!(asker.back.stun <= asker.checks, "{name}");
    assert_eq!((asker.back.dtls, asker.back.media), (0, 0), "{name}");
}

/// Nothing that is not authenticated is answered at all, so the server amplifies nothing.
#[test]
fn nothing_unauthenticated_is_answered() {
    let mut stage = Stage::new();
    let connecting = in_handshake(&stage);
    let known = connecting.core.check();
    let unknown = Check {
        username: "nobodyhere12:me".into(),
        ..known.clone()
    };
    let guessed = Check {
        pwd: "x".repeat(32),
        ..known.clone()
    };
    let publisher = &mut stage.publisher;
    let authentic = forge::rtp(96, 1, 1, 77, &[0; 100]);
    let messages = [
        ("a check with an unknown user fragment", unknown.encode()),
        ("a check with a wrong password", guessed.encode()),
        (
            "a role conflict with a wrong password",
            Check {
                controlling: false,
                ..guessed
            }
            .encode(),
        ),
        ("a request without credentials", forge::stun(0x0001, &[])),
        ("an indication", forge::stun(0x0011, &[])),
        ("an allocation", forge::stun(0x0003, &[(0x0019, &[17, 0, 0, 0])])),
        (
            "an unknown attribute that must be understood",
            forge::stun(0x0001, &[(0x0002, &[0; 4])]),
        ),
        ("a ClientHello", connecting.last_dtls.clone()),
        ("an alert", forge::record(21, 0, 0, &[2, 40])),
        ("a record of a later epoch", forge::record(22, 1, 0, &[0; 100])),
        ("RTP", authentic.clone()),
        (
            "RTP under another session's keys",
            publisher.core.seal_rtp(&authentic).unwrap(),
        ),
        ("RTCP", vec![0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]),
        ("nothing", Vec::new()),
        ("noise", vec![0x77; 500]),
    ];
    let mut outsider = stage.outsider();
    for (name, message) in &messages {
        stage.attack(&mut outsider, std::iter::repeat_n(message.clone(), 40));
        assert_eq!(outsider.back, 0, "{name}");
        is_not_answered(&stage, name, message);
    }
}

/// What is authenticated is answered by little more than it was.
#[test]
fn answers_are_hardly_larger_than_requests() {
    let stage = Stage::new();
    let mut client = in_handshake(&stage);
    let check = client.core.check().encode().len();
    let answer = client.back.stun_bytes / client.back.stun;
    assert!(answer <= check, "{answer} bytes to a check of {check}");

    let conflict = Check {
        controlling: false,
        ..client.core.check()
    }
    .encode();
    let before = client.back;
    client.send(&conflict);
    client.run_until("an answer to a role conflict", |client| {
        client.back.stun > before.stun
    });
    let answer = client.back.stun_bytes - before.stun_bytes;
    assert!(
        answer <= conflict.len(),
        "{answer} bytes to a role conflict of {}",
        conflict.len()
    );

    // A ClientHello gets a cookie: the certificate goes to nobody who has not shown that he receives what is sent
    // to his address.
    let hello = client.last_dtls.clone();
    client.send(&hello);
    client.run_until("an answer to a ClientHello", |client| client.back.dtls > 0);
    client.settle();
    let answer = client.back.dtls_bytes;
    assert!(
        answer <= hello.len(),
        "{answer} bytes to a ClientHello of {}",
        hello.len()
    );
}

/// Media goes where an authenticated check came from, and to no other address.
#[test]
fn media_moves_only_by_an_authenticated_check() {
    let mut stage = Stage::new();
    let mut outsider = stage.outsider();
    let good = stage.viewers[0].core.check();
    let forged = Check {
        pwd: "y".repeat(32),
        ..good.clone()
    }
    .encode();
    let of_another = Check {
        username: good.username.clone(),
        ..stage.viewers[1].core.check()
    }
    .encode();
    let keepalive = stage.viewers[0]
        .core
        .seal_rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 9])
        .unwrap();
    let attempts = [forged, of_another, keepalive, forge::stun(0x0011, &[])];
    stage.attack(&mut outsider, attempts.iter().cycle().take(1_000).cloned());
    assert_eq!(outsider.back, 0);
    // With the password it does move: the viewer's network changed.
    let end = support::now() + support::DEADLINE;
    while outsider.media == 0 {
        assert!(support::now() < end, "media does not follow");
        outsider.send(&good.encode());
        stage.exchange_without(1);
        outsider.settle();
    }
}

/// A check for one's own session that claims to come from somebody else's address is answered, like any check; the
/// address stays with the session that is heard from there.
#[test]
fn a_borrowed_address_takes_nobodys_packets() {
    let mut stage = Stage::new();
    for mut attacker in [
        Client::watch(stage.server.at, "a"),
        Client::watch(stage.server.at, "b"),
    ] {
        attacker.connect();
        for _ in 0..20 {
            // The innocents' own sockets: nothing else has their addresses.
            stage.publisher.send(&attacker.core.check().encode());
            stage.viewers[0].send(&attacker.core.check().encode());
            stage.exchange();
        }
    }
}

/// Checks of one session from ever new addresses, at a worker that has to hand them over to another one.
#[test]
fn addresses_of_other_workers_sessions_are_bounded() {
    let outcome = alone("addresses_of_other_workers_sessions_are_bounded", || {
        let (mut worker, check) = hand_over::worker_and_check();
        for n in 0..400_000u32 {
            hand_over::deliver(&mut worker, n, &check);
        }
        assert_eq!(worker.counters().handed_over, 400_000);
        worker
    });
    let grown = outcome.grown.expect("it survives");
    assert!(grown < 2 * HELD, "{grown} bytes held");
}

mod hand_over {
    //! A worker without a socket, and a session that another worker has.

    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;

    use shibuki::core::directory::{Claim, Directory};
    use shibuki::core::engine::{Engine, EngineConfig};
    use shibuki::core::ids::{SessionId, WorkerId};
    use shibuki::core::machine::{Machine, Path};
    use shibuki::core::media::{RoleSpec, SessionSpec, ViewerMedia};
    use shibuki::core::peer::Identity;
    use shibuki::core::peer::testing::{ClientOptions, TestClient, random_credentials};

    use crate::support;

    pub fn worker_and_check() -> (Engine, Vec<u8>) {
        let now = support::now();
        let identity = Arc::new(Identity::generate().unwrap());
        let directory = Arc::<Directory>::default();
        let mut client = TestClient::new(ClientOptions::default());
        let server = random_credentials();
        directory.add(Arc::new(SessionSpec {
            id: SessionId::random(),
            stream: "live".parse().unwrap(),
            transport: client.transport_spec(&server),
            role: RoleSpec::Viewer(ViewerMedia::default()),
        }));
        let claim = directory.claim(&server.ufrag, WorkerId(0), |_| true);
        assert!(matches!(claim, Claim::Mine(_)));
        client.start(now, &server, identity.fingerprint());
        let wall = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_785_000_000);
        let worker = Engine::new(
            WorkerId(1),
            EngineConfig::default(),
            identity,
            directory,
            now,
            wall,
        );
        (worker, client.check().encode())
    }

    pub fn deliver(worker: &mut Engine, from: u32, check: &[u8]) {
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + from);
        let path = Path {
            remote: SocketAddr::from((address, 4000)),
            local: None,
        };
        worker.handle_datagram(support::now(), path, &mut check.to_vec());
        while worker.poll_effect().is_some() {}
    }
}

/// What was sent once under valid keys is worth nothing a second time, wherever it comes from.
#[test]
fn replayed_media_goes_nowhere() {
    let mut stage = Stage::new();
    let mut recorded = Vec::new();
    for seq in 0..100 {
        // Of the audio track, which the viewers see besides the video.
        let packet = forge::rtp(111, seq, u32::from(seq) * 960, 2_985_326_068, &[7; 80]);
        recorded.push(stage.publisher.core.seal_rtp(&packet).unwrap());
    }
    stage.send_as_publisher(&recorded);
    let all = recorded.len() * stage.viewers.len();
    for _ in 0..100 {
        if stage.others < all {
            stage.exchange();
        }
    }
    assert_eq!(stage.others, all, "all of it was good the first time");
    let replay: Vec<_> = recorded.iter().cycle().take(2_000).cloned().collect();
    stage.send_as_publisher(&replay);
    let mut outsider = stage.outsider();
    stage.attack(&mut outsider, replay.into_iter());
    stage.exchange();
    assert_eq!(stage.others, all, "and none of it the second time");
    assert_eq!(outsider.back, 0);
    stage.has_spent_at_most(HELD, SPENT);
}

/// Sessions in handshake are few; the next one is told to come back, and there is room again once one connects.
#[test]
fn sessions_in_handshake_are_capped() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let config = ControlConfig {
        max_handshakes: 3,
        ..ControlConfig::default()
    };
    let (server, at) = runtime.block_on(in_process(config));
    let mut waiting: Vec<_> = (0..3).map(|_| Client::watch(at, "live")).collect();
    waiting[0].connect_ice();
    for (path, offer) in [("/whep/live", support::WATCH), ("/whip/live", support::PUBLISH)] {
        let reply = http::post(at.http, path, offer);
        reply.is_problem(503);
        assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
    let mut one = waiting.pop().unwrap();
    one.connect();
    // The worker's word may be on its way still.
    let mut viewer = None;
    one.run_until("room for another", |_| {
        let reply = http::post(at.http, "/whep/live", support::WATCH);
        viewer = (reply.status == 201).then_some(reply);
        viewer.is_some()
    });
    // Deleting one that never connected makes room too.
    assert_eq!(http::post(at.http, "/whep/live", support::WATCH).status, 503);
    let session = viewer.unwrap();
    let location = session.header("location").unwrap();
    assert_eq!(http::request(at.http, "DELETE", location, "", b"").status, 200);
    assert_eq!(http::post(at.http, "/whep/live", support::WATCH).status, 201);
    runtime.block_on(server.stop());
}
