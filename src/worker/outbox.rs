//! What the core sends, collected into few system calls.
//!
//! Datagrams are written into an arena. Those to one path that follow each other and have one length (the last may
//! be shorter) form a run: one `sendmsg` with GSO. A run is all quinn-udp can hand to the kernel at once.
//!
//! When the socket is full, what is left waits in its arenas until the socket is writable again: a keyframe to
//! hundreds of viewers leaves in a burst that no default socket buffer holds, and dropping its tail would cost
//! each of them a round of retransmission. The backlog is bounded ([`BACKLOG_ARENAS`]); beyond it new datagrams
//! are dropped, because what comes later only gets older still. ENOBUFS is a drop: no event tells when it ends.

use std::collections::VecDeque;
use std::io;

use super::counters::{Drop, Snapshot};
use crate::core::machine::{Outbox, Path};

/// Fits the second-level cache of today's cores; some 200 media packets.
const ARENA_BYTES: usize = 256 << 10;

/// 4 MiB together: 30 ms of a 1 Gbit/s link. Older media is late at the viewer anyway.
const BACKLOG_ARENAS: usize = 16;

/// The kernel's limit for one UDP message with its headers is 65,535 bytes.
const RUN_BYTES: usize = 65_000;

/// The kernel's own limit (UDP_MAX_SEGMENTS before Linux 6.9).
const RUN_SEGMENTS: usize = 64;

/// Why something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendError {
    /// The socket is full now; an event tells when it is not.
    Blocked,
    /// The run is refused as a run; its datagrams one by one may pass.
    Segmentation,
    /// The path is wrong, and so for all its datagrams.
    Invalid,
    Address,
    NoBuffers,
    Unreachable,
    Refused,
    TooBig,
    Other,
}

impl From<&io::Error> for SendError {
    fn from(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::WouldBlock => Self::Blocked,
            // EIO has no kind of its own; it is what a device without checksum offload answers to GSO.
            Kind::InvalidInput | Kind::AddrNotAvailable => Self::Invalid,
            _ if error.raw_os_error() == Some(EIO) => Self::Invalid,
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => Self::Unreachable,
            Kind::ConnectionRefused => Self::Unreachable,
            Kind::PermissionDenied => Self::Refused,
            Kind::OutOfMemory => Self::NoBuffers,
            _ if quinn_udp::is_msg_size_err(error) => Self::TooBig,
            _ if error.raw_os_error() == Some(ENOBUFS) => Self::NoBuffers,
            _ => Self::Other,
        }
    }
}

const EIO: i32 = 5;
// std has no kind for this error.
const ENOBUFS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };

impl SendError {
    fn reason(self) -> Drop {
        match self {
            Self::Blocked => Drop::Backlog,
            Self::Segmentation | Self::Invalid => Drop::Invalid,
            Self::Address => Drop::Address,
            Self::NoBuffers => Drop::NoBuffers,
            Self::Unreachable => Drop::Unreachable,
            Self::Refused => Drop::Refused,
            Self::TooBig => Drop::TooBig,
            Self::Other => Drop::Other,
        }
    }
}

/// One system call's worth of sending: a socket, or a test's record.
pub(super) trait Wire {
    /// How many datagrams [`Self::send`] takes at once; may change at any time.
    fn max_segments(&self) -> usize;
    /// With `segment`, `contents` is several datagrams of that length, the last possibly shorter.
    fn send(&mut self, path: &Path, contents: &[u8], segment: Option<usize>) -> Result<(), SendError>;
}

/// Datagrams for one system call, next to each other in the arena.
struct Run {
    path: Path,
    start: usize,
    len: usize,
    segment: usize,
    /// A shorter datagram ended it.
    closed: bool,
}

impl Run {
    fn datagrams(&self) -> usize {
        self.len.div_ceil(self.segment)
    }
}

struct Arena {
    bytes: Box<[u8]>,
    used: usize,
    runs: Vec<Run>,
    /// Runs before this one are sent.
    sent: usize,
}

impl Arena {
    fn new() -> Self {
        Self {
            bytes: vec![0; ARENA_BYTES].into_boxed_slice(),
            used: 0,
            runs: Vec::with_capacity(256),
            sent: 0,
        }
    }

    fn clear(&mut self) {
        self.used = 0;
        self.runs.clear();
        self.sent = 0;
    }

    /// Takes the `len` bytes behind `used` as a datagram to `path`.
    fn commit(&mut self, path: &Path, len: usize, max_segments: usize) {
        if let Some(run) = self.runs.get_mut(self.sent..).and_then(<[Run]>::last_mut)
            && !run.closed
            && len <= run.segment
            && run.len + len <= RUN_BYTES
            && run.datagrams() < max_segments
            && run.path == *path
        {
            run.closed = len < run.segment;
            run.len += len;
        } else {
            self.runs.push(Run {
                path: *path,
                start: self.used,
                len,
                segment: len,
                closed: false,
            });
        }
        self.used += len;
    }
}

