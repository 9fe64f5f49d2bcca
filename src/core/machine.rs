//! The contract between the core and whatever drives it: a worker thread with a real socket, or a test with a
//! virtual network.
//!
//! The driver's turn is always the same:
//! 1. hand in what arrived: any number of [`Machine::handle_datagram`] and [`Machine::handle_message`];
//! 2. [`Machine::handle_timeout`] once: at [`Machine::poll_timeout`] at the latest, before it in any turn that there is;
//! 3. drain [`Machine::poll_effect`] until `None` and perform each effect: other workers begin with what concerns
//!    them while this one still sends;
//! 4. [`Machine::flush`] once: everything to be sent because of 1 and 2 goes to the [`Outbox`];
//! 5. drain [`Machine::poll_effect`] once more;
//! 6. sleep until something arrives or `poll_timeout`; [`Machine::patience`] says whether at once.
//!
//! `now` never goes backwards between calls.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::ids::WorkerId;

/// Both ends of a datagram's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    pub remote: SocketAddr,
    /// The address of ours a datagram arrived at, so that answers leave from the same one; `None` lets the
    /// system choose.
    pub local: Option<IpAddr>,
}

pub trait Machine {
    /// What other workers and the control plane send to this one.
    type Message: Send + 'static;
    /// What this one tells the control plane.
    type Notice: Send + 'static;

    /// One received datagram (GRO already split). The bytes may be changed in place.
    fn handle_datagram(&mut self, now: Instant, path: Path, data: &mut [u8]);
    fn handle_message(&mut self, now: Instant, message: Self::Message);
    fn handle_timeout(&mut self, now: Instant);
    /// When `handle_timeout` wants to be called next. Constant time.
    fn poll_timeout(&mut self) -> Option<Instant>;
    /// How long datagrams may wait at the socket, so that several are taken in at once: not at all while anyone plays
    /// or joins. Messages never wait.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
    fn flush(&mut self, now: Instant, out: &mut impl Outbox);
    fn poll_effect(&mut self) -> Option<Effect<Self::Message, Self::Notice>>;
}

/// Where the core writes what is to be sent.
pub trait Outbox {
    /// Appends one datagram to `path`: `fill` writes it into a buffer of `max_len` bytes and returns its length,
    /// or `None` to send nothing after all. Datagrams to the same path written one after the other, of equal
    /// length but for a shorter last one, cost one system call together.
    fn datagram(&mut self, path: &Path, max_len: usize, fill: impl FnOnce(&mut [u8]) -> Option<usize>);

    /// Datagrams wait because the network takes no more right now: what can wait should.
    fn is_congested(&self) -> bool {
        false
    }
}

/// What a driver performs on behalf of the core.
#[derive(Debug)]
pub enum Effect<M, N> {
    ToWorker(WorkerId, M),
    ToControl(N),
}
