//! What strangers and hostile peers may cost, and that rtc-dtls alone bears none of it.

use rtc::dtls::config::{ConfigBuilder, HandshakeConfig};
use rtc::dtls::conn::DTLSConn;
use rtc::dtls::crypto::Certificate;

use super::*;
use crate::core::peer::guard::DtlsGuard;

/// Set in the child process that is meant to die.
const CHILD: &str = "SHIBUKI_TEST_UNGUARDED_CHILD";

/// A DTLS record.
fn record(content_type: u8, epoch: u16, sequence: u64, body: &[u8]) -> Vec<u8> {
    let mut record = vec![content_type, 0xFE, 0xFD];
    record.extend_from_slice(&epoch.to_be_bytes());
    record.extend_from_slice(&sequence.to_be_bytes()[2..]);
    record.extend_from_slice(&(body.len() as u16).to_be_bytes());
    record.extend_from_slice(body);
    record
}

/// A fragment of a ClientHello that claims `length` bytes in all.
fn fragment(length: u32, sequence: u16, offset: u32, claimed: u32, body: &[u8]) -> Vec<u8> {
    let mut message = vec![1];
    message.extend_from_slice(&length.to_be_bytes()[1..]);
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend_from_slice(&offset.to_be_bytes()[1..]);
    message.extend_from_slice(&claimed.to_be_bytes()[1..]);
    message.extend_from_slice(body);
    message
}

/// Datagrams with one byte each of one message, the last byte first: with the very last one rtc-dtls walks
/// through all of them, recursively.
fn tiny_fragments(count: u32) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |n| record(22, 0, n.into(), &fragment(count + 1, 0, count - 1 - n, 1, &[0])))
}

/// A connected ICE path to a peer whose handshake has not begun.
fn validated() -> Net {
    let mut net = Net::new(ClientOptions::default());
    net.lose = Box::new(|_, _| true);
    net.run_until(|net| net.peer.path().is_some());
    assert!(!net.peer.is_connected());
    net
}

fn unguarded() -> DTLSConn {
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

#[test]
fn nothing_but_stun_passes_from_a_stranger() {
    let mut net = Net::connected(ClientOptions::default());
    let stranger = path("198.51.100.66:6");
    let mut datagrams = vec![
        record(22, 0, 0, &fragment(0, 0, 0, 0, &[])),
        record(21, 0, 9, &[2, 40]),
    ];
    datagrams.push(net.client.seal_rtp(&rtp(1, 1, b"authentic")).unwrap());
    for datagram in &mut datagrams {
        assert_eq!(
            net.peer.handle_datagram(net.now, stranger, datagram),
            Received::Nothing
        );
    }
    assert_eq!(net.peer.counters().unvalidated_path, 3);
    assert!(net.peer.poll_transmit().is_none());
    assert!(net.peer.is_connected());
}

#[test]
fn a_client_hello_before_any_check_is_not_answered() {
    let mut net = Net::new(ClientOptions::default());
    let mut other = Net::new(ClientOptions::default());
    // A real ClientHello, sent by a client that believes to be connected.
    let mut hello = None;
    other.lose = Box::new(|_, _| false);
    while hello.is_none() {
        other.step();
        hello = other
            .in_flight
            .values()
            .find(|(_, bytes)| bytes[0] == 22)
            .map(|(_, bytes)| bytes.clone());
    }
    net.peer
        .handle_datagram(net.now, path("192.0.2.66:6"), &mut hello.unwrap());
    assert!(net.peer.poll_transmit().is_none());
    assert_eq!(net.peer.counters().unvalidated_path, 1);
}

#[test]
fn thirty_thousand_fragments_are_cut_off_at_sixty_four() {
    let mut net = validated();
    let path = net.path;
    for mut datagram in tiny_fragments(30_000) {
        net.peer.handle_datagram(net.now, path, &mut datagram);
    }
    assert!(net.peer.counters().dtls_over_budget >= 30_000 - 64);
    assert_eq!(net.closed(), None);
}

#[test]
fn fragments_packed_into_few_datagrams_are_cut_off_too() {
    let mut guard = DtlsGuard::default();
    let mut counters = PeerCounters::default();
    let records: Vec<Vec<u8>> = tiny_fragments(1500).collect();
    let mut admitted = 0;
    for datagram in records.chunks(50) {
        admitted += guard
            .admit(any_instant(), &datagram.concat(), &mut counters)
            .len()
            / 26;
    }
    assert_eq!(admitted, 128);
}

/// The unguarded crate dies of what the test above sends. It takes its whole process along, so a child has to.
#[test]
fn unguarded_thirty_thousand_fragments_abort_the_process() {
    if std::env::var_os(CHILD).is_some() {
        let mut conn = unguarded();
        for datagram in tiny_fragments(30_000) {
            let _ = conn.read(&datagram);
        }
        return;
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "core::peer::tests::attacks::unguarded_thirty_thousand_fragments_abort_the_process",
        ])
        .env(CHILD, "1")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(
        status.code(),
        None,
        "the child is killed by a signal: if it is not, the guard may have become needless"
    );
}

