//! Transport-wide feedback as a browser sends it (draft-holmer-rmcat-transport-wide-cc-extensions-01): which packets
//! arrived, and when.

use std::collections::VecDeque;
use std::time::Duration;

use super::rtp::Unwrapper;

/// The extension with the transport-wide sequence number.
pub const URI: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// A jump further ahead is a new start.
const MAX_JUMP: u64 = 8192;
/// Packets told about once are remembered so that a late one among them is told about in its place.
const REMEMBERED: usize = 128;
/// Numbers in one feedback packet: at most 2 bytes each, which fits a datagram.
const MAX_NUMBERS: usize = 500;
/// Arrival times count in these; the reference time in 256 of them (§3.1).
const TICK_MICROS: u64 = 250;
const TRANSPORT_FEEDBACK: u8 = 205;
const FORMAT: u8 = 15;

/// What arrived since the last feedback.
#[derive(Debug, Default)]
pub struct Recorder {
    numbers: Unwrapper,
    /// Stands at the front of `ticks`.
    first: u64,
    /// When each number arrived.
    ticks: VecDeque<Option<u64>>,
    /// The first number that the next feedback tells about.
    next: u64,
    count: u8,
}

impl Recorder {
    /// `arrival` in µs of any clock that does not jump.
    pub fn record(&mut self, seq: u16, arrival: u64) {
        let number = self.numbers.unwrap(seq);
        let end = self.first + self.ticks.len() as u64;
        if self.ticks.is_empty() || number >= end + MAX_JUMP {
            self.ticks.clear();
            (self.first, self.next) = (number, number);
        } else if number < self.first {
            return;
        }
        self.numbers.accept(number);
        let place = (number - self.first) as usize;
        if place >= self.ticks.len() {
            self.ticks.resize(place + 1, None);
        }
        if let Some(tick @ None) = self.ticks.get_mut(place) {
            *tick = Some(arrival / TICK_MICROS);
            self.next = self.next.min(number);
        }
    }

    pub fn has_news(&self) -> bool {
        self.next < self.first + self.ticks.len() as u64
    }

    /// Appends feedback packets on everything new; returns how many.
    pub fn write_feedback(&mut self, out: &mut Vec<u8>, from: u32, media: u32) -> u64 {
        let mut packets = 0;
        while self.has_news() {
            self.write_packet(out, from, media);
            packets += 1;
        }
        let told = (self.next - self.first) as usize;
        let forgotten = told.saturating_sub(REMEMBERED);
        self.ticks.drain(..forgotten.min(self.ticks.len()));
        self.first += forgotten as u64;
        packets
    }

