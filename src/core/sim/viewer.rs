//! A viewer: takes everything in, asks again for what is missing as a browser does, and keeps account of what came
//! when.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::media::{self, Label};
use super::offers::{self, Offered};
use crate::core::bwe::receiver::FeedbackReceiver;
use crate::core::ids::Ssrc;
use crate::core::media::{LatencyWish, MediaKind};
use crate::core::rtp::rtcp::ReportBlock;
use crate::core::rtp::{self, Rtcp, RtpHeader, red};

/// A browser asks again once per round trip.
const NACK_AGAIN: Duration = Duration::from_millis(60);
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const NACK_TICK: Duration = Duration::from_millis(10);
/// As Chromium at one to some Mbit/s.
const FEEDBACK_TICK: Duration = Duration::from_millis(60);
const NACK_TRIES: u32 = 10;
/// A gap this large is not asked for.
const NACK_WINDOW: u64 = 1_000;

/// What a viewer is like.
#[derive(Clone, Debug)]
pub struct ViewerSpec {
    pub offer: String,
    pub nacks: bool,
    /// Gives transport-wide feedback where it is agreed.
    pub feedback: bool,
    pub latency: LatencyWish,
    /// Sends receiver reports, once a second.
    pub reports: bool,
}

impl ViewerSpec {
    pub fn chromium() -> Self {
        Self {
            offer: offers::CHROMIUM_WATCHES.to_owned(),
            nacks: true,
            feedback: true,
            latency: LatencyWish::Auto,
            reports: true,
        }
    }

    /// As Chromium, which takes the dependency descriptor where a page says so.
    pub fn with_descriptor() -> Self {
        let uri = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
        let other = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
        Self {
            offer: offers::CHROMIUM_WATCHES.replace(other, uri),
            ..Self::chromium()
        }
    }

    /// As Chromium, but retransmissions come on the same SSRC.
    pub fn without_rtx() -> Self {
        Self {
            offer: offers::without_codec(offers::CHROMIUM_WATCHES, "RTX"),
            nacks: true,
            feedback: true,
            latency: LatencyWish::Auto,
            reports: true,
        }
    }
}

/// One packet as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    pub kind: MediaKind,
    pub codec: String,
    pub ssrc: u32,
    /// Unwrapped, from 65536 on.
    pub seq: u64,
    pub timestamp: u32,
    pub label: Label,
    pub repeated: bool,
    pub marker: bool,
    /// VP8's and VP9's picture id and TL0PICIDX.
    pub numbers: Option<(u16, u8)>,
    /// The dependency descriptor.
    pub descriptor: Option<Vec<u8>>,
    /// The playout-delay extension's bytes.
    pub playout: Option<Vec<u8>>,
}

/// A picture put together.
#[derive(Clone, Debug)]
pub struct Frame {
    pub label: Label,
    pub timestamp: u32,
    pub first_at: Instant,
    pub last_at: Instant,
    /// Of the packet that `label` is of.
    pub first_seq: u64,
    pub packets: usize,
}

impl Frame {
    pub fn is_complete(&self) -> bool {
        self.packets == usize::from(self.label.count)
    }
}

/// One sender report.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub at: Instant,
    pub ssrc: u32,
    pub ntp: u64,
    pub rtp: u32,
}

pub struct Viewer {
    pub spec: ViewerSpec,
    pub offered: Offered,
    pub seen: Vec<Seen>,
    pub reports: Vec<Report>,
    /// Packets whose sequence number had come before.
    pub duplicates: u64,
    pub nacks_sent: u64,
    /// Numbers that came without a payload.
    pub blanks: Vec<(MediaKind, u64)>,
    /// Makes do with payloads that no publisher of these tests made.
    pub gullible: bool,
    /// Packets of nothing but padding.
    pub padding: u64,
    sources: HashMap<MediaKind, Source>,
    next: Option<Instant>,
    next_report: Option<Instant>,
    receiver: FeedbackReceiver,
    start: Option<Instant>,
    next_feedback: Option<Instant>,
}

#[derive(Default)]
struct Source {
    ssrc: u32,
    highest: u64,
    received: HashSet<u64>,
    missing: BTreeMap<u64, (Option<Instant>, u32)>,
    /// Packets on the media's own SSRC, and the highest number, when it was last reported.
    arrived: u64,
    first: u64,
    reported: (u64, u64),
    /// The middle of the last sender report's time, and when it came.
    last_report: Option<(u32, Instant)>,
}

impl Viewer {
    pub fn new(spec: ViewerSpec, offered: Offered) -> Self {
        Self {
            spec,
            offered,
            seen: Vec::new(),
            reports: Vec::new(),
            duplicates: 0,
            nacks_sent: 0,
            blanks: Vec::new(),
            gullible: false,
            padding: 0,
            sources: HashMap::new(),
            next: None,
            next_report: None,
            receiver: FeedbackReceiver::default(),
            start: None,
            next_feedback: None,
        }
    }