#[test]
fn records_that_contradict_themselves_are_dropped() {
    let bad = [
        fragment(100, 0, 0, 0, &[]),
        fragment(100, 0, 0, 50, &[0; 10]),
        fragment(10, 0, 5, 10, &[0; 10]),
        fragment(1 << 20, 0, 0, 10, &[0; 10]),
        vec![1, 2, 3],
    ];
    for body in bad {
        let mut counters = PeerCounters::default();
        let admitted = DtlsGuard::default().admit(any_instant(), &record(22, 0, 0, &body), &mut counters);
        assert!(admitted.is_empty(), "{body:?}");
        assert_eq!(counters.dtls_malformed, 1, "{body:?}");
    }
    // ServerHelloDone and the like have no body at all.
    let mut counters = PeerCounters::default();
    let done = record(22, 0, 0, &fragment(0, 0, 0, 0, &[]));
    assert_eq!(
        DtlsGuard::default().admit(any_instant(), &done, &mut counters),
        done
    );
}

#[test]
fn bytes_before_connection_are_bounded() {
    let mut guard = DtlsGuard::default();
    let mut counters = PeerCounters::default();
    let datagram = record(22, 0, 0, &fragment(1400, 0, 0, 1400, &[0; 1400]));
    let admitted: usize = (0..1000)
        .map(|_| guard.admit(any_instant(), &datagram, &mut counters).len())
        .sum();
    assert!(admitted <= 48 * 1024);
}

#[test]
fn early_records_of_later_epochs_are_bounded() {
    for (content_type, epoch) in [(22, 1), (22, 2), (20, 0), (21, 1)] {
        let mut guard = DtlsGuard::default();
        let mut counters = PeerCounters::default();
        let datagram = record(content_type, epoch, 0, &[1; 40]).repeat(20);
        let admitted: usize = (0..60)
            .map(|_| guard.admit(any_instant(), &datagram, &mut counters).len() / 53)
            .sum();
        assert_eq!(admitted, 16, "type {content_type} epoch {epoch}");
    }
}

#[test]
fn a_connection_takes_few_handshake_records_and_no_application_data() {
    let mut net = Net::connected(ClientOptions::default());
    let path = net.path;
    let before = *net.peer.counters();
    for n in 0..1000u64 {
        let mut datagram = record(22, 0, 1000 + n, &fragment(200, 9, 0, 100, &[0; 100]));
        net.peer.handle_datagram(net.now, path, &mut datagram);
    }
    assert_eq!(
        net.peer.counters().dtls_over_budget - before.dtls_over_budget,
        1000 - 16
    );
    // A datagram is answered by a repeated last flight at most seven times.
    let mut answers = 0;
    while net.peer.poll_transmit().is_some() {
        answers += 1;
    }
    assert!(answers <= 16, "{answers}");
    for n in 0..100u64 {
        net.peer
            .handle_datagram(net.now, path, &mut record(23, 1, n, &[0; 100]));
    }
    assert_eq!(net.peer.counters().dtls_application_data, 100);
    // A minute later there is room again, for a peer that lost our last flight.
    for _ in 0..10 {
        net.run_for(Duration::from_secs(60));
        net.peer.handle_datagram(
            net.now,
            path,
            &mut record(22, 0, 1, &fragment(0, 9, 0, 0, &[])).repeat(100),
        );
    }
    assert!(net.peer.is_connected());
    assert!(
        net.peer.counters().dtls_over_budget >= before.dtls_over_budget + 1900,
        "{:?}",
        net.peer.counters()
    );
}

