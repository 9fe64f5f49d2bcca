//! What the way is believed to carry where no transport-wide feedback comes: by the receiver's own estimate, and by the
//! losses in its reports.

use std::time::{Duration, Instant};

/// Losses below this are no reason to send less, and let the estimate grow (RFC 8698 and libwebrtc take the same).
const LITTLE: f64 = 0.02;
/// Losses above this are one.
const MUCH: f64 = 0.1;
/// By which factor the estimate grows in a second.
const GROWTH: f64 = 1.08;
/// There is no proof without transport-wide feedback; so it may grow up to this many times what is sent, for a higher
/// layer to be tried.
const UNPROVEN: f64 = 2.0;
/// Reports come for each stream; a loss that several of them tell is one.
const PATIENCE: Duration = Duration::from_millis(800);
/// Half a second at least is between two conclusions, up to this much.
const LONGEST_STEP: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Reports {
    by_loss: f64,
    by_remb: Option<f64>,
    loss: f64,
    min: f64,
    max: f64,
    grown: Instant,
    fallen: Option<Instant>,
}

impl Reports {
    pub fn new(now: Instant, start: f64, min: f64, max: f64) -> Self {
        Self {
            by_loss: start,
            by_remb: None,
            loss: 0.0,
            min,
            max,
            grown: now,
            fallen: None,
        }
    }

    /// Bits per second.
    pub fn target(&self) -> f64 {
        match self.by_remb {
            // The receiver knows of losses too, and of delays.
            Some(remb) => remb,
            None => self.by_loss,
        }
    }

    /// Share of packets lost, smoothed.
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// Takes the receiver's estimate; `sending` in bits per second.
    pub fn remb(&mut self, _now: Instant, bitrate: f64, sending: f64) {
        let proven = self.target().max(sending * UNPROVEN);
        self.by_remb = Some(bitrate.min(proven).clamp(self.min, self.max));
    }

    /// Takes the share of packets lost since the last report.
    pub fn report(&mut self, now: Instant, lost: f64, sending: f64) {
        self.loss += (lost - self.loss) / 4.0;
        let elapsed = now.saturating_duration_since(self.grown).min(LONGEST_STEP);
        self.grown = now;
        if lost < LITTLE && self.loss < MUCH {
            let ceiling = sending * UNPROVEN;
            if self.by_loss < ceiling {
                let grown = self.by_loss * GROWTH.powf(elapsed.as_secs_f64());
                self.by_loss = grown.min(ceiling).clamp(self.min, self.max);
            }
        } else if lost > MUCH {
            let again = self
                .fallen
                .is_none_or(|fallen| now.saturating_duration_since(fallen) >= PATIENCE);
            if again && sending > 0.0 {
                self.fallen = Some(now);
                let carried = self.by_loss.min(sending) * (1.0 - lost / 2.0);
                self.by_loss = carried.clamp(self.min, self.max);
            }
        }
    }
}
