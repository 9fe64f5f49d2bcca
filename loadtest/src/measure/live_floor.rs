//! The floor in the stream's own time: each burst when it is due, to receivers that sleep until something comes, as the
//! viewers of a run do. So sending has to wake them, and finds caches as cold as a server does. Beside the cost it
//! gives the latency that remains where nothing but sealing and sending takes time.

use std::io::{ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token, Waker};
use quinn_udp::RecvMeta;

use super::floor::{Burst, Sender, bursts};
use super::own::thread_cpu_ns;
use crate::client::rtp::Header;
use crate::client::viewer::new_histogram;
use crate::driver::clock;
use crate::driver::session::Socket;
use crate::driver::socket::bind;
use crate::source::synthetic::VideoPlan;

#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct LiveFloor {
    pub destinations: usize,
    /// Threads that sent, a share of the destinations each.
    pub threads: usize,
    pub packets: u64,
    pub cpu_us_per_packet: f64,
    /// From the moment a burst was due to the kernel's receive time.
    pub latency_p50_ms: f64,
    pub latency_p99_ms: f64,
}

/// A packet received counts with the low 32 bits of its burst's time, µs since 1970, in its RTP header.
const STAMP_BITS: u64 = u32::MAX as u64;
const STOP: Token = Token(usize::MAX);
const BATCH: usize = 16;

/// Sends for `duration`, with a thread per core.
pub fn measure(
    plan: VideoPlan,
    audio: bool,
    destinations: usize,
    duration: Duration,
) -> std::io::Result<LiveFloor> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(destinations).max(1);
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), STOP)?;
    let mut sockets = Vec::new();
    let mut addresses = Vec::new();
    for index in 0..destinations {
        let (mut socket, port) = bind(true)?;
        poll.registry()
            .register(&mut socket.io, Token(index), Interest::READABLE)?;
        addresses.push(SocketAddr::from(([127, 0, 0, 1], port)));
        sockets.push(socket);
    }
    let done = Arc::new(AtomicBool::new(false));
    let receiver = {
        let done = done.clone();
        std::thread::Builder::new()
            .name("floor-receive".to_owned())
            .spawn(move || receive(poll, &sockets, &done))?
    };
    let bursts = Arc::new(bursts(plan, audio));
    let interval = Duration::from_secs_f64(plan.frames_per_keyframe() as f64 / plan.fps);
    let share = destinations.div_ceil(threads).max(1);
    let mut senders = Vec::new();
    for addresses in addresses.chunks(share) {
        let (addresses, bursts) = (addresses.to_vec(), bursts.clone());
        let thread = std::thread::Builder::new().name("floor-send".to_owned());
        senders.push(thread.spawn(move || send(&addresses, &bursts, interval, duration))?);
    }
    let threads = senders.len();
    let (mut packets, mut cpu_ns) = (0, 0);
    let mut failed = None;
    for sender in senders {
        match sender.join() {
            Ok(Ok((sent, ns))) => {
                packets += sent;
                cpu_ns += ns;
            }
            Ok(Err(error)) => failed = Some(error),
            Err(_) => failed = Some(std::io::Error::other("a sending thread ended")),
        }
    }
    done.store(true, Ordering::Release);
    waker.wake()?;
    let latency = receiver
        .join()
        .map_err(|_| std::io::Error::other("the receiving thread ended"))?;
    if let Some(error) = failed {
        return Err(error);
    }
    let percentile = |p| latency.value_at_quantile(p) as f64 / 1e3;
    Ok(LiveFloor {
        destinations,
        threads,
        packets,
        cpu_us_per_packet: cpu_ns as f64 / 1e3 / packets.max(1) as f64,
        latency_p50_ms: percentile(0.5),
        latency_p99_ms: percentile(0.99),
    })
}

fn send(
    addresses: &[SocketAddr],
    bursts: &[Burst],
    interval: Duration,
    duration: Duration,
) -> std::io::Result<(u64, u64)> {
    let mut sender = Sender::new(addresses)?;
    let start = clock::now();
    let before = thread_cpu_ns().unwrap_or(0);
    let mut round = Duration::ZERO;
    while round < duration {
        for burst in bursts {
            let due = start.instant + round + burst.due;
            let mut now = clock::now();
            while now.instant < due {
                std::thread::park_timeout(due - now.instant);
                now = clock::now();
            }
            // When it was due, not when we came to it: what waits for the burst before it is late.
            let late = now.instant - due;
            let stamp = now.wall - late.as_micros() as u64;
            sender.send(&burst.payloads, stamp as u32)?;
        }
        round += interval;
    }
    Ok((sender.sent, thread_cpu_ns().unwrap_or(0).saturating_sub(before)))
}

fn receive(mut poll: Poll, sockets: &[Socket], done: &AtomicBool) -> Histogram<u64> {
    let mut latency = new_histogram(3);
    let mut events = Events::with_capacity(1024);
    let mut buffers = vec![vec![0; 65_536]; BATCH];
    while !done.load(Ordering::Acquire) {
        if let Err(error) = poll.poll(&mut events, None)
            && error.kind() != ErrorKind::Interrupted
        {
            return latency;
        }
        let ready = events.iter().map(|event| event.token().0);
        for socket in ready.filter_map(|index| sockets.get(index)) {
            drain(socket, &mut buffers, &mut latency);
        }
    }
    latency
}

fn drain(socket: &Socket, buffers: &mut [Vec<u8>], latency: &mut Histogram<u64>) {
    let mut metas = [RecvMeta::default(); BATCH];
    loop {
        let mut slices: [IoSliceMut<'_>; BATCH] = {
            let mut buffers = buffers.iter_mut();
            std::array::from_fn(|_| IoSliceMut::new(buffers.next().map_or(&mut [], |buffer| &mut buffer[..])))
        };
        let received = socket.state.recv((&socket.io).into(), &mut slices, &mut metas);
        let received = received.unwrap_or(0);
        for (meta, buffer) in metas.iter().zip(&*buffers).take(received) {
            let Some(at) = meta.timestamp else { continue };
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            for datagram in bytes.chunks(meta.stride.max(1)) {
                if let Some(header) = Header::parse(datagram) {
                    let sent = u64::from(header.timestamp);
                    latency.saturating_record((at.as_micros() as u64).wrapping_sub(sent) & STAMP_BITS);
                }
            }
        }
        if received < BATCH {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::offer::VideoCodec;

    #[test]
    fn every_burst_arrives_and_its_latency_is_counted() {
        let plan = VideoPlan {
            codec: VideoCodec::H264,
            bitrate: 1_000_000,
            fps: 30.0,
            keyframe_interval: 0.1,
        };
        let floor = measure(plan, true, 3, Duration::from_millis(200)).expect("sockets");
        let per_interval: usize = bursts(plan, true).iter().map(|burst| burst.payloads.len()).sum();
        assert_eq!(floor.packets, 2 * 3 * per_interval as u64);
        assert!(floor.cpu_us_per_packet > 0.0);
        assert!(floor.latency_p99_ms >= floor.latency_p50_ms && floor.latency_p50_ms > 0.0);
    }
}