#[test]
fn a_forged_alert_does_not_end_a_connection() {
    let mut net = Net::connected(ClientOptions::default());
    let path = net.path;
    for epoch in [0, 1] {
        for alert in [[2, 40], [1, 0]] {
            net.peer
                .handle_datagram(net.now, path, &mut record(21, epoch, 500, &alert));
        }
    }
    net.run_for(Duration::from_secs(1));
    assert!(net.peer.is_connected(), "{:?}", net.events);
}

#[test]
fn a_million_forged_ssrcs_leave_no_state() {
    let mut net = Net::connected(ClientOptions::default());
    let path = net.path;
    for ssrc in 0..1_000_000 {
        net.peer
            .handle_datagram(net.now, path, &mut rtp(ssrc, 1, &[0; 28]));
    }
    assert_eq!(
        net.peer.receiver.as_ref().map(|receiver| receiver.sources()),
        Some(0)
    );
    assert_eq!(net.peer.counters().media_unauthenticated, 1_000_000);
}

#[test]
fn authentic_ssrcs_are_bounded_and_idle_ones_make_room() {
    let mut net = Net::connected(ClientOptions::default());
    let path = net.path;
    let deliver = |net: &mut Net, ssrc| {
        let mut packet = net.client.seal_rtp(&rtp(ssrc, 1, b"x")).unwrap();
        net.peer.handle_datagram(net.now, path, &mut packet) != Received::Nothing
    };
    let taken = (0..100).filter(|ssrc| deliver(&mut net, *ssrc)).count();
    assert_eq!(taken, 32);
    assert_eq!(net.peer.counters().ssrc_over_limit, 68);
    net.run_for(Duration::from_secs(31));
    assert!(deliver(&mut net, 1000));
}

#[test]
fn forged_stun_neither_keeps_alive_nor_moves_media() {
    let mut net = Net::connected(ClientOptions::default());
    net.client.stop_checks();
    let path = net.path;
    let forged = crate::core::peer::testing::Check {
        pwd: "guessed".into(),
        ..net.client.check()
    };
    // A Binding indication (RFC 8489 §5) carries no credentials at all.
    let indication = [&[0, 0x11, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[0; 12]].concat();
    for _ in 0..20 {
        net.run_for(Duration::from_secs(2));
        net.peer.handle_datagram(net.now, path, &mut forged.encode());
        net.peer.handle_datagram(net.now, path, &mut indication.clone());
        net.peer
            .handle_datagram(net.now, super::path("203.0.113.9:9"), &mut forged.encode());
        assert_eq!(net.peer.path(), Some(path));
    }
    assert_eq!(net.closed(), Some(&CloseReason::Silent));
}

proptest::proptest! {
    #[test]
    fn no_dtls_bytes_make_the_guard_panic_or_pass_more_than_there_was(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        body in proptest::collection::vec(proptest::num::u8::ANY, 1..100),
    ) {
        let mut counters = PeerCounters::default();
        let mut guard = DtlsGuard::default();
        proptest::prop_assert!(guard.admit(any_instant(), &bytes, &mut counters).len() <= bytes.len());
        let datagram = [record(22, 0, 1, &body), bytes].concat();
        let admitted = guard.admit(any_instant(), &datagram, &mut counters);
        proptest::prop_assert!(admitted.len() <= datagram.len());
        // Whatever passes, choosing a profile from it does not panic.
        if let Some(hello) = crate::core::peer::client_hello::ClientHello::reassemble(&[admitted], 0) {
            hello.preferred_profile();
            let _ = hello.before_the_cookie();
        }
    }
}
