//! Clients that are who they say, and absurd: whatever they send, nobody else notices, and what they cost stays
//! bounded.

use proptest::prelude::*;

use super::network::Rng;
use super::publisher::{PublisherSpec, written};
use super::viewer::ViewerSpec;
use super::world::{Id, World, ms, seconds};
use crate::core::ids::{PayloadType, Ssrc};
use crate::core::media::MediaKind;
use crate::core::rtp::{self, OutgoingHeader};

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 0, ..ProptestConfig::default() })]
    #[test]
    fn anything_in_any_order(seed: u64) {
        let mut n = Neighbourhood::new(seed);
        let (pt, ssrc) = n.ids(MediaKind::Video);
        let (audio_pt, audio_ssrc) = n.ids(MediaKind::Audio);
        let mut seq = 0u16;
        for round in 0..1_500u32 {
            seq = match n.rng.below(20) {
                0 => n.rng.next() as u16,
                1 => seq.wrapping_sub(n.rng.below(50) as u16),
                _ => seq.wrapping_add(1),
            };
            let (pt, ssrc) = match n.rng.below(12) {
                0 => (n.rng.next() as u8 & 0x7f, n.rng.below(8) as u32),
                1 => (97, n.rng.below(4) as u32 + 77),
                2 => (audio_pt, audio_ssrc),
                3 => (audio_pt, ssrc),
                _ => (pt, ssrc),
            };
            let len = n.rng.below(if round % 9 == 0 { 1300 } else { 20 }) as usize;
            let payload = n.rng.bytes(len);
            let timestamp = if n.rng.chance(0.1) { n.rng.next() as u32 } else { round * 3000 };
            let mut plain = written(&header(pt, ssrc, seq, timestamp), &payload);
            if n.rng.chance(0.1) {
                let at = n.rng.below(plain.len() as u64) as usize;
                plain[at] = n.rng.next() as u8;
            }
            let rtcp = n.rng.chance(0.2);
            if rtcp {
                plain[0] = 0x80 | plain[0] & 0x3f;
                plain[1] = 200 + (n.rng.below(8) as u8);
                let words = plain.len() as u16 / 4 - 1;
                plain[2..4].copy_from_slice(&words.to_be_bytes());
            }
            let whose = if rtcp && round % 2 == 0 { n.victim } else { n.villain };
            n.world.send(whose, &plain, rtcp);
            n.pause(round);
        }
        n.unharmed();
    }
}

/// A stream of decent people on both workers, and somebody who publishes another.
struct Neighbourhood {
    world: World,
    neighbours: Vec<Id>,
    villain: Id,
    victim: Id,
    rng: Rng,
    counted: Vec<usize>,
}

#[test]
fn random_bytes_under_the_right_ssrcs() {
    let mut n = Neighbourhood::new(200);
    let (video, audio) = (n.ids(MediaKind::Video), n.ids(MediaKind::Audio));
    for round in 0..3_000u32 {
        let (pt, ssrc) = if round % 3 == 0 { audio } else { video };
        let len = n.rng.below(1200) as usize;
        let payload = n.rng.bytes(len);
        let seq = n.rng.next() as u16;
        let timestamp = n.rng.next() as u32;
        n.rtp(pt, ssrc, seq, timestamp, &payload);
        n.pause(round);
    }
    n.unharmed();
}

#[test]
fn sequence_and_timestamp_jumps() {
    let mut n = Neighbourhood::new(201);
    let (pt, ssrc) = n.ids(MediaKind::Video);
    let (mut seq, mut timestamp) = (0u16, 0u32);
    for round in 0..3_000u32 {
        seq = seq.wrapping_add(if round % 5 == 0 { n.rng.next() as u16 } else { 1 });
        timestamp = timestamp.wrapping_add(if round % 3 == 0 { n.rng.next() as u32 } else { 3000 });
        // Each a VP8 keyframe.
        n.rtp(
            pt,
            ssrc,
            seq,
            timestamp,
            &[0x10, 0, 0, 0, 0x9d, 1, 0x2a, 64, 0, 64, 0, 0],
        );
        n.pause(round);
    }
    n.unharmed();
}