    pub fn rtp(&mut self, now: Instant, packet: &[u8]) {
        let header = RtpHeader::parse(packet).expect("the server sends RTP");
        let mut payload = header.payload(packet);
        let format = self
            .offered
            .by_pt(header.pt.0)
            .expect("only payload types of the offer are sent")
            .clone();
        self.number(now, packet, &header, format.kind);
        if payload.is_empty() && format.repeats.is_some() {
            self.padding += 1;
            return;
        }
        let (format, seq16, repeated) = match format.repeats {
            Some(pt) => {
                let (osn, rest) = payload
                    .split_first_chunk::<2>()
                    .expect("a retransmission has a number");
                payload = rest;
                let original = self
                    .offered
                    .by_pt(pt)
                    .expect("a retransmission repeats a known type")
                    .clone();
                (original, u16::from_be_bytes(*osn), true)
            }
            None => (format, header.seq, false),
        };
        let (format, earlier) = match format.codec.as_str() {
            "RED" => {
                let opus = self.offered.format("OPUS").expect("RED is of Opus").clone();
                let parsed = red::parse(payload, opus.pt).expect("the server sends RED as it should be");
                payload = parsed.primary;
                (opus, parsed.earlier)
            }
            _ => (format, None),
        };
        let source = self.sources.entry(format.kind).or_default();
        if repeated {
            assert_ne!(
                source.ssrc, header.ssrc.0,
                "retransmissions have an SSRC of their own"
            );
        } else if source.ssrc == 0 {
            source.ssrc = header.ssrc.0;
        } else {
            assert_eq!(source.ssrc, header.ssrc.0, "a viewer's SSRC never changes");
        }
        let seq = source.unwrap(seq16);
        let fresh = source.received.insert(seq);
        source.missing.remove(&seq);
        if !fresh {
            self.duplicates += 1;
            return;
        }
        if source.highest == 0 {
            source.highest = seq;
            source.first = seq;
        }
        source.arrived += u64::from(!repeated);
        if seq > source.highest {
            if seq - source.highest < NACK_WINDOW {
                source
                    .missing
                    .extend((source.highest + 1..seq).map(|lost| (lost, (None, 0))));
            }
            source.highest = seq;
        }
        if self.spec.reports {
            self.next_report.get_or_insert(now + REPORT_INTERVAL);
        }
        if self.spec.nacks && !source.missing.is_empty() {
            self.next.get_or_insert(now);
        }
        let element = |ending| {
            let id = self.offered.extension(format.kind, ending)?;
            Some(header.extension?.find(packet, id)?.to_vec())
        };
        let playout = element("playout-delay");
        let descriptor = element("dependency-descriptor-rtp-header-extension");
        // A number of what is left out.
        if payload.is_empty() {
            self.blanks.push((format.kind, seq));
            return;
        }
        let Some(label) = media::read(&format.codec, payload) else {
            assert!(self.gullible, "the payload is a publisher's, unchanged");
            return;
        };
        let numbers = media::numbers(&format.codec, payload);
        self.seen.push(Seen {
            at: now,
            marker: header.marker,
            numbers,
            descriptor,
            kind: format.kind,
            codec: format.codec,
            ssrc: self.sources[&format.kind].ssrc,
            seq,
            timestamp: header.timestamp,
            label,
            repeated,
            playout,
        });
        let source = self.sources.entry(format.kind).or_default();
        if let Some((offset, sound)) = earlier
            && source.received.insert(seq - 1)
        {
            source.missing.remove(&(seq - 1));
            let last = self.seen.last().cloned().expect("it was just seen");
            self.seen.push(Seen {
                seq: seq - 1,
                timestamp: header.timestamp.wrapping_sub(offset),
                label: media::read(&last.codec, sound).expect("it is a publisher's, unchanged"),
                repeated: true,
                ..last
            });
        }
    }

    /// Takes note of a packet's transport-wide number.
    fn number(&mut self, now: Instant, packet: &[u8], header: &RtpHeader, kind: MediaKind) {
        let id = self.offered.extension(kind, "transport-wide-cc-extensions-01");
        let number = id.and_then(|id| header.extension.as_ref()?.find(packet, id));
        if let Some([high, low]) = number.filter(|_| self.spec.feedback) {
            let start = *self.start.get_or_insert(now);
            let at = Duration::from_secs(1) + (now - start);
            self.receiver.received(u16::from_be_bytes([*high, *low]), at);
            self.next_feedback.get_or_insert(now + FEEDBACK_TICK);
        }
    }

    pub fn rtcp(&mut self, now: Instant, compound: &[u8]) {
        for item in rtp::feedback(compound) {
            if let Rtcp::SenderReport { ssrc, ntp, rtp, .. } = item {
                let mut sources = self.sources.values_mut();
                if let Some(source) = sources.find(|source| source.ssrc == ssrc.0) {
                    source.last_report = Some(((ntp >> 16) as u32, now));
                }
                self.reports.push(Report {
                    at: now,
                    ssrc: ssrc.0,
                    ntp,
                    rtp,
                });
            }
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.next, self.next_report, self.next_feedback]
            .into_iter()
            .flatten()
            .min()
    }

