//! The way to a connection.

use super::*;
use crate::core::media::{DtlsRole, Fingerprint, HashAlgorithm};

const CM: SrtpProfile = SrtpProfile::Aes128CmHmacSha1_80;
const GCM: SrtpProfile = SrtpProfile::AeadAes128Gcm;

fn options(dtls_role: DtlsRole, profiles: &[SrtpProfile]) -> ClientOptions {
    ClientOptions {
        dtls_role,
        profiles: profiles.to_vec(),
        nominate: true,
    }
}

#[test]
fn connects_in_both_roles_with_the_profile_that_seals_fastest() {
    let cases = [
        (DtlsRole::Client, &[CM, GCM][..], GCM),
        (DtlsRole::Client, &[GCM, CM], GCM),
        (DtlsRole::Client, &[GCM], GCM),
        (DtlsRole::Client, &[CM], CM),
        (DtlsRole::Server, &[CM, GCM], GCM),
        (DtlsRole::Server, &[GCM], GCM),
        (DtlsRole::Server, &[CM], CM),
    ];
    for (role, profiles, expected) in cases {
        let net = Net::connected(options(role, profiles));
        let case = format!("client as {role:?} offering {profiles:?}");
        assert_eq!(net.client.profile(), Some(expected), "{case}");
        assert_eq!(
            net.events,
            [
                PeerEvent::IceConnected,
                PeerEvent::Connected { profile: expected }
            ],
            "{case}"
        );
        // One round trip for ICE, two for DTLS where we tell the cookie ahead; rtc-dtls as server takes one more.
        let ways = if role == DtlsRole::Client { 7 } else { 8 };
        assert!(net.elapsed() <= ways * ONE_WAY, "{case}: {:?}", net.elapsed());
    }
}

/// Who was told its cookie ahead never repeats its first ClientHello, should that be lost.
#[test]
fn the_first_client_hello_is_not_missed() {
    let mut net = Net::new(options(DtlsRole::Client, &[CM, GCM]));
    net.lose = Box::new(|way, nth| way == Way::ToPeer && nth == 0);
    net.run_until(|net| net.peer.is_connected() && net.client.is_connected());
    assert!(net.elapsed() <= 7 * ONE_WAY, "{:?}", net.elapsed());
}

/// Who is told its cookie too early to listen, or not at all, is told again a little later.
#[test]
fn a_client_that_missed_its_cookie_asks_for_it() {
    let mut net = Net::new(options(DtlsRole::Client, &[CM, GCM]));
    net.lose = Box::new(|way, nth| way == Way::ToClient && nth == 0);
    net.run_until(|net| net.peer.is_connected() && net.client.is_connected());
    assert!(
        net.elapsed() <= 8 * ONE_WAY + Duration::from_millis(100),
        "{:?}",
        net.elapsed()
    );
}

#[test]
fn connects_without_any_nomination() {
    let net = Net::connected(ClientOptions {
        nominate: false,
        ..ClientOptions::default()
    });
    assert_eq!(net.peer.path(), Some(net.path));
}

#[test]
fn each_lost_datagram_costs_little() {
    for role in [DtlsRole::Client, DtlsRole::Server] {
        for way in [Way::ToPeer, Way::ToClient] {
            for lost in 0..5 {
                let mut net = Net::new(options(role, &[CM, GCM]));
                net.lose = Box::new(move |sent, nth| sent == way && nth == lost);
                net.run_until(|net| net.peer.is_connected() && net.client.is_connected());
                let case = format!("client as {role:?}, datagram {lost} {way:?} lost");
                assert!(
                    net.peer.is_connected() && net.client.is_connected(),
                    "{case}: {:?}",
                    net.events
                );
                assert!(
                    net.elapsed() < Duration::from_millis(600),
                    "{case}: {:?}",
                    net.elapsed()
                );
            }
        }
    }
}

