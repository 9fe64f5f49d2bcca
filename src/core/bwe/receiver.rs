//! A receiver that gives transport-wide feedback, for tests.

use std::collections::BTreeMap;
use std::time::Duration;

/// Notes what arrives, and writes feedback about it, as Chromium does: from the first packet not reported yet up to the
/// newest; a packet that comes later gets into the next one.
#[derive(Debug, Default)]
pub struct FeedbackReceiver {
    highest: Option<u64>,
    /// Not reported yet, with the arrival in units of 250 µs.
    arrived: BTreeMap<u64, i64>,
    /// Reported up to here, exclusively.
    reported: Option<u64>,
    count: u8,
}

impl FeedbackReceiver {
    /// A packet arrived with this transport-wide number, at this time on the receiver's own clock.
    pub fn received(&mut self, seq: u16, at: Duration) {
        let number = match self.highest {
            None => 0x1_0000 + u64::from(seq),
            Some(highest) => highest.saturating_add_signed((seq.wrapping_sub(highest as u16) as i16).into()),
        };
        self.highest = self.highest.max(Some(number));
        self.arrived.entry(number).or_insert(at.as_micros() as i64 / 250);
    }

    /// Feedback about what arrived since the last time, as a whole RTCP packet.
    pub fn feedback(&mut self) -> Option<Vec<u8>> {
        const MAX_STATUSES: usize = 1000;
        let (&first, &first_at) = self.arrived.first_key_value()?;
        let base = self.reported.map_or(first, |reported| reported.min(first));
        let reference = first_at.div_euclid(256);
        let mut symbols = Vec::new();
        let mut deltas = Vec::new();
        let mut last = reference * 256;
        let mut next = base;
        while let Some((&number, &at)) = self.arrived.first_key_value() {
            let missing = (number - next) as usize;
            let delta = at - last;
            let fits = i16::try_from(delta).is_ok();
            if symbols.len() + missing >= MAX_STATUSES.max(missing + 1) || !fits {
                break;
            }
            symbols.extend(std::iter::repeat_n(0u16, missing));
            match u8::try_from(delta) {
                Ok(small) => {
                    symbols.push(1);
                    deltas.push(small);
                }
                Err(_) => {
                    symbols.push(2);
                    deltas.extend((delta as i16).to_be_bytes());
                }
            }
            last = at;
            next = number + 1;
            self.arrived.pop_first();
        }
        self.reported = self.reported.max(Some(next));
        self.count = self.count.wrapping_add(1);
        Some(write(
            base as u16,
            reference as i32,
            self.count.wrapping_sub(1),
            &symbols,
            &deltas,
        ))
    }
}

/// A feedback packet with these symbols, in chunks of their own choosing.
fn write(base: u16, reference: i32, number: u8, symbols: &[u16], deltas: &[u8]) -> Vec<u8> {
    let mut out = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    out.extend(base.to_be_bytes());
    out.extend((symbols.len() as u16).to_be_bytes());
    out.extend(&reference.to_be_bytes()[1..]);
    out.push(number);
    let mut rest = symbols;
    while let Some(&symbol) = rest.first() {
        let run = rest
            .iter()
            .take_while(|other| **other == symbol)
            .count()
            .min(0x1fff);
        if run > 7 {
            out.extend((symbol << 13 | run as u16).to_be_bytes());
            rest = &rest[run..];
            continue;
        }
        let narrow = rest.iter().take(14).all(|symbol| *symbol < 2);
        let (bits, len, mark) = if narrow { (1, 14, 0x8000) } else { (2, 7, 0xc000) };
        let len = rest.len().min(len);
        let chunk = rest[..len]
            .iter()
            .enumerate()
            .fold(mark, |chunk, (index, symbol)| {
                chunk | symbol << (14 - bits * (index + 1))
            });
        out.extend(chunk.to_be_bytes());
        rest = &rest[len..];
    }
    out.extend(deltas);
    let padding = (4 - out.len() % 4) % 4;
    if padding > 0 {
        out[0] |= 0x20;
        out.extend(std::iter::repeat_n(0, padding - 1));
        out.push(padding as u8);
    }
    let words = (out.len() / 4 - 1) as u16;
    out[2..4].copy_from_slice(&words.to_be_bytes());
    out
}
