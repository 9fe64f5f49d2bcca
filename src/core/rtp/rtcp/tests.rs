use super::*;
use crate::core::ids::Bitrate;
use proptest::prelude::*;
use rtc::rtcp as other;
use rtc::rtcp::Packet;

#[test]
fn reports_written_elsewhere_are_read_here() {
    let report = other::reception_report::ReceptionReport {
        ssrc: 5,
        fraction_lost: 64,
        total_lost: 0xff_fffe,
        last_sequence_number: 0x0001_0203,
        jitter: 9,
        last_sender_report: 0xdead_beef,
        delay: 65536,
    };
    let block = ReportBlock {
        ssrc: Ssrc(5),
        fraction_lost: 64,
        cumulative_lost: -2,
        highest_seq: 0x0001_0203,
        jitter: 9,
        lsr: 0xdead_beef,
        dlsr: 65536,
    };
    let compound = marshal(vec![
        Box::new(other::sender_report::SenderReport {
            ssrc: 1,
            ntp_time: 0x0123_4567_89ab_cdef,
            rtp_time: 90_000,
            packet_count: 3,
            octet_count: 4,
            reports: vec![report.clone()],
            ..Default::default()
        }),
        Box::new(other::receiver_report::ReceiverReport {
            ssrc: 2,
            reports: vec![
                report.clone(),
                other::reception_report::ReceptionReport { ssrc: 6, ..report },
            ],
            ..Default::default()
        }),
        Box::new(other::receiver_report::ReceiverReport {
            ssrc: 3,
            ..Default::default()
        }),
        Box::new(other::goodbye::Goodbye {
            sources: vec![7, 8],
            reason: "done".into(),
        }),
    ]);
    let items: Vec<_> = feedback(&compound).collect();
    let Rtcp::SenderReport {
        ssrc,
        ntp,
        rtp,
        packets,
        octets,
        blocks,
    } = items[0]
    else {
        panic!("{items:?}")
    };
    assert_eq!(
        (ssrc, ntp, rtp, packets, octets),
        (Ssrc(1), 0x0123_4567_89ab_cdef, 90_000, 3, 4)
    );
    assert_eq!(blocks.collect::<Vec<_>>(), [block]);
    assert_eq!(
        items[1..],
        [
            Rtcp::ReceiverReport { ssrc: Ssrc(2), block },
            Rtcp::ReceiverReport {
                ssrc: Ssrc(2),
                block: ReportBlock {
                    ssrc: Ssrc(6),
                    ..block
                }
            },
            Rtcp::Bye { ssrc: Ssrc(7) },
            Rtcp::Bye { ssrc: Ssrc(8) },
        ]
    );
}

#[test]
fn feedback_written_elsewhere_is_read_here() {
    use other::payload_feedbacks::{
        full_intra_request::{FirEntry, FullIntraRequest},
        picture_loss_indication::PictureLossIndication,
        receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate,
        slice_loss_indication::{SliEntry, SliceLossIndication},
    };
    use other::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
    let pair = |packet_id, lost_packets| NackPair {
        packet_id,
        lost_packets,
    };
    let fir = |ssrc, sequence_number| FirEntry {
        ssrc,
        sequence_number,
    };
    let compound = marshal(vec![
        Box::new(TransportLayerNack {
            sender_ssrc: 1,
            media_ssrc: 2,
            nacks: vec![pair(10, 5), pair(65535, 1)],
        }),
        Box::new(PictureLossIndication {
            sender_ssrc: 1,
            media_ssrc: 3,
        }),
        // Not a thing anybody acts on: passed over.
        Box::new(SliceLossIndication {
            sender_ssrc: 1,
            media_ssrc: 3,
            sli_entries: vec![SliEntry {
                first: 1,
                number: 2,
                picture: 3,
            }],
        }),
        Box::new(FullIntraRequest {
            sender_ssrc: 1,
            media_ssrc: 0,
            fir: vec![fir(4, 9), fir(5, 255)],
        }),
        Box::new(ReceiverEstimatedMaximumBitrate {
            sender_ssrc: 1,
            bitrate: 2_500_000.0,
            ssrcs: vec![6, 7],
        }),
    ]);
    let items: Vec<_> = feedback(&compound).collect();
    assert_eq!(
        items[..5],
        [
            Rtcp::Nack {
                media: Ssrc(2),
                pid: 10,
                blp: 5
            },
            Rtcp::Nack {
                media: Ssrc(2),
                pid: 65535,
                blp: 1
            },
            Rtcp::Pli { media: Ssrc(3) },
            Rtcp::Fir {
                media: Ssrc(4),
                seq: 9
            },
            Rtcp::Fir {
                media: Ssrc(5),
                seq: 255
            },
        ]
    );
    let Rtcp::Remb {
        bitrate: Bitrate(bitrate),
        ssrcs,
    } = items[5]
    else {
        panic!("{items:?}")
    };
    assert!((2_499_900..=2_500_000).contains(&bitrate), "{bitrate}");
    assert_eq!(ssrcs.collect::<Vec<_>>(), [Ssrc(6), Ssrc(7)]);
    assert_eq!(items.len(), 6);
}

