//! How much a viewer may ask again: retransmissions are paid by everybody, so each viewer has a budget.

use std::time::Instant;

/// Packets a viewer gets again in a row before the budget limits it.
const BURST: f64 = 400.0;
/// Packets per second after that: 10 % loss of a 40 Mbit/s stream.
const PER_SECOND: f64 = 400.0;

#[derive(Debug)]
pub struct RetransmitBudget {
    left: f64,
    at: Instant,
}

impl RetransmitBudget {
    pub fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    /// Takes one packet from the budget; false when it is used up.
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + elapsed * PER_SECOND).min(BURST);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}