#[test]
fn a_hundred_thousand_ssrcs_and_unheard_of_rids() {
    let mut n = Neighbourhood::new(202);
    let (pt, _) = n.ids(MediaKind::Video);
    for round in 0..100_000u32 {
        let header = header(pt, 1_000_000 + round, 1, 0);
        let rid = format!("{:x}", n.rng.next());
        let mut plain = vec![0; 200];
        let len = rtp::write_header(&mut plain, &header, &[(9, b"0"), (10, rid.as_bytes())]).unwrap();
        plain.truncate(len);
        plain.extend([0x10, 0, 0, 0]);
        // The test's own SRTP keeps state for each SSRC; one sealed packet in twenty is enough.
        if round % 20 == 0 {
            n.world.send(n.villain, &plain, false);
        } else {
            n.world.send_raw(n.villain, &plain);
        }
        n.pause(round / 10);
    }
    n.unharmed();
}

#[test]
fn datagrams_cut_short_forged_and_none_at_all() {
    let mut n = Neighbourhood::new(203);
    for round in 0..5_000u32 {
        let len = n.rng.below(120) as usize;
        let mut data = n.rng.bytes(len);
        if let Some(first) = data.first_mut() {
            // STUN, DTLS, RTP, and RTCP as often as anything else.
            *first = [*first, 0, 22, 0x80, 0x90, 0xb0][round as usize % 6];
        }
        if let (0, Some(second)) = (round % 7, data.get_mut(1)) {
            *second = 200 + *second % 8;
        }
        let whose = if round % 2 == 0 { n.villain } else { n.victim };
        n.world.send_raw(whose, &data);
        // Authenticated, but no more sensible.
        if data.len() >= 12 {
            data[0] = 0x80 | data[0] & 0x3f;
            data[1] &= 0x7f;
            n.world.send(whose, &data, false);
            data[1] = 200 + data[1] % 8;
            n.world.send(whose, &data, true);
        }
        n.pause(round);
    }
    n.unharmed();
}

#[test]
fn empty_payloads_and_padding() {
    let mut n = Neighbourhood::new(204);
    let (pt, ssrc) = n.ids(MediaKind::Video);
    let (rtx_pt, rtx_ssrc) = (97, 0x0bad_cafe);
    for round in 0..3_000u32 {
        n.rtp(pt, ssrc, round as u16, round, &[]);
        n.rtp(rtx_pt, rtx_ssrc, round as u16, round, &[][..]);
        n.rtp(rtx_pt, rtx_ssrc, round as u16 + 1, round, &[0]);
        let mut padded = written(&header(pt, ssrc, round as u16 + 1, round), &[0, 0, 0, 200]);
        padded[0] |= 0x20;
        n.world.send(n.villain, &padded, false);
        n.pause(round);
    }
    n.unharmed();
}

#[test]
fn storms_of_nack_pli_fir_and_remb() {
    let mut n = Neighbourhood::new(205);
    let watched = n.world.viewer(n.neighbours[0]).ssrc(MediaKind::Video).unwrap();
    let publisher = Id(0);
    let start = n.world.now;
    let sent_before = n.world.client(n.neighbours[0]).down.bytes;
    for round in 0..300u32 {
        let mut compound = Vec::new();
        rtp::nack(&mut compound, Ssrc(1), Ssrc(watched), (0..250).map(|n| n * 17));
        rtp::pli(&mut compound, Ssrc(1), Ssrc(watched));
        rtp::fir(&mut compound, Ssrc(1), Ssrc(watched), round as u8);
        remb(&mut compound, watched);
        rtp::pli(&mut compound, Ssrc(round), Ssrc(n.rng.next() as u32));
        rtp::sender_report(&mut compound, Ssrc(watched), u64::MAX, round, 0, 0);
        for _ in 0..10 {
            n.world.send(n.neighbours[0], &compound, true);
        }
        n.world.run_for(ms(10));
    }
    let asked = &n.world.publisher(publisher).asked;
    assert!(
        asked.windows(2).all(|pair| pair[1] - pair[0] >= ms(500)),
        "{asked:?}"
    );
    let seconds = (n.world.now - start).as_secs_f64();
    let sent = n.world.client(n.neighbours[0]).down.bytes - sent_before;
    // The media itself is 0.9 Mbit/s or so; 400 packets a second may be had again, and 400 at once.
    assert!(
        (sent as f64) < (1_100.0 * 400.0 + 250_000.0) * seconds + 500_000.0,
        "{sent} bytes in {seconds} s"
    );
    n.counted = n.count();
    n.world.run_for(super::world::seconds(1));
    n.unharmed();
}

