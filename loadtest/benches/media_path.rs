//! What a packet costs: the floor, the rewriter alone, the whole way through the engine, and the bandwidth estimate.

mod support;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shibuki::core::bwe::receiver::FeedbackReceiver;
use shibuki::core::bwe::{Estimator, EstimatorConfig};
use shibuki::core::egress::rewriter::Rewriter;
use shibuki::core::ids::SeqNo;
use shibuki::core::media::Codec;
use shibuki::core::route::{Carried, MediaPacket, SourceKey};
use shibuki_loadtest::client::offer::VideoCodec;
use shibuki_loadtest::measure::floor;
use shibuki_loadtest::source::synthetic::VideoPlan;
use support::Stage;

/// Sealing with AES-128-GCM and sending by GSO over the loopback interface: CPU time of the sending thread for one
/// packet. Nothing that forwards can cost less.
fn floor(criterion: &mut Criterion) {
    let plan = VideoPlan {
        codec: VideoCodec::H264,
        bitrate: 2_500_000,
        fps: 30.0,
        keyframe_interval: 2.0,
    };
    let mut group = criterion.benchmark_group("floor");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for destinations in [1, 100] {
        group.bench_with_input(
            BenchmarkId::new("seal_and_send", destinations),
            &destinations,
            |bencher, destinations| {
                bencher.iter_custom(|packets| {
                    let wanted = packets as usize;
                    let floor = floor::measure(plan, true, *destinations, wanted).expect("sockets");
                    assert!(floor.packets >= packets);
                    Duration::from_secs_f64(floor.cpu_us_per_packet * packets as f64 / 1e6)
                });
            },
        );
    }
    group.finish();
}

/// New numbers and times for ten packets towards 200 viewers, in the order the engine walks them.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn rewrite(criterion: &mut Criterion) {
    const VIEWERS: usize = 200;
    const PACKETS: u64 = 10;
    let now = Instant::now();
    let packet = |seq: u64| MediaPacket {
        payload: bytes::Bytes::from_static(&[0; 1100]),
        seq: SeqNo(seq),
        timestamp: seq / PACKETS * 3000,
        arrival: now,
        codec: Codec::Vp8,
        marker: seq % PACKETS == PACKETS - 1,
        keyframe: seq.is_multiple_of(PACKETS),
        head: false,
        opens: false,
        picture: Default::default(),
        frame: Default::default(),
        carried: Carried::default(),
        descriptor: bytes::Bytes::new(),
    };
    let key = SourceKey { layer: 0, epoch: 0 };
    let mut rewriters: Vec<Rewriter> = (0..VIEWERS)
        .map(|viewer| {
            let mut rewriter = Rewriter::new(90_000, viewer as u16, 7);
            rewriter.begin_live(key, &packet(0), None, now);
            rewriter
        })
        .collect();
    let mut next = 0;
    let mut group = criterion.benchmark_group("rewrite");
    group.throughput(Throughput::Elements(VIEWERS as u64 * PACKETS));
    group.bench_function("ten_packets_to_200_viewers", |bencher| {
        bencher.iter(|| {
            let packets: Vec<MediaPacket> = (next..next + PACKETS).map(packet).collect();
            for rewriter in &mut rewriters {
                for packet in &packets {
                    let placed = rewriter.place(key, packet, now).expect("a place");
                    std::hint::black_box(placed);
                }
            }
            next += PACKETS;
        });
    });
    group.finish();
}

/// From the publisher's sealed datagram to the viewers' sealed datagrams. Time per forwarded packet is what
/// `thrpt` says; it should not depend on the number of viewers.
fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    group.sample_size(10);
    for viewers in [1, 10, 100, 500] {
        let mut stage = Stage::with_viewers(viewers);
        let packets = stage.forward_frame();
        group.throughput(Throughput::Elements((packets * viewers) as u64));
        group.bench_function(BenchmarkId::new("frame_to_viewers", viewers), |bencher| {
            bencher.iter_custom(|frames| {
                let mut spent = Duration::ZERO;
                for _ in 0..frames {
                    let sealed = stage.sealed_frame();
                    let before = (stage.spent, stage.sink.datagrams);
                    let packets = stage.forward(sealed);
                    spent += stage.spent - before.0;
                    let sent = stage.sink.datagrams - before.1;
                    assert!(
                        sent >= (packets * viewers) as u64,
                        "{sent} of {packets} × {viewers}"
                    );
                }
                spent
            });
        });
    }
    group.finish();
}

/// The bandwidth estimate: noting a packet that goes out, a tenth of a second of feedback, and feedback that claims as
/// much as it can about packets that were sent.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn estimate(criterion: &mut Criterion) {
    /// 5 Mbit/s.
    const PACKETS: u16 = 52;
    let mut now = Instant::now();
    let began = now;
    let mut estimator = Estimator::new(now, EstimatorConfig::default());
    let mut receiver = FeedbackReceiver::default();
    let mut group = criterion.benchmark_group("estimate");
    group.throughput(Throughput::Elements(1));
    group.bench_function("sent", |bencher| {
        bencher.iter(|| {
            now += Duration::from_millis(2);
            std::hint::black_box(estimator.sent(now, 1_200))
        });
    });
    group.bench_function("feedback_of_100_ms", |bencher| {
        bencher.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                for _ in 0..PACKETS {
                    now += Duration::from_millis(2);
                    let seq = estimator.sent(now, 1_200);
                    receiver.received(seq, now - began + Duration::from_millis(20));
                }
                let feedback = receiver.feedback().expect("packets were received");
                let before = Instant::now();
                estimator.transport_feedback(now, &feedback);
                estimator.tick(now);
                spent += before.elapsed();
            }
            spent
        });
    });
    // 28,672 packets, none of them received.
    let base = estimator.next_seq().wrapping_sub(0x7000).to_be_bytes();
    let mut absurd = vec![
        0x8f, 205, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, base[0], base[1], 0x70, 0, 0, 0, 0, 0,
    ];
    absurd.extend([0x1f, 0xff, 0x1f, 0xff, 0x1f, 0xff, 0x1f, 0xff, 0, 0, 0, 0]);
    group.bench_function("absurd_feedback", |bencher| {
        bencher.iter(|| estimator.transport_feedback(now, &absurd));
    });
    group.finish();
}

criterion_group!(benches, floor, rewrite, forward, estimate);
criterion_main!(benches);
