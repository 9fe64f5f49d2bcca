//! See [`Rewriter`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::rewriter::{Join, Placed, Playout, Rewriter};
use crate::core::ids::SeqNo;
use crate::core::media::Codec;
use crate::core::route::{BufferLimits, LayerBuffer, MediaPacket, SourceKey};
use crate::core::rtp::{FrameLayer, LayerBounds, PictureNumbers};
use bytes::Bytes;
use proptest::prelude::*;

fn packet(seq: u64, timestamp: u64, at: Instant) -> MediaPacket {
    MediaPacket {
        payload: Bytes::from_static(b"x"),
        seq: SeqNo(seq),
        timestamp,
        arrival: at,
        codec: Codec::Vp8,
        marker: false,
        keyframe: false,
        head: false,
        opens: false,
        picture: Default::default(),
        frame: Default::default(),
        carried: Default::default(),
        descriptor: Bytes::new(),
    }
}

const A: SourceKey = SourceKey { layer: 0, epoch: 1 };
const B: SourceKey = SourceKey { layer: 0, epoch: 2 };

#[test]
fn goes_on_by_one_and_by_the_time_that_passed_when_the_publisher_returns() {
    let start = origin();
    let mut rewriter = Rewriter::new(90_000, 1000, 5000);
    rewriter.begin_live(A, &packet(70_000, 1_000_000, start), None, start);
    let first = rewriter
        .place(A, &packet(70_000, 1_000_000, start), start)
        .unwrap();
    let second = rewriter
        .place(A, &packet(70_001, 1_003_000, start), start)
        .unwrap();
    assert_eq!((first.seq, first.timestamp), (1000, 5000));
    assert_eq!((second.seq, second.timestamp), (1001, 8000));
    let later = start + Duration::from_secs(5);
    rewriter.begin_live(B, &packet(12, 77, later), None, later);
    let third = rewriter.place(B, &packet(12, 77, later), later).unwrap();
    assert_eq!((third.seq, third.timestamp), (1002, 8000 + 5 * 90_000));
    assert_eq!(rewriter.place(A, &packet(70_002, 1_006_000, later), later), None);
}

#[test]
fn a_late_packet_keeps_its_place_and_a_nack_finds_it() {
    let start = origin();
    let mut rewriter = Rewriter::new(90_000, 10, 0);
    rewriter.begin_live(A, &packet(100, 0, start), None, start);
    rewriter.place(A, &packet(100, 0, start), start);
    rewriter.place(A, &packet(102, 0, start), start);
    let late = rewriter.place(A, &packet(101, 0, start), start).unwrap();
    assert_eq!(late.seq, 11);
    assert_eq!(rewriter.source_of(11), Some((A, SeqNo(101))));
    assert_eq!(rewriter.placed_before(11, &packet(101, 0, start)), Some(late));
    assert_eq!(rewriter.source_of(9), None, "before the first packet");
}

#[test]
fn stored_frames_are_a_millisecond_apart_and_live_follows() {
    let start = origin();
    let mut buffer = LayerBuffer::new(BufferLimits::default());
    for n in 0..150u64 {
        buffer.insert(packet(1000 + n, n * 3000, start));
    }
    let anchor = packet(1000, 0, start);
    let mut rewriter = Rewriter::new(90_000, 0, 0);
    rewriter.begin_run_up(A, &buffer, &anchor, Join::Afresh, start);
    let stored: Vec<Placed> = buffer
        .since(SeqNo(1000))
        .filter_map(|packet| rewriter.place(A, packet, start))
        .collect();
    assert_eq!(stored.len(), 150);
    assert!(
        stored
            .windows(2)
            .all(|pair| pair[1].timestamp == pair[0].timestamp + 90)
    );
    assert!(stored.iter().all(|placed| placed.playout == Playout::Immediate));
    let live = rewriter
        .place(A, &packet(1150, 150 * 3000, start), start)
        .unwrap();
    assert_eq!(live.seq, 150);
    assert_eq!(live.timestamp, 149 * 90 + 3000);
    assert_eq!(live.playout, Playout::Normal);
}

#[test]
fn after_a_start_over_a_number_still_means_what_was_sent_under_it() {
    let start = origin();
    let mut buffer = LayerBuffer::new(BufferLimits::default());
    for n in 0..10u64 {
        buffer.insert(packet(1000 + n, n * 3000, start));
    }
    let mut rewriter = Rewriter::new(90_000, 0, 0);
    rewriter.begin_live(A, &packet(1000, 0, start), None, start);
    let sent: Vec<Placed> = buffer
        .since(SeqNo(1000))
        .filter_map(|packet| rewriter.place(A, packet, start))
        .collect();
    rewriter.begin_run_up(A, &buffer, &packet(1000, 0, start), Join::Afresh, start);
    let again = rewriter.place(A, &packet(1000, 0, start), start).unwrap();
    assert_eq!(again.seq, 10);
    assert_eq!(rewriter.source_of(5), Some((A, SeqNo(1005))));
    assert_eq!(
        rewriter.placed_before(5, &packet(1005, 5 * 3000, start)),
        Some(sent[5])
    );
    // The run-up is broken off after its first packet: the numbers it had in mind are another's.
    rewriter.begin_live(B, &packet(7, 0, start), None, start);
    assert_eq!(rewriter.place(B, &packet(7, 0, start), start).unwrap().seq, 11);
    assert_eq!(rewriter.source_of(11), Some((B, SeqNo(7))));
    assert_eq!(
        rewriter.place(A, &packet(1005, 5 * 3000, start), start),
        Some(sent[5])
    );
}

