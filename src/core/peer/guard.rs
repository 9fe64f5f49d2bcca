//! What a peer may cost us in DTLS. Record headers are read here, before rtc-dtls sees a byte: it reassembles
//! fragments recursively and keeps what it cannot use, without bound (version 0.21.1).

use std::time::{Duration, Instant};

use super::counters::PeerCounters;

/// Until connected. A handshake takes some 8 datagrams and 4 KiB; each flight may be repeated seven times.
const HANDSHAKE_DATAGRAMS: u32 = 64;
const HANDSHAKE_BYTES: usize = 48 * 1024;
/// Records rtc-dtls may have to queue: those of epoch 1 or more, and ChangeCipherSpec, which comes too early
/// just as easily.
const HANDSHAKE_QUEUED_RECORDS: u32 = 16;
/// Handshake messages and fragments of them: reassembly is cubic in their number.
const HANDSHAKE_FRAGMENTS: u32 = 128;
/// No message of a handshake is longer: a certificate chain is about 1 KiB.
const MAX_MESSAGE: usize = 16 * 1024;

/// After connection only the repetition of the last flight is of use (RFC 6347 §4.2.4).
const CONNECTED_RECORDS: u32 = 16;
const CONNECTED_INTERVAL: Duration = Duration::from_secs(60);
/// Each repetition stays in rtc-dtls's fragment buffer for ever, so a long session needs a total as well.
const CONNECTED_RECORDS_TOTAL: u32 = 64;

const RECORD_HEADER: usize = 13;
const MESSAGE_HEADER: usize = 12;

mod content_type {
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    pub const ALERT: u8 = 21;
    pub const HANDSHAKE: u8 = 22;
    pub const APPLICATION_DATA: u8 = 23;
}

#[derive(Default)]
pub(super) struct DtlsGuard {
    datagrams: u32,
    bytes: usize,
    queued_records: u32,
    fragments: u32,
    connected: Option<AfterConnect>,
}

struct AfterConnect {
    since: Instant,
    records: u32,
    total: u32,
}

impl DtlsGuard {
    pub fn connected(&mut self, now: Instant) {
        self.connected = Some(AfterConnect {
            since: now,
            records: 0,
            total: 0,
        });
    }

    /// The records of `datagram` that rtc-dtls may see, as a datagram again; empty when there are none.
    pub fn admit(&mut self, now: Instant, datagram: &[u8], counters: &mut PeerCounters) -> Vec<u8> {
        if self.connected.is_none() {
            self.datagrams += 1;
            self.bytes = self.bytes.saturating_add(datagram.len());
            if self.datagrams > HANDSHAKE_DATAGRAMS || self.bytes > HANDSHAKE_BYTES {
                counters.dtls_over_budget += 1;
                return Vec::new();
            }
        }
        let mut admitted = Vec::new();
        let mut records = Records { rest: datagram };
        for record in records.by_ref() {
            match self.judge(now, &record) {
                Verdict::Pass => admitted.extend_from_slice(record.whole),
                Verdict::OverBudget => counters.dtls_over_budget += 1,
                Verdict::Malformed => counters.dtls_malformed += 1,
                Verdict::ApplicationData => counters.dtls_application_data += 1,
            }
        }
        if !records.rest.is_empty() {
            counters.dtls_malformed += 1;
        }
        admitted
    }

