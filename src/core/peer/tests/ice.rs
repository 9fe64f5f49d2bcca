//! Checks and where media goes.

use std::net::SocketAddr;

use super::*;
use crate::core::peer::testing::Check;

fn check(net: &Net) -> Check {
    net.client.check()
}

fn deliver_from(net: &mut Net, path: Path, check: &Check) -> Option<(Path, Vec<u8>)> {
    assert_eq!(
        net.peer.handle_datagram(net.now, path, &mut check.encode()),
        Received::Nothing
    );
    net.peer
        .poll_transmit()
        .map(|(path, bytes)| (path, bytes.to_vec()))
}

#[test]
fn answers_only_who_knows_the_password() {
    let mut net = Net::new(ClientOptions::default());
    let here = path("198.51.100.7:1");
    let good = check(&net);
    let wrong = [
        Check {
            pwd: "wrong".into(),
            ..good.clone()
        },
        Check {
            username: "a:b".into(),
            ..good.clone()
        },
        Check {
            username: good.username.replace(':', ""),
            ..good.clone()
        },
        Check {
            username: format!("{}:other", net.server_ice.ufrag),
            ..good.clone()
        },
        // A role conflict is not answered before the password is checked either.
        Check {
            pwd: "wrong".into(),
            controlling: false,
            ..good.clone()
        },
    ];
    for wrong in &wrong {
        assert_eq!(deliver_from(&mut net, here, wrong), None, "{wrong:?}");
    }
    assert_eq!(net.peer.path(), None);
    assert_eq!(net.peer.counters().stun_unauthenticated, wrong.len() as u64);
    assert!(deliver_from(&mut net, here, &good).is_some());
    assert_eq!(net.peer.path(), Some(here));
}

#[test]
fn bare_checks_are_enough() {
    let mut net = Net::new(ClientOptions::default());
    let bare = Check {
        priority: None,
        fingerprint: false,
        use_candidate: false,
        ..check(&net)
    };
    assert!(deliver_from(&mut net, path("[2001:db8::1]:5"), &bare).is_some());
    assert_eq!(net.peer.path(), Some(path("[2001:db8::1]:5")));
}

#[test]
fn an_authenticated_role_conflict_is_487() {
    let mut net = Net::new(ClientOptions::default());
    let conflict = Check {
        controlling: false,
        ..check(&net)
    };
    let (_, answer) = deliver_from(&mut net, path("192.0.2.9:9"), &conflict).unwrap();
    assert_eq!(answer[..2], [0x01, 0x11]);
    assert!(answer.windows(4).any(|window| window == [0, 0, 4, 87]));
    assert_eq!(net.peer.path(), None);
}

#[test]
fn answers_go_where_the_check_came_from_and_are_small() {
    let mut net = Net::new(ClientOptions::default());
    let here = Path {
        remote: "192.0.2.9:9".parse().unwrap(),
        local: Some("203.0.113.1".parse().unwrap()),
    };
    let request = check(&net);
    let (to, answer) = deliver_from(&mut net, here, &request).unwrap();
    assert_eq!(to, here);
    assert!(answer.len() <= request.encode().len());
}

#[test]
fn media_moves_by_nomination_alone_while_its_path_lives() {
    let mut net = Net::connected(ClientOptions::default());
    let first = net.path;
    let elsewhere = path("203.0.113.5:7000");
    let plain = Check {
        use_candidate: false,
        ..check(&net)
    };
    assert!(deliver_from(&mut net, elsewhere, &plain).is_some());
    assert_eq!(net.peer.path(), Some(first));
    let nominating = check(&net);
    assert!(deliver_from(&mut net, elsewhere, &nominating).is_some());
    assert_eq!(net.peer.path(), Some(elsewhere));
    assert_eq!(net.peer.poll_event(), Some(PeerEvent::PathChanged(elsewhere)));
}

#[test]
fn a_plain_check_moves_media_off_a_silent_path() {
    let mut net = Net::connected(ClientOptions {
        nominate: false,
        ..ClientOptions::default()
    });
    net.client.stop_checks();
    net.run_for(Duration::from_secs(4));
    let elsewhere = path("203.0.113.5:7000");
    let plain = check(&net);
    deliver_from(&mut net, elsewhere, &plain);
    assert_eq!(net.peer.path(), Some(elsewhere));
}