#[test]
fn a_newer_keyframe_cuts_a_run_up_short_without_a_hole() {
    let start = origin();
    let mut buffer = LayerBuffer::new(BufferLimits::default());
    for n in 0..100u64 {
        buffer.insert(packet(1000 + n, n * 3000, start));
    }
    let mut rewriter = Rewriter::new(90_000, 0, 0);
    rewriter.begin_run_up(A, &buffer, &packet(1000, 0, start), Join::Afresh, start);
    for n in 0..40u64 {
        rewriter
            .place(A, &packet(1000 + n, n * 3000, start), start)
            .unwrap();
    }
    let keyframe = packet(1105, 105 * 3000, start);
    rewriter.skip_to(A, &keyframe);
    let placed = rewriter.place(A, &keyframe, start).unwrap();
    assert_eq!(placed.seq, 40);
    assert_eq!(
        placed.timestamp,
        99 * 90 + 6 * 3000,
        "as if nothing had been left out"
    );
    assert_eq!(rewriter.source_of(39), Some((A, SeqNo(1039))));
    assert_eq!(
        rewriter.place(A, &packet(1041, 41 * 3000, start), start),
        None,
        "left out for good"
    );
}

#[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

/// Three temporal layers of VP8, in the order that libvpx sends them: 0, 2, 1, 2, of `packets` packets each. The
/// first 2 and the 1 refer to the base layer alone.
fn layered(start: Instant, frames: u64, packets: u64) -> Vec<MediaPacket> {
    let mut stream = Vec::new();
    for frame in 0..frames {
        let (temporal, sync) = [(0, false), (2, true), (1, true), (2, false)][frame as usize % 4];
        let [high, low] = (0x8000 | (0x7ff8 + frame as u16) & 0x7fff).to_be_bytes();
        for index in 0..packets {
            let first = if index == 0 { 0x90 } else { 0x80 };
            let base = (frame / 4) as u8;
            let byte = temporal << 6 | u8::from(sync) << 5;
            let payload = [first, 0xe0, high, low, base, byte, u8::from(frame > 0)];
            let mut one = packet(1000 + frame * packets + index, frame * 3000, start);
            one.picture = PictureNumbers::read(Codec::Vp8, &payload);
            one.frame = FrameLayer::of_payload(Codec::Vp8, &payload);
            one.keyframe = frame == 0 && index == 0;
            one.marker = index + 1 == packets;
            one.payload = Bytes::copy_from_slice(&payload);
            stream.push(one);
        }
    }
    stream
}

fn temporal(temporal: u8) -> LayerBounds {
    LayerBounds {
        temporal,
        ..LayerBounds::default()
    }
}

const TOP: LayerBounds = LayerBounds {
    spatial: 0,
    temporal: 2,
};

#[test]
fn pictures_left_out_leave_no_hole_in_any_number() {
    let start = origin();
    let stream = layered(start, 400, 3);
    let mut rewriter = Rewriter::new(90_000, 5, 7);
    rewriter.want(temporal(1), TOP);
    rewriter.begin_live(A, &stream[0], None, start);
    let mut sent: Vec<(Placed, &MediaPacket)> = Vec::new();
    for packet in &stream {
        if let Some(placed) = rewriter.place(A, packet, start) {
            sent.push((placed, packet));
        }
    }
    assert_eq!(sent.len(), 600);
    for (index, (placed, packet)) in sent.iter().enumerate() {
        assert_eq!(placed.seq, 5 + index as u64);
        assert!(!placed.blank && packet.frame.temporal < 2);
        assert_eq!(placed.marker, index % 3 == 2);
        let id = packet.picture.shifted(placed.picture).id().unwrap();
        assert_eq!(id, (0x7ff8 + index as u16 / 3) & 0x7fff);
        // What is asked for again is what it was.
        if index > 300 {
            let seq = placed.seq as u16;
            assert_eq!(rewriter.source_of(seq), Some((A, packet.seq)));
            assert_eq!(rewriter.placed_before(seq, packet), Some(*placed));
        }
    }
}