    fn write_packet(&mut self, out: &mut Vec<u8>, from: u32, media: u32) {
        let base = self.next;
        let skipped = (base - self.first) as usize;
        let news = || self.ticks.iter().skip(skipped).take(MAX_NUMBERS);
        let reference = news().flatten().next().copied().unwrap_or(0) / 256;
        let (mut symbols, mut deltas) = (Vec::new(), Vec::new());
        let mut before = reference * 256;
        for tick in news() {
            let Some(tick) = *tick else {
                symbols.push(Symbol::Missing);
                continue;
            };
            let delta = tick as i64 - before as i64;
            if let Ok(small) = u8::try_from(delta) {
                symbols.push(Symbol::Small);
                deltas.push(small);
            } else if let Ok(large) = i16::try_from(delta) {
                symbols.push(Symbol::Large);
                deltas.extend_from_slice(&large.to_be_bytes());
            } else {
                // Too far apart for one packet: the next begins here.
                break;
            }
            before = tick;
        }
        self.next += symbols.len() as u64;
        let start = out.len();
        out.extend_from_slice(&[0x80 | FORMAT, TRANSPORT_FEEDBACK, 0, 0]);
        out.extend_from_slice(&from.to_be_bytes());
        out.extend_from_slice(&media.to_be_bytes());
        out.extend_from_slice(&(base as u16).to_be_bytes());
        out.extend_from_slice(&(symbols.len() as u16).to_be_bytes());
        out.extend_from_slice(&((reference as u32) << 8 | u32::from(self.count)).to_be_bytes());
        self.count = self.count.wrapping_add(1);
        write_chunks(out, &symbols);
        out.extend_from_slice(&deltas);
        // Padding as the P bit tells (RFC 3550 §6.4.1).
        let padding = out.len().next_multiple_of(4) - out.len();
        if padding > 0 {
            out.resize(out.len() + padding - 1, 0);
            out.push(padding as u8);
        }
        let words = ((out.len() - start) / 4 - 1) as u16;
        if let Some([first, _, high, low]) = out.get_mut(start..start + 4) {
            *first |= if padding > 0 { 0x20 } else { 0 };
            [*high, *low] = words.to_be_bytes();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbol {
    Missing = 0,
    Small = 1,
    Large = 2,
}

/// §3.1.2 to §3.1.5: runs where they are long, else a bit or two for each number.
fn write_chunks(out: &mut Vec<u8>, mut symbols: &[Symbol]) {
    const LONGEST_RUN: usize = 0x1fff;
    while let Some(first) = symbols.first() {
        let run = symbols
            .iter()
            .take(LONGEST_RUN)
            .take_while(|symbol| *symbol == first)
            .count();
        let narrow = symbols.iter().take(14).all(|symbol| *symbol != Symbol::Large);
        let (taken, width, head) = match (run, narrow) {
            (14.., _) => (run, 0, (*first as u16) << 13 | run as u16),
            (_, true) => (14, 1, 0x8000),
            (7.., false) => (run, 0, (*first as u16) << 13 | run as u16),
            (_, false) => (7, 2, 0xc000),
        };
        let taken = taken.min(symbols.len());
        let (these, rest) = symbols.split_at(taken);
        let mut chunk = head;
        if width > 0 {
            for (index, symbol) in these.iter().enumerate() {
                chunk |= (*symbol as u16) << (14 - width * (index + 1));
            }
        }
        out.extend_from_slice(&chunk.to_be_bytes());
        symbols = rest;
    }
}

/// How long a browser waits between two feedback packets: so that they take 5 % of what it receives, within bounds
/// (libwebrtc's `RemoteEstimatorProxy`).
pub fn interval(bits_per_second: f64) -> Duration {
    const PACKET_BITS: f64 = 68.0 * 8.0;
    let seconds = PACKET_BITS / (0.05 * bits_per_second.max(1.0));
    Duration::from_secs_f64(seconds.clamp(0.05, 0.25))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
        PacketStatusChunk, SymbolTypeTcc, TransportLayerCc,
    };
    use rtc::shared::marshal::Unmarshal;

    use super::*;

    /// What an independent reader makes of it: number → arrival in ticks, modulo the reference time's 24 bits; and
    /// all numbers told about.
    fn read(mut bytes: &[u8]) -> (BTreeMap<u16, u64>, Vec<u16>) {
        let (mut arrived, mut told) = (BTreeMap::new(), Vec::new());
        while !bytes.is_empty() {
            let len = 4 + 4 * usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
            let (mut packet, rest) = bytes.split_at(len);
            bytes = rest;
            let feedback = TransportLayerCc::unmarshal(&mut packet).expect("well-formed");
            let mut symbols = Vec::new();
            for chunk in &feedback.packet_chunks {
                match chunk {
                    PacketStatusChunk::RunLengthChunk(run) => {
                        symbols.extend(std::iter::repeat_n(
                            run.packet_status_symbol,
                            run.run_length.into(),
                        ));
                    }
                    PacketStatusChunk::StatusVectorChunk(vector) => symbols.extend(&vector.symbol_list),
                }
            }
            symbols.truncate(feedback.packet_status_count.into());
            let mut deltas = feedback.recv_deltas.iter();
            let mut now = u64::from(feedback.reference_time) * 256;
            for (offset, symbol) in symbols.iter().enumerate() {
                let number = feedback.base_sequence_number.wrapping_add(offset as u16);
                told.push(number);
                if *symbol != SymbolTypeTcc::PacketNotReceived {
                    let delta = deltas.next().expect("a delta for each").delta / TICK_MICROS as i64;
                    now = now.wrapping_add_signed(delta);
                    arrived.insert(number, now);
                }
            }
            assert_eq!(deltas.next(), None);
        }
        (arrived, told)
    }

    proptest! {
        #[test]
        fn an_independent_reader_gets_back_what_was_recorded(
            first in any::<u16>(),
            start in 0..1u64 << 50,
            steps in prop::collection::vec((0..40u16, 0..20_000_000u64, any::<bool>()), 1..200),
        ) {
            let mut recorder = Recorder::default();
            let (mut number, mut at) = (first, start);
            let mut expected = BTreeMap::new();
            let (mut arrived, mut told) = (BTreeMap::new(), Vec::new());
            for (gap, pause, feedback) in steps {
                number = number.wrapping_add(gap / 13 + 1);
                at += pause / 1000 * u64::from(gap % 7);
                recorder.record(number, at);
                expected.insert(number, (at / TICK_MICROS) & 0xffff_ffff);
                if feedback {
                    let mut bytes = Vec::new();
                    prop_assert!(recorder.write_feedback(&mut bytes, 1, 2) >= 1);
                    let news = read(&bytes);
                    arrived.extend(news.0);
                    told.extend(news.1);
                }
            }
            let mut bytes = Vec::new();
            recorder.write_feedback(&mut bytes, 1, 2);
            let news = read(&bytes);
            arrived.extend(news.0);
            told.extend(news.1);
            let wrapped: BTreeMap<u16, u64> =
                arrived.into_iter().map(|(number, tick)| (number, tick & 0xffff_ffff)).collect();
            prop_assert_eq!(wrapped, expected);
            prop_assert!(told.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{:?}", told);
        }
    }

    #[test]
    fn a_packet_that_comes_late_is_told_about_in_its_place() {
        let mut recorder = Recorder::default();
        for number in [10, 12, 13] {
            recorder.record(number, u64::from(number) * 1000);
        }
        let mut bytes = Vec::new();
        recorder.write_feedback(&mut bytes, 1, 2);
        assert_eq!(read(&bytes).0.keys().copied().collect::<Vec<_>>(), [10, 12, 13]);
        assert!(!recorder.has_news());
        recorder.record(11, 14_000);
        bytes.clear();
        recorder.write_feedback(&mut bytes, 1, 2);
        let again = read(&bytes);
        assert_eq!(again.1, [11, 12, 13]);
        assert_eq!(again.0[&11], 56);
    }

    #[test]
    fn feedback_is_sent_as_often_as_browsers_do() {
        assert_eq!(interval(2_500_000.0).as_millis(), 50);
        assert_eq!(interval(100_000.0).as_millis(), 108);
        assert_eq!(interval(0.0).as_millis(), 250);
    }
}