#[test]
fn raw_packets_are_handed_on_whole() {
    let transport_cc = [0x8f, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 1, 0, 0, 0, 0];
    let xr = [0x80, 207, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0];
    let compound = [&transport_cc[..], &xr[..]].concat();
    let items: Vec<_> = feedback(&compound).collect();
    assert_eq!(items, [Rtcp::TransportCc(&transport_cc), Rtcp::Xr(&xr)]);
}

#[test]
fn an_enormous_bitrate_saturates() {
    let remb = |exponent_mantissa: [u8; 3]| {
        let mut packet = vec![0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 0];
        packet.extend(exponent_mantissa);
        let Some(Rtcp::Remb { bitrate, .. }) = feedback(&packet).next() else {
            panic!("no REMB")
        };
        bitrate
    };
    assert_eq!(remb([0xff, 0xff, 0xff]), Bitrate(u64::MAX));
    assert_eq!(remb([63 << 2, 0, 1]), Bitrate(1 << 63));
    assert_eq!(remb([63 << 2, 0, 2]), Bitrate(u64::MAX));
    assert_eq!(remb([63 << 2, 0, 0]), Bitrate(0));
}

#[test]
fn a_malformed_packet_ends_the_compound_and_what_came_before_stays() {
    let mut good = Vec::new();
    pli(&mut good, Ssrc(1), Ssrc(2));
    let seen = |tail: &[u8]| feedback(&[&good[..], tail, &good[..]].concat()).count();
    assert_eq!(seen(&[]), 2);
    assert_eq!(seen(&[0x80, 250, 0, 0]), 2, "an unknown type is passed over");
    assert_eq!(
        seen(&[0x9f, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]),
        2,
        "an unknown format is passed over"
    );
    assert_eq!(seen(&[0x81, 206, 0, 0]), 2, "a PLI without SSRCs says nothing");
    assert_eq!(seen(&[0x40, 206, 0, 0]), 1, "another version");
    assert_eq!(seen(&[0x80, 206, 0xff, 0xff]), 1, "longer than the datagram");
    assert_eq!(seen(&[0xa0, 206, 0, 1, 0, 0, 0, 0]), 1, "padding of nothing");
    assert_eq!(
        seen(&[0xa0, 206, 0, 1, 0, 0, 0, 9]),
        1,
        "padding beyond the packet"
    );
    for len in 0..good.len() {
        assert_eq!(feedback(&good[..len]).count(), 0, "{len} bytes");
    }
}

#[test]
fn padding_is_no_content() {
    let mut packet = vec![0xa1, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0, 0, 0, 0, 0, 4];
    assert_eq!(
        feedback(&packet).collect::<Vec<_>>(),
        [Rtcp::Nack {
            media: Ssrc(2),
            pid: 7,
            blp: 0
        }]
    );
    packet[0] = 0x81;
    assert_eq!(feedback(&packet).count(), 2);
}

#[test]
fn a_report_has_no_more_blocks_than_it_counts_or_holds() {
    let block = ReportBlock {
        ssrc: Ssrc(2),
        ..EMPTY
    };
    let mut packet = Vec::new();
    receiver_report(&mut packet, Ssrc(1), &[block; 3]);
    packet[0] = 0x82;
    assert_eq!(feedback(&packet).count(), 2);
    packet[0] = 0x9f;
    assert_eq!(feedback(&packet).count(), 3);
    let mut many = Vec::new();
    receiver_report(&mut many, Ssrc(1), &[block; 40]);
    assert_eq!(feedback(&many).count(), 31);
}

