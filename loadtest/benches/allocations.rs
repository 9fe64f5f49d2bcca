//! Counts what the engine allocates while it forwards: nothing per forwarded packet, and a constant little per packet
//! that comes in.

mod support;

use support::Stage;

/// Memory of their own per packet from the publisher, whatever the number of viewers: the payload, shared by all of
/// them, and at times a larger table.
const PER_RECEIVED: f64 = 1.5;
/// A tenth of a percent is the growing of tables and the timers, never a packet's own.
const PER_FORWARDED: f64 = 0.001;
const FRAMES: usize = 300;

fn main() {
    let few = count(10);
    let many = count(200);
    println!("viewers  received  forwarded  allocations  per received");
    for counted in [&few, &many] {
        println!(
            "{:>7}  {:>8}  {:>9}  {:>11}  {:>12.3}",
            counted.viewers,
            counted.received,
            counted.forwarded,
            counted.allocations,
            counted.allocations as f64 / counted.received as f64,
        );
    }
    // What more viewers cost is what the forwarded packets cost; what a received one costs cancels out.
    let more = many.allocations.saturating_sub(few.allocations) as f64;
    let per_forwarded = more / (many.forwarded - few.forwarded) as f64;
    println!("allocations per forwarded packet: {per_forwarded:.5}");
    assert!(
        per_forwarded <= PER_FORWARDED,
        "{per_forwarded} allocations per forwarded packet, allowed are {PER_FORWARDED}"
    );
    let per_received = many.allocations as f64 / many.received as f64;
    assert!(
        per_received <= PER_RECEIVED,
        "{per_received} allocations per received packet, allowed are {PER_RECEIVED}"
    );
}

struct Counted {
    viewers: usize,
    received: u64,
    forwarded: u64,
    allocations: u64,
}

fn count(viewers: usize) -> Counted {
    let mut stage = Stage::with_viewers(viewers);
    // Sealed beforehand: the publisher's own memory does not count.
    let frames: Vec<Vec<Vec<u8>>> = (0..FRAMES).map(|_| stage.sealed_frame()).collect();
    let received = frames.iter().map(Vec::len).sum::<usize>() as u64;
    let before = stage.sink.datagrams;
    let info = allocation_counter::measure(|| {
        for frame in frames {
            stage.forward(frame);
        }
    });
    let forwarded = stage.sink.datagrams - before;
    assert!(forwarded >= received * viewers as u64, "{forwarded} packets left");
    Counted {
        viewers,
        received,
        forwarded,
        allocations: info.count_total,
    }
}