/// The core's [`Outbox`] in front of a [`Wire`].
pub(super) struct Batcher<W> {
    pub(super) wire: W,
    pub(super) counts: Snapshot,
    /// The last one is being filled; more than one only while the socket is full. Never empty.
    arenas: VecDeque<Arena>,
    spare: Vec<Arena>,
    blocked: bool,
}

impl<W: Wire> Batcher<W> {
    pub(super) fn new(wire: W) -> Self {
        Self {
            wire,
            counts: Snapshot::default(),
            arenas: VecDeque::from([Arena::new()]),
            spare: Vec::new(),
            blocked: false,
        }
    }

    /// The socket was full at the last attempt; nothing is sent before [`Self::unblock`].
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The socket takes datagrams again.
    pub(super) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Sends all that waits, unless the socket is full.
    pub(super) fn send(&mut self) {
        while !self.blocked
            && let Some(arena) = self.arenas.front_mut()
        {
            if !send_arena(arena, &mut self.wire, &mut self.counts) {
                self.blocked = true;
                return;
            }
            arena.clear();
            if self.arenas.len() == 1 {
                return;
            }
            self.spare.extend(self.arenas.pop_front());
        }
    }

    /// Makes the last arena one with `len` free bytes, or gives up because the backlog is at its bound.
    fn make_room(&mut self, len: usize) -> bool {
        let has_room = |arenas: &VecDeque<Arena>| arenas.back().is_some_and(|a| a.used + len <= ARENA_BYTES);
        if has_room(&self.arenas) {
            return true;
        }
        self.send();
        if has_room(&self.arenas) {
            return true;
        }
        if len > ARENA_BYTES || self.arenas.len() >= BACKLOG_ARENAS {
            return false;
        }
        self.arenas.push_back(self.spare.pop().unwrap_or_else(Arena::new));
        true
    }
}

impl<W: Wire> Outbox for Batcher<W> {
    /// `fill` is not called for a datagram that finds the backlog full.
    fn datagram(&mut self, path: &Path, max_len: usize, fill: impl FnOnce(&mut [u8]) -> Option<usize>) {
        if !self.make_room(max_len) {
            self.counts.drop_datagrams(Drop::Backlog, 1);
            return;
        }
        let Some(arena) = self.arenas.back_mut() else {
            return;
        };
        let Some(room) = arena.bytes.get_mut(arena.used..arena.used + max_len) else {
            return;
        };
        match fill(room) {
            Some(len) if (1..=max_len).contains(&len) => {
                arena.commit(path, len, self.wire.max_segments().min(RUN_SEGMENTS));
            }
            Some(len) => debug_assert!(len == 0, "a datagram of {len} bytes in a buffer of {max_len}"),
            None => {}
        }
    }

    fn is_congested(&self) -> bool {
        self.blocked
    }
}

/// Returns false if the socket got full; what is sent is marked as such.
fn send_arena(arena: &mut Arena, wire: &mut impl Wire, counts: &mut Snapshot) -> bool {
    while let Some(run) = arena.runs.get_mut(arena.sent) {
        let datagrams = run.datagrams();
        let whole = arena
            .bytes
            .get(run.start..run.start + run.len)
            .unwrap_or_default();
        let outcome = if datagrams > 1 && datagrams <= wire.max_segments() {
            counts.send_calls += 1;
            wire.send(&run.path, whole, Some(run.segment))
        } else {
            Err(SendError::Segmentation)
        };
        match outcome {
            Ok(()) => {
                counts.datagrams_out += datagrams as u64;
                counts.bytes_out += run.len as u64;
            }
            Err(SendError::Segmentation) => {
                if !send_one_by_one(run, whole, wire, counts) {
                    return false;
                }
            }
            Err(SendError::Blocked) => return false,
            Err(error) => counts.drop_datagrams(error.reason(), datagrams as u64),
        }
        arena.sent += 1;
    }
    true
}

/// As [`send_arena`], for one run without GSO.
fn send_one_by_one(run: &mut Run, whole: &[u8], wire: &mut impl Wire, counts: &mut Snapshot) -> bool {
    for datagram in whole.chunks(run.segment) {
        counts.send_calls += 1;
        match wire.send(&run.path, datagram, None) {
            Ok(()) => {
                counts.datagrams_out += 1;
                counts.bytes_out += datagram.len() as u64;
            }
            Err(SendError::Blocked) => return false,
            // Whatever is wrong with the path is wrong for the rest as well, and each attempt is costly.
            Err(SendError::Invalid) => {
                counts.drop_datagrams(Drop::Invalid, run.datagrams() as u64);
                return true;
            }
            Err(error) => counts.drop_datagrams(error.reason(), 1),
        }
        run.start += datagram.len();
        run.len -= datagram.len();
    }
    true
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