#[test]
fn reports_about_nothing_from_no_time() {
    let mut n = Neighbourhood::new(206);
    let (_, ssrc) = n.ids(MediaKind::Video);
    for round in 0..2_000u32 {
        let mut compound = Vec::new();
        let (ntp, stamp) = (n.rng.next(), n.rng.next() as u32);
        rtp::sender_report(&mut compound, Ssrc(ssrc), ntp, stamp, u32::MAX, u32::MAX);
        rtp::bye(&mut compound, Ssrc(ssrc));
        n.world.send(n.villain, &compound, true);
        n.pause(round);
    }
    n.unharmed();
}

impl Neighbourhood {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, 2);
        let publisher = world.publish("decent", PublisherSpec::chromium(), 0);
        world.connect(publisher);
        let neighbours: Vec<Id> = [0, 1]
            .map(|worker| world.watch("decent", ViewerSpec::chromium(), worker))
            .to_vec();
        let villain = world.publish("villain", PublisherSpec::chromium(), 0);
        let victim = world.watch("villain", ViewerSpec::chromium(), 1);
        for id in neighbours.iter().chain([&villain, &victim]) {
            world.connect(*id);
        }
        world.run_for(seconds(1));
        world.publisher_mut(villain).paused = true;
        world.viewer_mut(victim).gullible = true;
        world.run_for(ms(100));
        let mut neighbourhood = Self {
            world,
            neighbours,
            villain,
            victim,
            rng: Rng::new(seed),
            counted: Vec::new(),
        };
        neighbourhood.counted = neighbourhood.count();
        neighbourhood
    }

    fn ids(&self, kind: MediaKind) -> (u8, u32) {
        let publisher = self.world.publisher(self.villain);
        (publisher.pt(kind).unwrap(), publisher.ssrc(kind).unwrap())
    }

    fn rtp(&mut self, pt: u8, ssrc: u32, seq: u16, timestamp: u32, payload: &[u8]) {
        let plain = written(&header(pt, ssrc, seq, timestamp), payload);
        self.world.send(self.villain, &plain, false);
    }

    /// Time goes by, now and then.
    fn pause(&mut self, round: u32) {
        if round % 20 == 19 {
            self.world.run_for(ms(10));
        }
    }

    fn count(&self) -> Vec<usize> {
        self.neighbours
            .iter()
            .map(|id| self.world.viewer(*id).seen.len())
            .collect()
    }

    /// The neighbours saw everything all the time, the stored bytes are within bounds, and the villain's own
    /// stream works again once it behaves.
    fn unharmed(mut self) {
        self.world.run_for(ms(200));
        for (id, before) in self.neighbours.iter().zip(self.counted.clone()) {
            let viewer = self.world.viewer(*id);
            assert!(viewer.seen.len() > before);
            assert_eq!(viewer.holes(MediaKind::Video) + viewer.holes(MediaKind::Audio), 0);
            let video = viewer.video();
            assert!(
                video.windows(2).all(|pair| pair[1].at - pair[0].at < ms(60)),
                "without a pause"
            );
        }
        for engine in &self.world.engines {
            assert!(
                engine.stored_bytes() < 4 * 9_000_000,
                "{} bytes",
                engine.stored_bytes()
            );
        }
        assert!(!self.world.client(self.victim).test.is_closed());
        let next = self.world.publish("villain", PublisherSpec::chromium(), 1);
        self.world.connect(next);
        self.world.run_for(seconds(3));
        let seen = &self.world.viewer(self.victim).seen;
        let good = seen
            .iter()
            .filter(|seen| usize::from(seen.label.source) == next.0)
            .count();
        assert!(good > 300, "{good} packets of the next publisher");
    }
}

fn header(pt: u8, ssrc: u32, seq: u16, timestamp: u32) -> OutgoingHeader {
    OutgoingHeader {
        marker: false,
        pt: PayloadType(pt),
        seq,
        timestamp,
        ssrc: Ssrc(ssrc),
    }
}

/// As large a bandwidth as can be written (draft-alvestrand-rmcat-remb-03).
fn remb(out: &mut Vec<u8>, ssrc: u32) {
    out.extend([0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0]);
    out.extend(b"REMB");
    out.extend([1, 0xff, 0xff, 0xff]);
    out.extend(ssrc.to_be_bytes());
}
