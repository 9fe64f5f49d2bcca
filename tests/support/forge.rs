//! What strangers and hostile peers send, byte by byte.

/// An RTP packet, not sealed.
pub fn rtp(pt: u8, seq: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0x80 | pt];
    packet.extend_from_slice(&seq.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// A DTLS record.
pub fn record(content_type: u8, epoch: u16, sequence: u64, body: &[u8]) -> Vec<u8> {
    let mut record = vec![content_type, 0xFE, 0xFD];
    record.extend_from_slice(&epoch.to_be_bytes());
    record.extend_from_slice(&sequence.to_be_bytes()[2..]);
    record.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    record.extend_from_slice(body);
    record
}

/// A fragment of a ClientHello that claims `length` bytes in all and `claimed` here.
pub fn fragment(length: u32, sequence: u16, offset: u32, claimed: u32, body: &[u8]) -> Vec<u8> {
    let mut message = vec![1];
    message.extend_from_slice(&length.to_be_bytes()[1..]);
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend_from_slice(&offset.to_be_bytes()[1..]);
    message.extend_from_slice(&claimed.to_be_bytes()[1..]);
    message.extend_from_slice(body);
    message
}

/// Datagrams with one byte each of one message, the last byte first: with the first byte, which comes last,
/// rtc-dtls walks through all of them, recursively.
pub fn tiny_fragments(count: u32) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |n| record(22, 0, n.into(), &fragment(count + 1, 0, count - 1 - n, 1, &[0])))
}

/// Datagrams full of fragments without a byte, of messages that are not due yet.
pub fn empty_fragments(datagrams: u32) -> impl Iterator<Item = Vec<u8>> {
    const EACH: u32 = 54;
    (0..datagrams).map(|datagram| {
        let one = move |n: u32| {
            let number = datagram * EACH + n;
            record(
                22,
                0,
                number.into(),
                &fragment(1000, (1 + number % 60_000) as u16, 0, 0, &[]),
            )
        };
        (0..EACH).flat_map(one).collect()
    })
}

/// Records of an epoch whose keys nobody has yet.
pub fn early_records(datagrams: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..datagrams).map(|n| record(23 - (n % 2) as u8, 1, n, &[0xA5; 1200]))
}

/// A STUN message with these attributes and no integrity.
pub fn stun(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend_from_slice(&kind.to_be_bytes());
        body.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut message = kind.to_be_bytes().to_vec();
    message.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    message.extend_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
    message.extend_from_slice(b"transaction!");
    message.extend_from_slice(&body);
    message
}

/// Chance that is the same in every run.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 24) as u8).collect()
    }

    /// The same, a little worse: cut short, lengthened, some bytes changed.
    pub fn spoil(&mut self, datagram: &[u8]) -> Vec<u8> {
        let mut spoilt = datagram.to_vec();
        match self.below(4) {
            0 => spoilt.truncate(self.below(datagram.len())),
            1 => spoilt.extend(self.bytes(20)),
            _ => {
                for _ in 0..=self.below(6) {
                    let at = self.below(spoilt.len());
                    if let Some(byte) = spoilt.get_mut(at) {
                        *byte = (self.0 >> 32) as u8;
                        self.next();
                    }
                }
            }
        }
        spoilt
    }
}
