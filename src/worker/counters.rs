//! What a worker did since it started, readable from any thread.
//!
//! The worker counts in plain integers and publishes them once a turn, so a counter costs nothing per packet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Why a datagram or a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Drop {
    /// Received from an address that can't be answered (port 0, multicast, broadcast), or sent to one.
    Address,
    /// To be sent, but the socket stayed full and the backlog is at its bound.
    Backlog,
    /// The kernel had no memory for it (ENOBUFS, ENOMEM).
    NoBuffers,
    /// No route, host or network unreachable, network down.
    Unreachable,
    /// A firewall or policy refused it (EPERM, EACCES).
    Refused,
    /// Larger than the path or the interface takes (EMSGSIZE).
    TooBig,
    /// Source address gone, or arguments the kernel refuses for another reason (EINVAL, EIO, EADDRNOTAVAIL).
    Invalid,
    /// Any other error of the system.
    Other,
    /// A media message to another worker whose inbox is full.
    Message,
}

impl Drop {
    pub const ALL: [Self; 9] = [
        Self::Address,
        Self::Backlog,
        Self::NoBuffers,
        Self::Unreachable,
        Self::Refused,
        Self::TooBig,
        Self::Invalid,
        Self::Other,
        Self::Message,
    ];

    /// The value of the metric's `reason` label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Backlog => "backlog",
            Self::NoBuffers => "no_buffers",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::TooBig => "too_big",
            Self::Invalid => "invalid",
            Self::Other => "other",
            Self::Message => "message",
        }
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Totals since the worker started.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
            drops: [u64; Drop::ALL.len()],
            /// The longest turn (without the sleep) since [`Counters::snapshot`] was last called.
            pub longest_turn: Duration,
        }

        /// A worker's published [`Snapshot`]. Written by the worker alone.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($name: AtomicU64,)*
            drops: [AtomicU64; Drop::ALL.len()],
            longest_turn_nanos: AtomicU64,
        }

        impl Counters {
            /// The totals as of the worker's last turn; starts a new search for the longest turn.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                    drops: std::array::from_fn(|i| self.drops[i].load(Ordering::Relaxed)),
                    longest_turn: Duration::from_nanos(self.longest_turn_nanos.swap(0, Ordering::Relaxed)),
                }
            }

            /// `totals.longest_turn` is the duration of the turn that just ended.
            pub(super) fn publish(&self, totals: &Snapshot) {
                $(self.$name.store(totals.$name, Ordering::Relaxed);)*
                for (shared, own) in self.drops.iter().zip(totals.drops) {
                    shared.store(own, Ordering::Relaxed);
                }
                let nanos = u64::try_from(totals.longest_turn.as_nanos()).unwrap_or(u64::MAX);
                self.longest_turn_nanos.fetch_max(nanos, Ordering::Relaxed);
            }
        }
    };
}

counters! {
    datagrams_in,
    bytes_in,
    /// `recvmmsg` calls; `datagrams_in / receive_calls` is how well receiving is batched.
    receive_calls,
    /// Datagrams the kernel accepted.
    datagrams_out,
    bytes_out,
    /// `sendmsg` calls; `datagrams_out / send_calls` is how well GSO works.
    send_calls,
    /// Messages from other workers and the control plane.
    messages_in,
    /// Turns of the loop.
    turns,
    /// Turns that hit a work limit and went on without sleeping.
    busy_turns,
}

impl Snapshot {
    pub fn drops(&self, reason: Drop) -> u64 {
        self.drops[reason as usize]
    }

    pub(super) fn drop_datagrams(&mut self, reason: Drop, count: u64) {
        self.drops[reason as usize] += count;
    }
}