#[test]
fn connects_when_every_third_datagram_is_lost() {
    for role in [DtlsRole::Client, DtlsRole::Server] {
        for phase in 0..3 {
            let mut net = Net::new(options(role, &[CM, GCM]));
            net.lose = Box::new(move |_, nth| nth % 3 == phase);
            net.run_until(|net| net.peer.is_connected() && net.client.is_connected());
            assert!(
                net.peer.is_connected() && net.client.is_connected(),
                "{role:?} {phase}: {:?}",
                net.events
            );
        }
    }
}

#[test]
fn a_foreign_certificate_never_connects() {
    for role in [DtlsRole::Client, DtlsRole::Server] {
        let mut net = Net::with_spec(options(role, &[GCM]), |mut spec| {
            spec.remote_fingerprints = vec![TestClient::new(ClientOptions::default()).fingerprint()];
            spec
        });
        net.run_until(|net| net.closed().is_some());
        assert_eq!(
            net.closed(),
            Some(&CloseReason::FingerprintMismatch),
            "client as {role:?}"
        );
        assert!(net.peer.take_sender().is_none());
        net.run_for(Duration::from_secs(1));
        // As DTLS server it never gets our Finished; as client it never gets ours either.
        assert!(!net.client.is_connected(), "client as {role:?}");
    }
}

#[test]
fn no_fingerprint_at_all_never_connects() {
    let mut net = Net::with_spec(ClientOptions::default(), |mut spec| {
        spec.remote_fingerprints.clear();
        spec
    });
    net.run_until(|net| net.closed().is_some());
    assert_eq!(net.closed(), Some(&CloseReason::FingerprintMismatch));
}

#[test]
fn any_fingerprint_line_may_match() {
    let mut net = Net::with_spec(ClientOptions::default(), |mut spec| {
        let other = Fingerprint {
            algorithm: HashAlgorithm::Sha512,
            digest: vec![1; 64],
        };
        spec.remote_fingerprints.insert(0, other);
        spec
    });
    net.run_until(|net| net.peer.is_connected());
    assert!(net.peer.is_connected());
}

#[test]
fn gives_up_after_fifteen_seconds() {
    let mut net = Net::new(ClientOptions::default());
    net.lose = Box::new(|_, _| true);
    net.run_until(|net| net.closed().is_some());
    assert_eq!(net.closed(), Some(&CloseReason::HandshakeTimeout));
    assert_eq!(net.elapsed(), Duration::from_secs(15));
    assert_eq!(net.peer.poll_timeout(), None);
}

#[test]
fn our_own_client_hello_is_repeated_until_the_deadline() {
    let mut net = Net::new(options(DtlsRole::Server, &[GCM]));
    net.lose = Box::new(|way, _| way == Way::ToClient);
    net.run_until(|net| net.closed().is_some());
    assert_eq!(net.closed(), Some(&CloseReason::HandshakeTimeout));
    assert_eq!(net.dtls_sent[Way::ToClient as usize], 8);
}

#[test]
fn a_silent_peer_is_gone_after_thirty_seconds() {
    let mut net = Net::connected(ClientOptions::default());
    net.client.stop_checks();
    net.run_for(Duration::from_secs(29));
    assert_eq!(net.closed(), None);
    net.run_for(Duration::from_secs(2));
    assert_eq!(net.closed(), Some(&CloseReason::Silent));
}

#[test]
fn consent_checks_keep_it_alive() {
    let mut net = Net::connected(ClientOptions::default());
    net.run_for(Duration::from_secs(120));
    assert!(net.peer.is_connected());
}

#[test]
fn close_notify_ends_it_from_either_side() {
    let mut net = Net::connected(ClientOptions::default());
    let now = net.now;
    net.client.close(now);
    net.run_for(ONE_WAY * 2);
    assert_eq!(net.closed(), Some(&CloseReason::PeerClosed));

    let mut net = Net::connected(ClientOptions::default());
    net.peer.close();
    net.peer.close();
    net.run_for(ONE_WAY * 2);
    assert_eq!(net.closed(), Some(&CloseReason::LocalClose));
    assert_eq!(net.events.len(), 3, "closed once: {:?}", net.events);
    assert!(net.client.is_closed());
}