#[test]
fn what_is_written_here_is_read_elsewhere() {
    let block = ReportBlock {
        ssrc: Ssrc(2),
        fraction_lost: 3,
        cumulative_lost: 70_000,
        ..EMPTY
    };
    let mut out = Vec::new();
    sender_report(&mut out, Ssrc(1), 0x0102_0304_0506_0708, 9, 10, 11);
    receiver_report(&mut out, Ssrc(1), &[block]);
    sdes_cname(&mut out, Ssrc(1), "shibuki");
    pli(&mut out, Ssrc(1), Ssrc(2));
    nack(
        &mut out,
        Ssrc(1),
        Ssrc(2),
        [65534, 65535, 0, 14, 15, 100].into_iter(),
    );
    bye(&mut out, Ssrc(1));
    let packets = other::packet::unmarshal(&mut &out[..]).unwrap();
    let [sr, rr, sdes, pli, nack, bye] = &packets[..] else {
        panic!("{packets:?}")
    };

    let sr: &other::sender_report::SenderReport = downcast(sr.as_ref());
    assert_eq!((sr.ssrc, sr.ntp_time, sr.rtp_time), (1, 0x0102_0304_0506_0708, 9));
    assert_eq!((sr.packet_count, sr.octet_count, sr.reports.len()), (10, 11, 0));
    let rr: &other::receiver_report::ReceiverReport = downcast(rr.as_ref());
    assert_eq!((rr.ssrc, rr.reports.len()), (1, 1));
    assert_eq!(
        (
            rr.reports[0].ssrc,
            rr.reports[0].fraction_lost,
            rr.reports[0].total_lost
        ),
        (2, 3, 70_000)
    );
    let sdes: &other::source_description::SourceDescription = downcast(sdes.as_ref());
    assert_eq!(
        (sdes.chunks[0].source, &sdes.chunks[0].items[0].text[..]),
        (1, &b"shibuki"[..])
    );
    let pli: &other::payload_feedbacks::picture_loss_indication::PictureLossIndication =
        downcast(pli.as_ref());
    assert_eq!((pli.sender_ssrc, pli.media_ssrc), (1, 2));
    let nack: &other::transport_feedbacks::transport_layer_nack::TransportLayerNack = downcast(nack.as_ref());
    let named: Vec<_> = nack.nacks.iter().flat_map(|pair| pair.packet_list()).collect();
    assert_eq!(
        (nack.nacks.len(), &named[..]),
        (3, &[65534, 65535, 0, 14, 15, 100][..])
    );
    let bye: &other::goodbye::Goodbye = downcast(bye.as_ref());
    assert_eq!(bye.sources, [1]);
}

#[test]
fn a_name_of_any_length_keeps_the_words_aligned() {
    for len in 0..300 {
        let mut out = Vec::new();
        sdes_cname(&mut out, Ssrc(1), &"x".repeat(len));
        let packets = other::packet::unmarshal(&mut &out[..]).unwrap();
        let sdes: &other::source_description::SourceDescription = downcast(packets[0].as_ref());
        assert_eq!(sdes.chunks[0].items[0].text.len(), len.min(255));
    }
}

#[test]
fn nothing_lost_asks_for_nothing_and_too_much_is_cut() {
    let mut out = Vec::new();
    nack(&mut out, Ssrc(1), Ssrc(2), std::iter::empty());
    assert!(out.is_empty());
    nack(&mut out, Ssrc(1), Ssrc(2), (0..u16::MAX).step_by(17));
    assert_eq!(feedback(&out).count(), 256);
    assert_eq!(out.len(), 12 + 256 * 4);
}

#[test]
fn a_pair_reaches_sixteen_beyond_its_first() {
    let mut out = Vec::new();
    nack(&mut out, Ssrc(1), Ssrc(2), [65530, 65531, 10, 11].into_iter());
    let items: Vec<_> = feedback(&out).collect();
    let media = Ssrc(2);
    assert_eq!(
        items,
        [
            Rtcp::Nack {
                media,
                pid: 65530,
                blp: 0x8001
            },
            Rtcp::Nack {
                media,
                pid: 11,
                blp: 0
            }
        ]
    );
    assert_eq!(lost(65530, 0x8001).collect::<Vec<_>>(), [65530, 65531, 10]);
}

