use super::feedback::{Status, TransportFeedback};
use super::receiver::FeedbackReceiver;
use proptest::prelude::*;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, SymbolTypeTcc, TransportLayerCc,
};
use rtc::shared::marshal::Unmarshal;
use std::time::Duration;

#[test]
fn chunks_of_every_kind() {
    let packet = body(
        0xfffe,
        14 + 7 + 3,
        &[
            0b1010_0000_0000_0001,
            0b1101_1011_0000_0000,
            0b0010_0000_0000_0011,
        ],
        &[4, 5, 6, 0xff, 0xff, 7, 8, 9],
    );
    let feedback = TransportFeedback::parse(&packet).unwrap();
    assert_eq!((feedback.base, feedback.count), (0xfffe, 24));
    assert_eq!(
        feedback.statuses().collect::<Vec<_>>(),
        [
            Status::Received(4),
            Status::Missing(12),
            Status::Received(5),
            Status::Received(6),
            Status::Received(-1),
            Status::Untimed,
            Status::Missing(4),
            Status::Received(7),
            Status::Received(8),
            Status::Received(9),
        ]
    );
}

#[test]
fn a_packet_without_all_its_deltas_or_chunks_is_none() {
    assert!(TransportFeedback::parse(&body(0, 3, &[0x2003], &[1, 2, 3])).is_some());
    assert!(TransportFeedback::parse(&body(0, 3, &[0x2003], &[1, 2])).is_none());
    assert!(TransportFeedback::parse(&body(0, 3, &[0x4003], &[1, 2])).is_none());
    assert!(TransportFeedback::parse(&body(0, 3, &[0x0002], &[])).is_none());
    assert!(TransportFeedback::parse(&body(0, 0xffff, &[0x1fff; 8], &[])).is_none());
    let whole = body(0, 0xffff, &[0x1fff; 9], &[]);
    let missing: u32 = TransportFeedback::parse(&whole)
        .unwrap()
        .statuses()
        .map(|status| match status {
            Status::Missing(run) => u32::from(run),
            status => panic!("{status:?}"),
        })
        .sum();
    assert_eq!(missing, 0xffff);
}

#[test]
fn a_run_of_none_is_passed_over() {
    let packet = body(0, 2, &[0x2000, 0, 0x2001, 0x4000, 0x2001], &[1, 2]);
    let statuses: Vec<_> = TransportFeedback::parse(&packet).unwrap().statuses().collect();
    assert_eq!(statuses, [Status::Received(1), Status::Received(2)]);
}

#[test]
fn the_reference_time_has_a_sign() {
    let mut packet = body(0, 0, &[], &[]);
    packet[16..19].copy_from_slice(&[0xff, 0xff, 0xfe]);
    assert_eq!(TransportFeedback::parse(&packet).unwrap().reference, -2);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(feedback) = TransportFeedback::parse(&bytes) {
            let statuses: Vec<_> = feedback.statuses().collect();
            prop_assert_eq!(statuses.iter().map(|status| packets(*status)).sum::<u32>(), u32::from(feedback.count));
            let received = statuses.iter().filter(|status| !matches!(status, Status::Missing(_))).count();
            prop_assert!(statuses.len() - received <= bytes.len() * 7, "{} items", statuses.len());
        }
    }

    #[test]
    fn chunks_read_as_the_other_reader_reads_them(
        base: u16, count in 0..400u16,
        chunks in proptest::collection::vec(prop_oneof![0..0x40u16, 0x2000..0x2040u16, 0x4000..0x4040u16, 0x8000u16..], 0..60),
        deltas in proptest::collection::vec(any::<u8>(), 500),
    ) {
        // It knows no reserved symbol, and reads no chunk beyond what the count asks for.
        let packet = body(base, count, &chunks, &deltas);
        let ours = TransportFeedback::parse(&packet);
        if let (Some(ours), Ok(theirs)) = (ours, TransportLayerCc::unmarshal(&mut &packet[..])) {
            let mut symbols: Vec<SymbolTypeTcc> = theirs.packet_chunks.iter().flat_map(|chunk| match chunk {
                PacketStatusChunk::RunLengthChunk(run) => vec![run.packet_status_symbol; run.run_length.into()],
                PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
            }).collect();
            symbols.truncate(count.into());
            let received: Vec<i64> = ours.statuses().filter_map(|status| match status {
                Status::Received(delta) => Some(i64::from(delta) * 250),
                _ => None,
            }).collect();
            let missing: u32 = ours.statuses().filter(|status| matches!(status, Status::Missing(_))).map(packets).sum();
            prop_assert_eq!(missing as usize, symbols.iter().filter(|symbol| **symbol == SymbolTypeTcc::PacketNotReceived).count());
            let theirs: Vec<i64> = theirs.recv_deltas.iter().map(|delta| delta.delta).take(received.len()).collect();
            prop_assert_eq!(received, theirs);
        }
    }

    #[test]
    fn what_a_receiver_writes_is_what_it_received(
        first: u16,
        packets in proptest::collection::vec((1..30u16, 0..200_000u64), 1..100),
    ) {
        let mut receiver = FeedbackReceiver::default();
        let mut at = 1_000_000;
        let mut seq = first;
        let mut expected = Vec::new();
        for (gap, wait) in packets {
            seq = seq.wrapping_add(gap);
            at += wait / 250 * 250;
            receiver.received(seq, Duration::from_micros(at));
            expected.push((seq, at));
        }
        let mut seen = Vec::new();
        while let Some(packet) = receiver.feedback() {
            let padding = if packet[0] & 0x20 == 0 { 0 } else { usize::from(*packet.last().unwrap()) };
            let feedback = TransportFeedback::parse(&packet[..packet.len() - padding]).unwrap();
            let mut seq = feedback.base;
            let mut at = i64::from(feedback.reference) * 64_000;
            for status in feedback.statuses() {
                if let Status::Received(delta) = status {
                    at += i64::from(delta) * 250;
                    seen.push((seq, at as u64));
                }
                seq = seq.wrapping_add(super::feedback_tests::packets(status) as u16);
            }
        }
        prop_assert_eq!(seen, expected);
    }
}

fn packets(status: Status) -> u32 {
    match status {
        Status::Missing(run) => run.into(),
        _ => 1,
    }
}

fn body(base: u16, count: u16, chunks: &[u16], deltas: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    packet.extend(base.to_be_bytes());
    packet.extend(count.to_be_bytes());
    packet.extend([0, 0, 1, 9]);
    for chunk in chunks {
        packet.extend(chunk.to_be_bytes());
    }
    packet.extend(deltas);
    packet.resize(packet.len().next_multiple_of(4), 0);
    let words = (packet.len() / 4 - 1) as u16;
    packet[2..4].copy_from_slice(&words.to_be_bytes());
    packet
}
