//! Listens at the server's side of every wire, and fails the test when a nonce is used twice: two packets of the
//! same SSRC and number that differ give the keys of GCM away (NIST SP 800-38D §8). True in every scenario, so it
//! is checked in every one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A number so long ago that it was the rollover's before.
const ROLLOVER: u64 = 40_000;

#[derive(Default)]
pub struct Wiretap {
    /// Of (client, SSRC): packets so far, and by sequence number, when and what.
    rtp: HashMap<(usize, u32), Sent>,
    /// Of the client: the last SRTCP index.
    rtcp: HashMap<usize, u32>,
    /// Of (client, SSRC): packets sent a second time on it.
    repeated: HashMap<(usize, u32), u64>,
}

#[derive(Default)]
struct Sent {
    count: u64,
    hashes: HashMap<u16, (u64, u64)>,
}

impl Wiretap {
    /// How often a packet was sent again on its own SSRC.
    pub fn repeated(&self, client: usize, ssrc: u32) -> u64 {
        self.repeated.get(&(client, ssrc)).copied().unwrap_or_default()
    }

    pub fn listen(&mut self, client: usize, gcm: bool, datagram: &[u8]) {
        match datagram {
            [128..=191, 192..=223, ..] => {
                let tag = if gcm { 0 } else { 10 };
                let Some(end) = datagram.len().checked_sub(tag) else {
                    return;
                };
                let index = u32::from_be_bytes(datagram[end - 4..end].try_into().expect("four bytes"));
                if let Some(last) = self.rtcp.insert(client, index) {
                    assert!(
                        index > last,
                        "SRTCP index {index:x} to client {client} after {last:x}"
                    );
                }
            }
            [128..=191, _, s0, s1, _, _, _, _, c0, c1, c2, c3, ..] => {
                let ssrc = u32::from_be_bytes([*c0, *c1, *c2, *c3]);
                let seq = u16::from_be_bytes([*s0, *s1]);
                let mut hasher = DefaultHasher::new();
                datagram.hash(&mut hasher);
                let hash = hasher.finish();
                let sent = self.rtp.entry((client, ssrc)).or_default();
                sent.count += 1;
                if let Some((before, at)) = sent.hashes.insert(seq, (hash, sent.count))
                    && sent.count - at < ROLLOVER
                {
                    assert_eq!(
                        before, hash,
                        "number {seq} of SSRC {ssrc} to client {client} was used twice"
                    );
                    *self.repeated.entry((client, ssrc)).or_default() += 1;
                }
            }
            _ => {}
        }
    }
}