proptest! {
    #[test]
    fn lost_packets_survive_the_round_trip(first: u16, gaps in proptest::collection::vec(1..40u16, 0..60)) {
        let mut lost_packets = vec![first];
        lost_packets.extend(gaps.iter().scan(first, |seq, gap| {
            *seq = seq.wrapping_add(*gap);
            Some(*seq)
        }));
        let mut out = vec![0xaa; 3];
        nack(&mut out, Ssrc(1), Ssrc(2), lost_packets.iter().copied());
        let read: Vec<u16> = feedback(&out[3..])
            .flat_map(|item| match item {
                Rtcp::Nack { media: Ssrc(2), pid, blp } => lost(pid, blp).collect::<Vec<_>>(),
                item => panic!("{item:?}"),
            })
            .collect();
        prop_assert_eq!(read, lost_packets);
    }

    #[test]
    fn report_blocks_survive_the_round_trip(
        ssrc: u32, fraction_lost: u8, cumulative_lost in -0x80_0000..0x80_0000, highest_seq: u32, jitter: u32, lsr: u32, dlsr: u32,
    ) {
        let block = ReportBlock { ssrc: Ssrc(ssrc), fraction_lost, cumulative_lost, highest_seq, jitter, lsr, dlsr };
        let mut out = Vec::new();
        receiver_report(&mut out, Ssrc(1), &[block]);
        let read: Vec<_> = feedback(&out).collect();
        prop_assert_eq!(read, [Rtcp::ReceiverReport { ssrc: Ssrc(1), block }]);
    }

    #[test]
    fn any_bytes_are_survived(
        packets in proptest::collection::vec(
            (any::<u8>(), 198..210u8, 0..12u16, proptest::collection::vec(any::<u8>(), 0..48)),
            0..5,
        ),
    ) {
        let mut compound = Vec::new();
        for (flags, kind, words, body) in packets {
            header(&mut compound, flags, kind, words);
            compound.extend(&body);
        }
        for item in feedback(&compound) {
            match item {
                Rtcp::SenderReport { blocks, .. } => prop_assert!(blocks.count() <= 31),
                Rtcp::Remb { ssrcs, .. } => prop_assert!(ssrcs.count() <= 255),
                Rtcp::TransportCc(packet) | Rtcp::Xr(packet) => prop_assert!(packet.len() >= 4),
                _ => {}
            }
        }
        prop_assert!(feedback(&compound).count() <= compound.len());
    }
}

const EMPTY: ReportBlock = ReportBlock {
    ssrc: Ssrc(0),
    fraction_lost: 0,
    cumulative_lost: 0,
    highest_seq: 0,
    jitter: 0,
    lsr: 0,
    dlsr: 0,
};

fn header(out: &mut Vec<u8>, flags: u8, kind: u8, words: u16) {
    out.extend([0x80 | flags & 0x3f, kind]);
    out.extend(words.to_be_bytes());
}

fn marshal(packets: Vec<Box<dyn Packet>>) -> Vec<u8> {
    other::packet::marshal(&packets).unwrap().to_vec()
}

fn downcast<T: 'static>(packet: &dyn Packet) -> &T {
    packet.as_any().downcast_ref().expect("the packet's type")
}

#[test]
fn a_reference_time_is_found_among_other_blocks() {
    let mut xr = vec![0x80, 207, 0, 7, 0, 0, 0, 9];
    xr.extend([7, 0, 0, 1, 1, 2, 3, 4]);
    xr.extend([4, 0, 0, 2, 0, 0, 0, 1, 0x80, 0, 0, 0]);
    assert_eq!(reference_time(&xr), Some((Ssrc(9), 0x1_8000_0000)));
    for len in 0..xr.len() {
        assert_eq!(reference_time(&xr[..len]), None);
    }
}

#[test]
fn the_answer_to_a_reference_time_is_an_extended_report() {
    let mut out = Vec::new();
    dlrr(&mut out, Ssrc(1), Ssrc(9), 0x0001_8000, 65_536);
    let Some(Rtcp::Xr(xr)) = feedback(&out).next() else {
        panic!("it is one");
    };
    assert_eq!(xr.len(), 24);
    assert_eq!(xr[8..12], [5, 0, 0, 3]);
    assert_eq!(xr[12..], [0, 0, 0, 9, 0, 1, 0x80, 0, 0, 1, 0, 0]);
    assert_eq!(reference_time(xr), None);
}
