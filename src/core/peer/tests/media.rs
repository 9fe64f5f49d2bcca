//! SRTP and SRTCP against rtc-srtp, which shares no code with ours.

use proptest::prelude::*;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;

use super::*;
use crate::core::peer::srtp_keys::Keys;

const PROFILES: [(SrtpProfile, ProtectionProfile, usize); 2] = [
    (SrtpProfile::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm, 12),
    (
        SrtpProfile::Aes128CmHmacSha1_80,
        ProtectionProfile::Aes128CmHmacSha1_80,
        14,
    ),
];
const KEY: [u8; 16] = [0x17; 16];
const SALT: [u8; 14] = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 11, 12, 13, 14];

fn keys(profile: SrtpProfile) -> Keys {
    Keys::derive(profile, &KEY, &SALT[..profile.salt_len()]).unwrap()
}

fn oracle(profile: ProtectionProfile, salt_len: usize) -> Context {
    let provider = rtc::crypto::default_provider().unwrap();
    Context::new(&KEY, &SALT[..salt_len], profile, None, None, provider.crypto()).unwrap()
}

fn sealed(sender: &mut SrtpSender, packet: &[u8], header_len: usize, index: u64) -> Vec<u8> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + SrtpSender::MAX_OVERHEAD, 0);
    let len = sender
        .seal_rtp(&mut buf, header_len, packet.len(), index)
        .unwrap();
    buf.truncate(len);
    buf
}

/// An RTP packet with as many CSRCs and extension words as told, and its header's length.
fn packet(sequence: u16, csrcs: u8, extension_words: Option<u8>, payload: &[u8]) -> (Vec<u8>, usize) {
    let mut packet = rtp(0xCAFE_BABE, sequence, &[]);
    packet[0] |= csrcs;
    packet.extend(std::iter::repeat_n(0x33, 4 * usize::from(csrcs)));
    if let Some(words) = extension_words {
        packet[0] |= 0x10;
        packet.extend_from_slice(&[0xBE, 0xDE, 0, words]);
        packet.extend(std::iter::repeat_n(0, 4 * usize::from(words)));
    }
    let header_len = packet.len();
    packet.extend_from_slice(payload);
    (packet, header_len)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_we_seal_rtc_opens_and_the_other_way_round(
        first in 0u16..,
        csrcs in 0u8..=15,
        extension in proptest::option::of(0u8..20),
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
    ) {
        for (profile, theirs, salt_len) in PROFILES {
            let (mut sender, mut receiver) = (SrtpSender::new(keys(profile)), SrtpReceiver::new(keys(profile)));
            let (mut sealing, mut opening) = (oracle(theirs, salt_len), oracle(theirs, salt_len));
            for (n, payload) in payloads.iter().enumerate() {
                // Across the rollover when `first` is near the end.
                let index = u64::from(first) + n as u64;
                let (plain, header_len) = packet(index as u16, csrcs, extension, payload);
                let ours = sealed(&mut sender, &plain, header_len, index);
                prop_assert_eq!(&opening.decrypt_rtp(&ours).unwrap()[..], &plain[..]);
                let mut theirs = sealing.encrypt_rtp(&plain).unwrap().to_vec();
                prop_assert_eq!(&theirs, &ours);
                let len = receiver.open_rtp(any_instant(), &mut theirs).unwrap();
                prop_assert_eq!(&theirs[..len], &plain[..]);
            }
        }
    }

    #[test]
    fn rtcp_agrees_both_ways(body in prop::collection::vec(any::<u8>(), 0..30), count in 1usize..5) {
        for (profile, theirs, salt_len) in PROFILES {
            let (mut sender, mut receiver) = (SrtpSender::new(keys(profile)), SrtpReceiver::new(keys(profile)));
            let (mut sealing, mut opening) = (oracle(theirs, salt_len), oracle(theirs, salt_len));
            for _ in 0..count {
                let mut plain = vec![0x80, 201, 0, 1, 0xCA, 0xFE, 0xBA, 0xBE];
                body.iter().for_each(|byte| plain.extend_from_slice(&[*byte; 4]));
                let mut ours = plain.clone();
                sender.seal_rtcp(&mut ours).unwrap();
                prop_assert_eq!(&opening.decrypt_rtcp(&ours).unwrap()[..], &plain[..]);
                let mut theirs = sealing.encrypt_rtcp(&plain).unwrap().to_vec();
                let len = receiver.open_rtcp(any_instant(), &mut theirs).unwrap();
                prop_assert_eq!(&theirs[..len], &plain[..]);
            }
        }
    }

    #[test]
    fn no_packet_makes_the_receiver_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        for (profile, ..) in PROFILES {
            let mut receiver = SrtpReceiver::new(keys(profile));
            prop_assert!(receiver.open_rtp(any_instant(), &mut bytes).is_err());
            prop_assert!(receiver.open_rtcp(any_instant(), &mut bytes).is_err());
            if let Some(first) = bytes.first_mut() {
                *first = *first & 0x3F | 0x80;
            }
            prop_assert!(receiver.open_rtp(any_instant(), &mut bytes).is_err());
            prop_assert_eq!(receiver.sources(), 0);
        }
    }
}