#[test]
fn two_pairs_nominated_in_turn_settle_on_the_better_one() {
    let mut net = Net::connected(ClientOptions::default());
    let (good, bad) = (path("203.0.113.5:1"), path("203.0.113.6:1"));
    let high = Check {
        priority: Some(0x7000_0000),
        ..check(&net)
    };
    let low = Check {
        priority: Some(0x1000_0000),
        ..check(&net)
    };
    for _ in 0..2 {
        deliver_from(&mut net, good, &high);
        deliver_from(&mut net, bad, &low);
    }
    while net.peer.poll_event().is_some() {}
    for _ in 0..5 {
        net.now += Duration::from_millis(500);
        deliver_from(&mut net, bad, &low);
        deliver_from(&mut net, good, &high);
        assert_eq!(net.peer.path(), Some(good));
    }
    assert_eq!(net.peer.poll_event(), None, "it stays there");
}

#[test]
fn no_more_than_eight_paths_are_remembered() {
    let mut net = Net::connected(ClientOptions::default());
    let media = net.path;
    let plain = Check {
        use_candidate: false,
        ..check(&net)
    };
    let from = |n: u16| Path {
        remote: SocketAddr::from(([203, 0, 113, 1], n)),
        local: None,
    };
    for n in 1..=1000 {
        net.now += Duration::from_millis(1);
        deliver_from(&mut net, from(n), &plain);
    }
    let unvalidated = |net: &mut Net, path| {
        let before = net.peer.counters().unvalidated_path;
        net.peer.handle_datagram(net.now, path, &mut [0x80; 40]);
        net.peer.counters().unvalidated_path > before
    };
    assert!(unvalidated(&mut net, from(900)));
    assert!(!unvalidated(&mut net, from(999)));
    assert!(
        !unvalidated(&mut net, media),
        "the path of media is never forgotten"
    );
}

#[test]
fn a_restart_keeps_media_going_and_retires_the_old_credentials() {
    let mut net = Net::connected(ClientOptions::default());
    let old = check(&net);
    let server = random_credentials();
    let now = net.now;
    let local = net.client.restart_ice(now, &server);
    net.peer.restart_ice(server.clone(), local);
    assert_eq!(net.peer.local_ufrag(), server.ufrag);
    let first = net.path;
    assert!(
        deliver_from(&mut net, first, &old).is_some(),
        "the old ones count until the new ones are used"
    );
    net.run_for(ONE_WAY * 3);
    assert!(net.peer.is_connected());
    assert_eq!(net.peer.path(), Some(first));
    assert!(deliver_from(&mut net, first, &old).is_none());
    net.run_for(Duration::from_secs(60));
    assert!(net.peer.is_connected());
}

#[test]
fn unused_new_credentials_do_not_keep_the_old_ones_for_ever() {
    let mut net = Net::connected(ClientOptions::default());
    let old = check(&net);
    net.client.stop_checks();
    net.peer.restart_ice(random_credentials(), random_credentials());
    net.run_for(Duration::from_secs(11));
    let first = net.path;
    assert!(deliver_from(&mut net, first, &old).is_none());
}

#[test]
fn the_stateless_peek_agrees_with_the_state_machine() {
    let net = Net::new(ClientOptions::default());
    let good = check(&net);
    let bytes = good.encode();
    assert_eq!(
        stun_username(&bytes),
        Some((
            net.server_ice.ufrag.as_str(),
            net.client.local_ice().ufrag.as_str()
        ))
    );
    assert!(stun_authentic(&bytes, &net.server_ice.pwd));
    assert!(!stun_authentic(&bytes, "other"));
    // The last eight bytes are FINGERPRINT, which a check need not have.
    for at in 0..bytes.len() - 8 {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        assert!(!stun_authentic(&broken, &net.server_ice.pwd), "byte {at}");
        assert!(!stun_authentic(&bytes[..at], &net.server_ice.pwd), "cut at {at}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_answer(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let identity = Arc::new(Identity::generate().unwrap());
        let client = TestClient::new(ClientOptions::default());
        let mut peer = Peer::new(&identity, &client.transport_spec(&random_credentials()), any_instant());
        peer.handle_datagram(any_instant(), path("192.0.2.1:1"), &mut bytes);
        proptest::prop_assert!(peer.poll_transmit().is_none());
        if bytes.len() >= 20 {
            let length = (bytes.len() - 20) as u8 & 0xFC;
            bytes[..8].copy_from_slice(&[0, 1, 0, length, 0x21, 0x12, 0xA4, 0x42]);
            peer.handle_datagram(any_instant(), path("192.0.2.1:1"), &mut bytes);
            proptest::prop_assert!(peer.poll_transmit().is_none());
        }
    }
}
