//! Transport-wide congestion control feedback taken apart in place (draft-holmer-rmcat-transport-wide-cc-extensions-01
//! §3.1).

/// RTCP header, two SSRCs, base number, count, reference time and feedback count.
const HEADER: usize = 20;

/// A feedback packet: which packets were received, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    /// The first packet it speaks of.
    pub base: u16,
    /// How many it speaks of.
    pub count: u16,
    /// The time that the first packet's delta counts from, on the receiver's clock, in units of 64 ms; signed, 24 bits.
    pub reference: i32,
    /// Goes up by one with each feedback packet.
    pub number: u8,
    chunks: &'a [u8],
}

/// What a feedback packet says about one or more packets in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// So many were not received.
    Missing(u16),
    /// One was received, so many units of 250 µs after the one received before it.
    Received(i16),
    /// One was received, at a time that cannot be told (a reserved symbol).
    Untimed,
}

impl<'a> TransportFeedback<'a> {
    /// Takes the whole RTCP packet, header included, without padding. `None` where it is cut short: the chunks have to
    /// cover all packets that it claims to speak of, and the deltas all that are said to be received.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let (header, chunks) = packet.split_at_checked(HEADER)?;
        let &[b0, b1, c0, c1, r0, r1, r2, number] = header.last_chunk()?;
        let feedback = Self {
            base: u16::from_be_bytes([b0, b1]),
            count: u16::from_be_bytes([c0, c1]),
            reference: i32::from_be_bytes([r0, r1, r2, 0]) >> 8,
            number,
            chunks,
        };
        feedback.deltas()?;
        Some(feedback)
    }

    /// In the order of packets.
    pub fn statuses(&self) -> Statuses<'a> {
        Statuses {
            chunks: self.chunks,
            deltas: self.deltas().unwrap_or_default(),
            left: self.count,
            chunk: Chunk::default(),
        }
    }

    /// Where the deltas begin, if all is there. Takes as many steps as there are chunks.
    fn deltas(&self) -> Option<&'a [u8]> {
        let mut rest = self.chunks;
        let mut left = self.count;
        let mut bytes = 0;
        while left > 0 {
            let (&word, after) = rest.split_first_chunk()?;
            rest = after;
            let mut chunk = Chunk::read(u16::from_be_bytes(word), left);
            left -= chunk.left;
            while let Some((symbol, run)) = chunk.take() {
                bytes += usize::from(run) * symbol_bytes(symbol);
            }
        }
        (rest.len() >= bytes).then_some(rest)
    }
}

/// See [`TransportFeedback::statuses`]. As many items as there are packets received, and at most one for each chunk and
/// run of packets missing.
#[derive(Clone, Debug)]
pub struct Statuses<'a> {
    chunks: &'a [u8],
    deltas: &'a [u8],
    left: u16,
    chunk: Chunk,
}

impl Iterator for Statuses<'_> {
    type Item = Status;

    fn next(&mut self) -> Option<Status> {
        // A run of none says nothing.
        while self.chunk.left == 0 {
            if self.left == 0 {
                return None;
            }
            let (&word, rest) = self.chunks.split_first_chunk()?;
            self.chunks = rest;
            self.chunk = Chunk::read(u16::from_be_bytes(word), self.left);
            self.left -= self.chunk.left;
        }
        if self.chunk.symbol() == NOT_RECEIVED {
            let (_, run) = self.chunk.take()?;
            return Some(Status::Missing(run));
        }
        match self.chunk.take_one()? {
            SMALL_DELTA => {
                let (&delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(Status::Received(delta.into()))
            }
            LARGE_DELTA => {
                let (&delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                Some(Status::Received(i16::from_be_bytes(delta)))
            }
            _ => Some(Status::Untimed),
        }
    }
}

const NOT_RECEIVED: u16 = 0;
const SMALL_DELTA: u16 = 1;
const LARGE_DELTA: u16 = 2;

fn symbol_bytes(symbol: u16) -> usize {
    match symbol {
        SMALL_DELTA => 1,
        LARGE_DELTA => 2,
        _ => 0,
    }
}

/// What is left of a packet status chunk: `left` symbols, each `bits` wide and the first on top; with `bits` 0, all
/// the same.
#[derive(Clone, Copy, Debug, Default)]
struct Chunk {
    symbols: u16,
    bits: u16,
    left: u16,
}

impl Chunk {
    /// The symbols of a chunk, as many of them as are wanted.
    fn read(word: u16, wanted: u16) -> Self {
        let (symbols, bits, len) = if word & 0x8000 == 0 {
            (word & 0x6000, 0, word & 0x1fff)
        } else if word & 0x4000 == 0 {
            (word << 2, 1, 14)
        } else {
            (word << 2, 2, 7)
        };
        Self {
            symbols: if bits == 0 { symbols << 1 } else { symbols },
            bits,
            left: len.min(wanted),
        }
    }

    fn symbol(&self) -> u16 {
        match self.bits {
            1 => self.symbols >> 15,
            _ => self.symbols >> 14,
        }
    }

    fn take_one(&mut self) -> Option<u16> {
        self.left = self.left.checked_sub(1)?;
        let symbol = self.symbol();
        self.symbols <<= self.bits;
        Some(symbol)
    }

    /// The next symbol and how often it stands in a row.
    fn take(&mut self) -> Option<(u16, u16)> {
        let symbol = self.symbol();
        if self.left == 0 {
            return None;
        }
        if self.bits == 0 {
            return Some((symbol, std::mem::take(&mut self.left)));
        }
        let mut run = 0;
        while self.left > 0 && self.symbol() == symbol {
            self.take_one();
            run += 1;
        }
        Some((symbol, run))
    }
}
