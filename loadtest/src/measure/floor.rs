//! The least a forwarded packet can cost with these ciphers and this kernel: copying it, sealing it with
//! AES-128-GCM and sending it by GSO, the same packets to the same number of destinations, and nothing else: one after
//! the other, to sockets that are emptied by a thread which looks of its own accord, so that nobody is ever woken.

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};

use super::own::thread_cpu_ns;
use crate::client::outbox::Outbox;
use crate::client::rtp::{FIXED_HEADER, Header};
use crate::client::srtp::{Profile, SrtpKey};
use crate::source::synthetic::{self, Frame, VideoPlan};

/// Packets to send in all: enough for a second of CPU time.
pub const PACKETS: usize = 800_000;

#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Floor {
    pub destinations: usize,
    pub packets: u64,
    pub cpu_us_per_packet: f64,
}

/// Runs on the calling thread, beside a thread that empties the receiving sockets, until `packets` are sent.
pub fn measure(plan: VideoPlan, audio: bool, destinations: usize, packets: usize) -> std::io::Result<Floor> {
    let receivers: Vec<UdpSocket> = (0..destinations)
        .map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> = receivers
        .iter()
        .map(UdpSocket::local_addr)
        .collect::<Result<_, _>>()?;
    let done = Arc::new(AtomicBool::new(false));
    let drain = {
        let done = done.clone();
        std::thread::Builder::new()
            .name("floor-drain".to_owned())
            .spawn(move || empty(receivers, &done))?
    };
    let result = send_all(plan, audio, &addresses, packets);
    done.store(true, Ordering::Relaxed);
    let _ = drain.join();
    let (packets, cpu_ns) = result?;
    Ok(Floor {
        destinations,
        packets,
        cpu_us_per_packet: cpu_ns as f64 / 1e3 / packets.max(1) as f64,
    })
}

fn send_all(
    plan: VideoPlan,
    audio: bool,
    addresses: &[SocketAddr],
    packets: usize,
) -> std::io::Result<(u64, u64)> {
    let mut sender = Sender::new(addresses)?;
    let bursts = bursts(plan, audio);
    let before = thread_cpu_ns().unwrap_or(0);
    for burst in bursts.iter().cycle() {
        sender.send(&burst.payloads, 0)?;
        if sender.sent as usize >= packets {
            break;
        }
    }
    Ok((sender.sent, thread_cpu_ns().unwrap_or(0).saturating_sub(before)))
}

/// Seals and sends, and does nothing else.
pub(super) struct Sender {
    socket: UdpSocket,
    state: UdpSocketState,
    destinations: Vec<(SocketAddr, SrtpKey)>,
    outbox: Outbox,
    number: u64,
    pub sent: u64,
}

impl Sender {
    pub fn new(addresses: &[SocketAddr]) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let state = UdpSocketState::new((&socket).into())?;
        socket.set_nonblocking(false)?;
        let key = |index: usize| {
            let mut master = [7; 16];
            master[..8].copy_from_slice(&(index as u64).to_be_bytes());
            SrtpKey::new(Profile::Gcm128, &master, &[3; 12]).map_err(std::io::Error::other)
        };
        let destinations = addresses
            .iter()
            .enumerate()
            .map(|(index, address)| Ok((*address, key(index)?)))
            .collect::<std::io::Result<_>>()?;
        Ok(Self {
            socket,
            state,
            destinations,
            outbox: Outbox::default(),
            number: 0,
            sent: 0,
        })
    }

    /// To every destination in turn: its packets in as few calls as GSO takes, with this RTP time in their headers.
    pub fn send(&mut self, payloads: &[Vec<u8>], timestamp: u32) -> std::io::Result<()> {
        for (to, key) in &self.destinations {
            for (place, payload) in payloads.iter().enumerate() {
                let full = self.number + place as u64;
                let header = Header {
                    marker: false,
                    pt: 96,
                    seq: full as u16,
                    timestamp,
                    ssrc: 1,
                    len: FIXED_HEADER,
                    padding: false,
                };
                self.outbox
                    .push_with(*to, |bytes, start| {
                        header.write(bytes);
                        bytes.extend_from_slice(payload);
                        key.seal_rtp(bytes, start, FIXED_HEADER, (full >> 16) as u32)
                    })
                    .map_err(std::io::Error::other)?;
            }
            for send in self.outbox.sends(self.state.max_gso_segments()) {
                let transmit = Transmit {
                    destination: send.to,
                    ecn: None,
                    contents: send.contents,
                    segment_size: Some(send.segment),
                    src_ip: None,
                };
                self.state.try_send((&self.socket).into(), &transmit)?;
            }
            self.outbox.clear();
            self.sent += payloads.len() as u64;
        }
        self.number += payloads.len() as u64;
        Ok(())
    }
}

/// What a publisher sends at once.
pub(super) struct Burst {
    /// From the keyframe on.
    pub due: Duration,
    pub payloads: Vec<Vec<u8>>,
}

/// A keyframe interval of the stream: frames, and audio packets between them.
pub(super) fn bursts(plan: VideoPlan, audio: bool) -> Vec<Burst> {
    let (key, delta) = plan.frame_sizes();
    let mut bursts = Vec::new();
    let mut audio_sent = 0u32;
    for number in 0..plan.frames_per_keyframe() as u32 {
        let keyframe = number == 0;
        let frame = Frame {
            stream: 0,
            layer: 0,
            number,
            keyframe,
            since_keyframe: number,
            captured: 0,
            size: if keyframe { key } else { delta },
        };
        let mut payloads = Vec::new();
        synthetic::packetise(plan.codec, &frame, |payload, _| payloads.push(payload.to_vec()));
        bursts.push(Burst {
            due: Duration::from_secs_f64(f64::from(number) / plan.fps),
            payloads,
        });
        while audio && f64::from(audio_sent) < f64::from(number + 1) / plan.fps * 50.0 {
            let mut payload = Vec::new();
            synthetic::audio_payload(&mut payload, 0, audio_sent, 0);
            bursts.push(Burst {
                due: Duration::from_secs_f64(f64::from(audio_sent) / 50.0),
                payloads: vec![payload],
            });
            audio_sent += 1;
        }
    }
    bursts.sort_by_key(|burst| burst.due);
    bursts
}

fn empty(receivers: Vec<UdpSocket>, done: &AtomicBool) {
    let states: Vec<_> = receivers
        .iter()
        .filter_map(|socket| UdpSocketState::new(socket.into()).ok())
        .collect();
    let mut buffer = vec![0; 65_536];
    let mut metas = [RecvMeta::default()];
    while !done.load(Ordering::Relaxed) {
        let mut received = 0;
        for (socket, state) in receivers.iter().zip(&states) {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            while state
                .recv(socket.into(), &mut slices, &mut metas)
                .is_ok_and(|count| count > 0)
            {
                received += 1;
            }
        }
        if received == 0 {
            std::thread::park_timeout(Duration::from_micros(200));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::offer::VideoCodec;

    #[test]
    fn the_bursts_are_the_stream() {
        let plan = VideoPlan {
            codec: VideoCodec::H264,
            bitrate: 2_500_000,
            fps: 30.0,
            keyframe_interval: 2.0,
        };
        let packets: usize = bursts(plan, true).iter().map(|burst| burst.payloads.len()).sum();
        // Two seconds of the stream that the performance table is about: about 335 packets a second.
        assert!((600..720).contains(&packets), "{packets}");
    }
}
