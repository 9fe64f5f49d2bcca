//! What sessions cost besides their packets: joining, feedback, and whatever comes from people nobody knows.

mod support;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shibuki_loadtest::client::rtcp;
use shibuki_loadtest::client::rtp::{FIXED_HEADER, Header};
use support::{Stage, path};

/// Joins measured on one stage before its viewers are sent away.
const JOINS: u64 = 50;
/// Silence is far from its end with this between two pieces of feedback, and the retransmission budget refills.
const FEEDBACK_STEP: Duration = Duration::from_millis(5);

/// From the session's entry in the directory to the first media: ICE, DTLS and the run-up from stored packets, only
/// what the engine does of it.
fn join(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("join");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let mut stage = Stage::new();
    group.bench_function("to_first_media", |bencher| {
        bencher.iter_custom(|joins| {
            let before = stage.spent;
            let mut dismissing = Duration::ZERO;
            for number in 0..joins {
                stage.join();
                if number % JOINS == JOINS - 1 {
                    let before = stage.spent;
                    stage.dismiss_viewers();
                    stage.forward_frame();
                    dismissing += stage.spent - before;
                }
            }
            let spent = stage.spent - before - dismissing;
            stage.dismiss_viewers();
            stage.forward_frame();
            spent
        });
    });
    group.finish();
}

/// A viewer's RTCP, opened, read and acted upon.
fn feedback(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("feedback");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for (name, nack) in [("receiver_report", false), ("nack_with_retransmission", true)] {
        let mut stage = Stage::with_viewers(10);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for _ in 0..count {
                    stage.now += FEEDBACK_STEP;
                    // What is due by the clock is not the feedback's cost.
                    let (media, seq) = stage.last_sent_to(0);
                    let mut compound = Vec::new();
                    rtcp::write_receiver_report(&mut compound, 77, "bench", &[]);
                    if nack {
                        rtcp::write_nack(&mut compound, 77, media, &[seq]);
                    }
                    let viewer = &mut stage.viewers[0];
                    let from = viewer.path;
                    let mut sealed = viewer.client.seal_rtcp(&compound).expect("keys");
                    let before = (stage.spent, stage.sink.datagrams);
                    stage.deliver(from, &mut sealed);
                    stage.turn();
                    spent += stage.spent - before.0;
                    let answered = stage.sink.datagrams - before.1;
                    assert!(!nack || answered == 1, "{answered} answers to a NACK");
                }
                spent
            });
        });
    }
    group.finish();
}

/// Finding out whose a datagram is, when it is nobody's.
fn demux(criterion: &mut Criterion) {
    let mut stage = Stage::with_viewers(200);
    let mut media = Vec::new();
    let header = Header {
        marker: false,
        pt: 96,
        seq: 1,
        timestamp: 1,
        ssrc: 1,
        len: FIXED_HEADER,
        padding: false,
    };
    header.write(&mut media);
    media.resize(1200, 7);
    let known = stage.viewers[0].client.check();
    let stranger = shibuki::core::peer::testing::Check {
        username: "nobody:either".to_owned(),
        ..known.clone()
    };
    let forged = shibuki::core::peer::testing::Check {
        pwd: "wrong".to_owned(),
        ..known.clone()
    };
    let viewer = stage.viewers[0].path;
    let cases = [
        ("media_from_a_stranger", path(9_000_000), media, 0),
        ("check_of_a_stranger", path(9_000_001), stranger.encode(), 0),
        ("forged_check", path(9_000_002), forged.encode(), 0),
        ("consent_check", viewer, known.encode(), 1),
    ];
    let mut group = criterion.benchmark_group("demux");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for (name, from, datagram, answers) in cases {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                stage.turn();
                let before = (stage.spent, stage.sink.datagrams);
                for _ in 0..count {
                    let mut datagram = datagram.clone();
                    stage.deliver(from, &mut datagram);
                    stage.turn();
                }
                let answered = stage.sink.datagrams - before.1;
                assert_eq!(answered, answers * count, "{name}");
                stage.spent - before.0
            });
        });
    }
    group.finish();
}

criterion_group!(benches, join, feedback, demux);
criterion_main!(benches);
