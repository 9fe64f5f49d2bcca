//! What a publisher is told about its packets: NACK ([`nack`](super::nack)); receiver reports and transport-wide
//! feedback, made by the family's interceptor chain. A publisher costs this once; viewers never pass through it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::interceptor::{
    AttributedPacket, Interceptor, Packet, RTCPFeedback, RTPHeaderExtension, ReceiverReportBuilder, Registry,
    Slot, StreamInfo, TaggedPacket, TwccReceiverBuilder,
};
use rtc::rtp::header::{Extension, Header};
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;

use super::nack::Missing;
use crate::core::ids::Ssrc;
use crate::core::media::{MediaKind, NegotiatedCodec};
use crate::core::rtp::RtpHeader;

/// Chromium's own receiver sends feedback every 50–100 ms.
const TRANSPORT_FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Layers and sound of one publisher, and what it sent them with before it changed its mind.
const MAX_SOURCES: usize = 16;

pub struct Reception {
    chain: Box<dyn Interceptor>,
    transport_cc: Option<u8>,
    bound: Vec<Ssrc>,
    missing: Vec<(Ssrc, Missing)>,
    nacked: u64,
}

const TRANSPORT_CC_URI: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// RFC 8285 §4.2: the one-byte form.
const ONE_BYTE_PROFILE: u16 = 0xBEDE;

impl Reception {
    /// `transport_cc` is the negotiated id of the transport-wide sequence number extension.
    pub fn new(transport_cc: Option<u8>) -> Self {
        let mut registry = Registry::new().with(
            Slot::ReceiverReport,
            ReceiverReportBuilder::new()
                .with_interval(REPORT_INTERVAL)
                .build(),
        );
        if transport_cc.is_some() {
            let feedback = TwccReceiverBuilder::new()
                .with_interval(TRANSPORT_FEEDBACK_INTERVAL)
                .build();
            registry = registry.with(Slot::TwccReceiver, feedback);
        }
        Self {
            chain: Box::new(registry.build()),
            transport_cc,
            bound: Vec::new(),
            missing: Vec::new(),
            nacked: 0,
        }
    }

    /// A packet arrived. The chain sees its header only.
    pub fn packet(
        &mut self,
        now: Instant,
        header: &RtpHeader,
        packet: &[u8],
        codec: &NegotiatedCodec,
        kind: MediaKind,
    ) {
        if !self.bound.contains(&header.ssrc) {
            self.bound.push(header.ssrc);
            self.chain
                .bind_remote_stream(&stream_info(header.ssrc, codec, kind, self.transport_cc));
        }
        let mut extensions = Vec::new();
        let block = header.extension.as_ref();
        if let (Some(id), Some(block)) = (self.transport_cc, block)
            && let Some(value) = block.find(packet, id)
        {
            extensions.push(Extension {
                id,
                payload: Bytes::copy_from_slice(value),
            });
        }
        let header = Header {
            version: 2,
            extension: !extensions.is_empty(),
            marker: header.marker,
            payload_type: header.pt.0,
            sequence_number: header.seq,
            timestamp: header.timestamp,
            ssrc: header.ssrc.0,
            extension_profile: ONE_BYTE_PROFILE,
            extensions,
            ..Header::default()
        };
        let packet = rtc::rtp::Packet {
            header,
            payload: Bytes::new(),
        };
        self.read(now, Packet::Rtp(packet));
    }

    /// A packet of media arrived that can be asked for again, or had been: `again`.
    pub fn sequence(&mut self, now: Instant, ssrc: Ssrc, seq: u16, again: bool) {
        let index = self.missing.iter().position(|(known, _)| *known == ssrc);
        let index = index.unwrap_or_else(|| {
            if self.missing.len() >= MAX_SOURCES {
                self.missing.remove(0);
            }
            self.missing.push((ssrc, Missing::default()));
            self.missing.len() - 1
        });
        if let Some((_, missing)) = self.missing.get_mut(index) {
            missing.arrived(seq, again, now);
        }
    }

    /// The time to the publisher and back, as its retransmissions tell; `None` while nothing was lost.
    pub fn round_trip(&self) -> Option<Duration> {
        self.missing
            .iter()
            .filter_map(|(_, missing)| missing.round_trip())
            .min()
    }

    /// When something is to be asked for.
    pub fn next_nack(&self) -> Option<Instant> {
        self.missing
            .iter()
            .filter_map(|(_, missing)| missing.next())
            .min()
    }

    /// The next NACK that is due: of whom, and which.
    pub fn poll_nack(&mut self, now: Instant) -> Option<(Ssrc, Vec<u16>)> {
        let found = self.missing.iter_mut().find_map(|(ssrc, missing)| {
            let due = missing.due(now);
            (!due.is_empty()).then_some((*ssrc, due))
        });
        self.nacked += found.as_ref().map_or(0, |(_, due)| due.len() as u64);
        found
    }

    /// A sender report arrived: receiver reports refer to it.
    pub fn sender_report(&mut self, now: Instant, ssrc: Ssrc, ntp: u64, rtp: u32) {
        let report = rtc::rtcp::sender_report::SenderReport {
            ssrc: ssrc.0,
            ntp_time: ntp,
            rtp_time: rtp,
            ..Default::default()
        };
        self.read(now, Packet::Rtcp(vec![Box::new(report)]));
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = self.chain.handle_timeout(now);
    }

    /// Sequence numbers that were asked for again.
    pub fn nacked(&self) -> u64 {
        self.nacked
    }

    /// The next RTCP packet for the publisher.
    pub fn poll(&mut self) -> Option<Bytes> {
        while let Some(tagged) = self.chain.poll_write() {
            if let Packet::Rtcp(packets) = tagged.message.packet {
                let mut compound = Vec::new();
                for packet in packets {
                    if let Ok(bytes) = packet.marshal() {
                        compound.extend_from_slice(&bytes);
                    }
                }
                if !compound.is_empty() {
                    return Some(Bytes::from(compound));
                }
            }
        }
        None
    }

    fn read(&mut self, now: Instant, packet: Packet) {
        let tagged = TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(packet),
        };
        let _ = self.chain.handle_read(tagged);
        while self.chain.poll_read().is_some() {}
    }
}

fn stream_info(ssrc: Ssrc, codec: &NegotiatedCodec, kind: MediaKind, transport_cc: Option<u8>) -> StreamInfo {
    let mut rtcp_feedback = Vec::new();
    let mut rtp_header_extensions = Vec::new();
    if let Some(id) = transport_cc {
        rtcp_feedback.push(RTCPFeedback {
            typ: "transport-cc".into(),
            parameter: String::new(),
        });
        rtp_header_extensions.push(RTPHeaderExtension {
            uri: TRANSPORT_CC_URI.into(),
            id: u16::from(id),
        });
    }
    let kind = match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    };
    StreamInfo {
        ssrc: ssrc.0,
        clock_rate: codec.codec.clock_rate(),
        mime_type: format!("{kind}/{}", codec.codec.name()),
        payload_type: codec.pt.0,
        rtcp_feedback,
        rtp_header_extensions,
        ..Default::default()
    }
}