#[test]
fn nothing_is_opened_twice_even_across_the_rollover() {
    for (profile, ..) in PROFILES {
        let (mut sender, mut receiver) = (SrtpSender::new(keys(profile)), SrtpReceiver::new(keys(profile)));
        let now = any_instant();
        let packets: Vec<Vec<u8>> = (65_000u64..66_200)
            .map(|index| sealed(&mut sender, &rtp(5, index as u16, b"payload"), 12, index))
            .collect();
        for packet in &packets {
            receiver.open_rtp(now, &mut packet.clone()).unwrap();
        }
        for packet in &packets {
            assert_eq!(
                receiver.open_rtp(now, &mut packet.clone()),
                Err(OpenError::Replayed)
            );
        }
    }
}

#[test]
fn a_packet_a_keyframe_late_is_still_taken() {
    let profile = SrtpProfile::AeadAes128Gcm;
    let (mut sender, mut receiver) = (SrtpSender::new(keys(profile)), SrtpReceiver::new(keys(profile)));
    let now = any_instant();
    let late = sealed(&mut sender, &rtp(5, 65_530, b"late"), 12, 65_530);
    let first = sealed(&mut sender, &rtp(5, 65_000, b"first"), 12, 65_000);
    receiver.open_rtp(now, &mut first.clone()).unwrap();
    for index in 65_531u64..66_500 {
        receiver
            .open_rtp(
                now,
                &mut sealed(&mut sender, &rtp(5, index as u16, b"x"), 12, index),
            )
            .unwrap();
    }
    receiver.open_rtp(now, &mut late.clone()).unwrap();
}

#[test]
fn one_changed_bit_anywhere_is_noticed() {
    for (profile, ..) in PROFILES {
        let (mut sender, mut receiver) = (SrtpSender::new(keys(profile)), SrtpReceiver::new(keys(profile)));
        let now = any_instant();
        let rtp = sealed(&mut sender, &rtp(5, 1, b"some payload"), 12, 1);
        let mut rtcp = vec![0x80, 201, 0, 2, 0, 0, 0, 5, 1, 2, 3, 4];
        sender.seal_rtcp(&mut rtcp).unwrap();
        for bit in 0..rtp.len() * 8 {
            let mut broken = rtp.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(receiver.open_rtp(now, &mut broken).is_err(), "RTP bit {bit}");
        }
        for bit in 0..rtcp.len() * 8 {
            let mut broken = rtcp.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            // The first byte's version is not covered by what RTCP parses here, but it is authenticated.
            assert!(receiver.open_rtcp(now, &mut broken).is_err(), "RTCP bit {bit}");
        }
        assert_eq!(receiver.sources(), 0);
        receiver.open_rtp(now, &mut rtp.clone()).unwrap();
        receiver.open_rtcp(now, &mut rtcp.clone()).unwrap();
        assert_eq!(
            receiver.open_rtcp(now, &mut rtcp.clone()),
            Err(OpenError::Replayed)
        );
    }
}

#[test]
fn sealing_refuses_lengths_that_do_not_fit() {
    let mut sender = SrtpSender::new(keys(SrtpProfile::AeadAes128Gcm));
    let mut buf = rtp(1, 1, b"payload");
    let len = buf.len();
    assert_eq!(sender.seal_rtp(&mut buf, 12, len, 1), None, "no room for the tag");
    buf.resize(len + SrtpSender::MAX_OVERHEAD, 0);
    assert_eq!(sender.seal_rtp(&mut buf, 11, len, 1), None);
    assert_eq!(sender.seal_rtp(&mut buf, len + 1, len, 1), None);
    assert!(sender.seal_rtcp(&mut vec![0; 7]).is_err());
}

#[test]
fn media_flows_both_ways_once_connected() {
    for profile in [SrtpProfile::AeadAes128Gcm, SrtpProfile::Aes128CmHmacSha1_80] {
        let mut net = Net::connected(ClientOptions {
            profiles: vec![profile],
            ..ClientOptions::default()
        });
        let mut sender = net.peer.take_sender().unwrap();
        assert!(net.peer.take_sender().is_none(), "there is one sending half");
        let plain = rtp(77, 4711, b"downstream");
        net.send(Way::ToClient, sealed(&mut sender, &plain, 12, 4711));
        let upstream = rtp(88, 65_535, b"upstream");
        let packet = net.client.seal_rtp(&upstream).unwrap();
        net.send(Way::ToPeer, packet);
        let report = [0x80, 201, 0, 1, 0, 0, 0, 88];
        let packet = net.client.seal_rtcp(&report).unwrap();
        net.send(Way::ToPeer, packet);
        net.run_for(ONE_WAY * 2);
        assert_eq!(net.client_received, [ClientReceived::Rtp(plain)]);
        assert_eq!(net.received, [upstream, report.to_vec()]);
    }
}