    fn judge(&mut self, now: Instant, record: &Record<'_>) -> Verdict {
        match record.content_type {
            content_type::CHANGE_CIPHER_SPEC | content_type::ALERT | content_type::HANDSHAKE => {}
            content_type::APPLICATION_DATA => return Verdict::ApplicationData,
            _ => return Verdict::Malformed,
        }
        let handshake = record.content_type == content_type::HANDSHAKE;
        let fragments = if handshake && record.epoch == 0 {
            match count_fragments(record.body) {
                Some(count) => count,
                None => return Verdict::Malformed,
            }
        } else {
            0
        };
        match &mut self.connected {
            None => {
                let queued = record.epoch > 0 || record.content_type == content_type::CHANGE_CIPHER_SPEC;
                self.queued_records += u32::from(queued);
                self.fragments += fragments;
                if self.queued_records > HANDSHAKE_QUEUED_RECORDS && queued
                    || self.fragments > HANDSHAKE_FRAGMENTS
                {
                    return Verdict::OverBudget;
                }
            }
            Some(after) if handshake => {
                if now.saturating_duration_since(after.since) >= CONNECTED_INTERVAL {
                    after.since = now;
                    after.records = 0;
                }
                after.records += fragments.max(1);
                after.total += fragments.max(1);
                if after.records > CONNECTED_RECORDS || after.total > CONNECTED_RECORDS_TOTAL {
                    return Verdict::OverBudget;
                }
            }
            Some(_) => {}
        }
        Verdict::Pass
    }
}

enum Verdict {
    Pass,
    OverBudget,
    Malformed,
    ApplicationData,
}

/// How many handshake messages or fragments `body` holds; `None` if any contradicts itself: a fragment of no
/// bytes of a message that has some, one larger than what is there, or one that reaches past its message's end.
fn count_fragments(body: &[u8]) -> Option<u32> {
    let mut rest = body;
    let mut count = 0;
    while !rest.is_empty() {
        let message = Message::parse(rest)?;
        if message.body.is_empty() && message.length != 0
            || message.length > MAX_MESSAGE
            || message.offset + message.body.len() > message.length
        {
            return None;
        }
        rest = &rest[MESSAGE_HEADER + message.body.len()..];
        count += 1;
    }
    (count > 0).then_some(count)
}

/// A record of a datagram (RFC 6347 §4.1).
pub(super) struct Record<'a> {
    pub content_type: u8,
    pub epoch: u16,
    pub body: &'a [u8],
    pub whole: &'a [u8],
}

impl<'a> Record<'a> {
    /// Its handshake messages, if it is a handshake record in the clear.
    pub fn messages(&self) -> Messages<'a> {
        let readable = self.content_type == content_type::HANDSHAKE && self.epoch == 0;
        Messages {
            rest: if readable { self.body } else { &[] },
        }
    }
}

/// Walks a record's handshake messages; stops at the first that is cut short.
pub(super) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let message = Message::parse(self.rest)?;
        self.rest = &self.rest[MESSAGE_HEADER + message.body.len()..];
        Some(message)
    }
}

/// Walks a datagram's records; stops at the first that is cut short or is no DTLS, leaving it in `rest`.
pub(super) struct Records<'a> {
    pub rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let header: &[u8; RECORD_HEADER] = self.rest.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        // DTLS 1.0 and 1.2 both start with 254; rtc-dtls's own walk fails on empty records.
        if header[1] != 0xFE || length == 0 || self.rest.len() < RECORD_HEADER + length {
            return None;
        }
        let (whole, rest) = self.rest.split_at(RECORD_HEADER + length);
        self.rest = rest;
        Some(Record {
            content_type: header[0],
            epoch: u16::from_be_bytes([header[3], header[4]]),
            body: &whole[RECORD_HEADER..],
            whole,
        })
    }
}

/// A handshake message or a fragment of one (RFC 6347 §4.2.2).
pub(super) struct Message<'a> {
    pub kind: u8,
    pub length: usize,
    pub sequence: u16,
    pub offset: usize,
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header: &[u8; MESSAGE_HEADER] = bytes.first_chunk()?;
        let u24 = |at: usize| {
            usize::from(header[at]) << 16 | usize::from(header[at + 1]) << 8 | usize::from(header[at + 2])
        };
        let fragment = u24(9);
        Some(Self {
            kind: header[0],
            length: u24(1),
            sequence: u16::from_be_bytes([header[4], header[5]]),
            offset: u24(6),
            body: bytes.get(MESSAGE_HEADER..MESSAGE_HEADER + fragment)?,
        })
    }
}