    /// Reports, NACKs and feedback that are due.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        if self.next_feedback.is_some_and(|at| at <= now) {
            self.next_feedback = None;
            while let Some(feedback) = self.receiver.feedback() {
                out.push(feedback);
            }
        }
        if self.next_report.is_some_and(|at| at <= now) {
            self.next_report = Some(now + REPORT_INTERVAL);
            let blocks: Vec<ReportBlock> = self
                .sources
                .values_mut()
                .map(|source| source.report(now))
                .collect();
            let mut compound = Vec::new();
            rtp::receiver_report(&mut compound, Ssrc(1), &blocks);
            out.push(compound);
        }
        if self.next.is_none_or(|at| at > now) {
            return;
        }
        let mut more = false;
        for source in self.sources.values_mut() {
            source.missing.retain(|_, (_, tries)| *tries < NACK_TRIES);
            let mut due = Vec::new();
            for (seq, (last, tries)) in &mut source.missing {
                if last.is_none_or(|at| now - at >= NACK_AGAIN) {
                    *last = Some(now);
                    *tries += 1;
                    due.push(*seq as u16);
                }
            }
            more |= !source.missing.is_empty();
            if !due.is_empty() {
                self.nacks_sent += due.len() as u64;
                let mut compound = Vec::new();
                rtp::receiver_report(&mut compound, Ssrc(1), &[]);
                rtp::nack(&mut compound, Ssrc(1), Ssrc(source.ssrc), due.into_iter());
                out.push(compound);
            }
        }
        self.next = more.then_some(now + NACK_TICK);
    }

    pub fn ssrc(&self, kind: MediaKind) -> Option<u32> {
        self.sources.get(&kind).map(|source| source.ssrc)
    }

    pub fn of(&self, kind: MediaKind) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(move |seen| seen.kind == kind)
    }

    pub fn video(&self) -> Vec<&Seen> {
        self.of(MediaKind::Video).collect()
    }

    pub fn audio(&self) -> Vec<&Seen> {
        self.of(MediaKind::Audio).collect()
    }

    /// Pictures in the order of their sequence numbers. One sent twice (a start over) is two.
    pub fn frames(&self) -> Vec<Frame> {
        let mut packets = self.video();
        packets.sort_by_key(|seen| seen.seq);
        let mut frames: Vec<Frame> = Vec::new();
        for seen in packets {
            match frames.last_mut() {
                Some(frame)
                    if (frame.label.source, frame.label.layer, frame.label.frame)
                        == (seen.label.source, seen.label.layer, seen.label.frame)
                        && frame.timestamp == seen.timestamp =>
                {
                    frame.packets += 1;
                    frame.last_at = frame.last_at.max(seen.at);
                    frame.first_at = frame.first_at.min(seen.at);
                }
                _ => frames.push(Frame {
                    label: seen.label,
                    timestamp: seen.timestamp,
                    first_at: seen.at,
                    last_at: seen.at,
                    first_seq: seen.seq,
                    packets: 1,
                }),
            }
        }
        frames
    }

    /// Holes in the sequence numbers, from the first to the highest that came.
    pub fn holes(&self, kind: MediaKind) -> usize {
        let blanks = self.blanks.iter().filter(|(of, _)| *of == kind);
        let seqs: BTreeSet<u64> = self
            .of(kind)
            .map(|seen| seen.seq)
            .chain(blanks.map(|(_, seq)| *seq))
            .collect();
        match (seqs.first(), seqs.last()) {
            (Some(first), Some(last)) => (last - first + 1) as usize - seqs.len(),
            _ => 0,
        }
    }
}

impl Source {
    fn report(&mut self, now: Instant) -> ReportBlock {
        let (arrived, highest) = self.reported;
        self.reported = (self.arrived, self.highest);
        let expected = if highest == 0 { 0 } else { self.highest - highest };
        let lost = expected.saturating_sub(self.arrived - arrived);
        let (lsr, since) = self.last_report.unwrap_or((0, now));
        ReportBlock {
            ssrc: Ssrc(self.ssrc),
            fraction_lost: (256 * lost).checked_div(expected).unwrap_or(0).min(255) as u8,
            cumulative_lost: (self.highest + 1 - self.first).saturating_sub(self.arrived) as i32,
            highest_seq: self.highest as u32,
            jitter: 0,
            lsr,
            dlsr: ((now - since).as_secs_f64() * 65_536.0) as u32,
        }
    }

    fn unwrap(&self, seq: u16) -> u64 {
        if self.highest == 0 {
            return 0x1_0000 + u64::from(seq);
        }
        let distance = seq.wrapping_sub(self.highest as u16) as i16;
        self.highest.saturating_add_signed(distance.into())
    }
}