#[test]
fn fewer_layers_from_the_next_picture_on_and_more_where_they_can_be_taken_up() {
    let start = origin();
    let stream = layered(start, 40, 2);
    let mut rewriter = Rewriter::new(90_000, 5, 7);
    rewriter.begin_live(A, &stream[0], None, start);
    let mut shown: Vec<(usize, u8)> = Vec::new();
    for (index, packet) in stream.iter().enumerate() {
        // In the middle of pictures of layer 2; later between two of them.
        match index {
            11 => rewriter.want(temporal(0), TOP),
            35 => rewriter.want(temporal(1), TOP),
            49 => rewriter.want(LayerBounds::default(), TOP),
            _ => {}
        }
        if rewriter.place(A, packet, start).is_some() {
            shown.push((index / 2, packet.frame.temporal));
        }
        assert_eq!(
            rewriter.lacks_temporal(),
            matches!(index, 35..36 | 49..50),
            "{index}"
        );
    }
    let pictures: Vec<usize> = shown.iter().step_by(2).map(|(picture, _)| *picture).collect();
    assert!(
        shown.chunks(2).all(|pair| pair[0] == pair[1]),
        "pictures are whole"
    );
    let expected = [
        &[0, 1, 2, 3, 4, 5, 8, 12, 16, 18, 20, 22, 24, 25][..],
        &(26..40).collect::<Vec<_>>(),
    ];
    assert_eq!(pictures, expected.concat());
}

#[test]
fn what_comes_too_late_to_be_left_out_is_a_number_without_a_payload() {
    let start = origin();
    let stream = layered(start, 8, 2);
    let mut rewriter = Rewriter::new(90_000, 0, 7);
    rewriter.want(temporal(0), TOP);
    rewriter.begin_live(A, &stream[0], None, start);
    let mut place = |index: usize| rewriter.place(A, &stream[index], start);
    // Of picture 1 the second packet is late, and so is the first of picture 4, which is of the base layer.
    for index in [0, 1, 2, 4, 5, 6, 7, 9] {
        let placed = place(index);
        assert_eq!(placed.is_some(), matches!(index, 0 | 1 | 9), "{index}");
    }
    let late = place(3).unwrap();
    assert!(late.blank && !late.marker);
    assert_eq!(late.seq, 2);
    let base = place(8).unwrap();
    assert_eq!((base.seq, base.blank), (3, false));
    assert_eq!(rewriter.placed_before(2, &stream[3]), Some(late));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever is lost, late or left out: a number is given once, it is always the same packet's and in the same way,
    /// and numbers have holes only where packets are missing.
    #[test]
    fn numbers_mean_one_thing(
        packets in 1..4u64,
        fates in proptest::collection::vec(prop_oneof![6 => Just(0usize), 1 => Just(usize::MAX), 2 => 1..30usize], 240),
        wishes in proptest::collection::vec((0..240usize, 0..4u8), 0..12),
        switch_at in 0..240usize,
    ) {
        let start = origin();
        let stream = layered(start, 60, packets);
        // Each packet comes at its place or so many places later, or never.
        let mut arrivals: Vec<(usize, &MediaPacket)> = stream
            .iter()
            .zip(fates.iter().cycle())
            .enumerate()
            .filter(|(index, (_, fate))| *index == 0 || **fate != usize::MAX)
            .map(|(index, (packet, fate))| (if index == 0 { 0 } else { index + fate }, packet))
            .collect();
        arrivals.sort_by_key(|(at, _)| *at);
        let mut rewriter = Rewriter::new(90_000, 100, 7);
        rewriter.begin_live(A, &stream[0], None, start);
        let mut key = A;
        let mut sent: BTreeMap<u64, (Placed, SourceKey, &MediaPacket)> = BTreeMap::new();
        for (step, (_, packet)) in arrivals.iter().enumerate() {
            for (_, limit) in wishes.iter().filter(|(at, _)| *at == step) {
                rewriter.want(if *limit == 3 { LayerBounds::default() } else { temporal(*limit) }, TOP);
            }
            if step == switch_at {
                // The source begins anew, with the same numbers.
                key = B;
                rewriter.begin_live(B, packet, None, start);
            }
            if let Some(placed) = rewriter.place(key, packet, start) {
                let before = sent.insert(placed.seq, (placed, key, packet));
                prop_assert!(before.is_none(), "{placed:?} after {before:?}");
            }
        }
        let highest = *sent.keys().last().unwrap();
        for (seq, (placed, key, packet)) in &sent {
            let again = rewriter.source_of(*seq as u16);
            prop_assert_eq!(again, Some((*key, packet.seq)));
            prop_assert_eq!(rewriter.placed_before(*seq as u16, packet), Some(*placed));
        }
        // A hole stands for a packet that has not come.
        for seq in 100..highest {
            if !sent.contains_key(&seq) && let Some((source, incoming)) = rewriter.source_of(seq as u16) {
                let came = arrivals.iter().enumerate().any(|(step, (_, packet))| {
                    packet.seq == incoming && (step >= switch_at) == (source == B)
                });
                prop_assert!(!came, "{incoming:?} of {source:?} came, but {seq} was not sent");
            }
        }
    }
}
