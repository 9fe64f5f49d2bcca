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
use shibuki::core::peer::testing::{Check, ClientOptions};
use support::alone::alone;
use support::client::{Client, dtls_server};
use support::forge;
use support::server::Process;
use support::stage::Stage;

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
    let sealed: Vec<_> = (0..20_000)
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
