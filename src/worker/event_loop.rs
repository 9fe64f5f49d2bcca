//! One worker's turn, over and over, as [`Machine`] demands: take in what arrived, timers, flush, effects, sleep.
//!
//! A turn takes in whatever the wake-up delivered and then sends all of it, so batches are as large as the load
//! makes them: one packet at once on an idle server, hundreds on a busy one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::counters::{Counters, Drop, Snapshot};
use super::inbox::{Inbox, Mailbox};
use super::outbox::Batcher;
use super::socket::{Link, Receiver};
use super::supervisor::Settings;
use crate::core::ids::WorkerId;
use crate::core::machine::{Effect, Machine};

pub(super) const SOCKET: Token = Token(0);
pub(super) const WAKER: Token = Token(1);

/// What one turn takes in at most, of datagrams and of messages each, before timers run and everything is sent:
/// 512 packets fanned out to 200 viewers are 100,000 sends, already some 100 ms. A single system call may bring
/// more than that (32 × 64 with GRO); the check comes after it.
const TURN_ITEMS: u64 = 512;

/// And for how long. No packet waits longer than this for the sake of a batch.
const TURN_TIME: Duration = Duration::from_millis(1);

/// Receiving fails for no packet of anyone's making; if it keeps failing, the socket is broken.
const RECEIVE_ERRORS: u32 = 1000;

/// How long the last datagrams (farewells) may wait for a full socket.
const LAST_WORDS: Duration = Duration::from_millis(200);

pub(super) struct Worker<M: Machine> {
    pub(super) id: WorkerId,
    pub(super) machine: M,
    pub(super) poll: Poll,
    pub(super) mailbox: Mailbox<M::Message>,
    /// Every worker's, this one's too, by id.
    pub(super) inboxes: Vec<Inbox<M::Message>>,
    pub(super) settings: Settings<M>,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) link: Link,
}

impl<M: Machine> Worker<M> {
    /// Returns when told to stop, with everything sent that the machine wanted sent until then.
    pub(super) fn run(self) -> io::Result<()> {
        let Self {
            id,
            machine,
            mut poll,
            mailbox,
            inboxes,
            settings,
            counters,
            stop,
            mut link,
        } = self;
        poll.registry()
            .register(&mut link.socket, SOCKET, Interest::READABLE)?;
        let mut events = Events::with_capacity(8);
        let mut turn = Turn {
            id,
            machine,
            mailbox,
            to_wake: vec![false; inboxes.len()],
            inboxes,
            settings,
            outbox: Batcher::new(link),
            receiver: Receiver::new(),
            readable: true,
            receive_errors: 0,
        };
        let mut awaits_writable = false;
        let mut last_start = now();
        turn.mailbox.attach();

        loop {
            let stopping = stop.load(Ordering::Acquire);
            let start = now();
            let since_last = start - std::mem::replace(&mut last_start, start);
            let received = turn.outbox.counts.datagrams_in;
            let more = turn.take(start, stopping)?;
            turn.publish(&counters, start, more);
            if stopping {
                return turn.last_words(&mut poll, &mut events);
            }
            // Told to during the turn, possibly with a wake-up that the turn has already acknowledged.
            if stop.load(Ordering::Acquire) {
                continue;
            }

            // Asked for only while needed: every datagram that leaves would raise this event.
            let blocked = turn.outbox.is_blocked();
            if blocked != awaits_writable {
                let writable = if blocked {
                    Interest::READABLE | Interest::WRITABLE
                } else {
                    Interest::READABLE
                };
                poll.registry()
                    .reregister(&mut turn.outbox.wire.socket, SOCKET, writable)?;
                awaits_writable = blocked;
            }

            let timeout = match turn.machine.poll_timeout() {
                _ if more => Some(Duration::ZERO),
                Some(at) => Some(at.saturating_duration_since(now())),
                None => None,
            };
            // Where datagrams come that rarely that most such waits would end with none, they would only be more.
            let patience = turn.machine.patience();
            let waits = !more
                && !blocked
                && turn.outbox.counts.datagrams_in > received
                && since_last < patience + patience / 2;
            if waits {
                turn.mailbox.wait(timeout.unwrap_or(patience).min(patience));
                turn.readable = true;
                continue;
            }
            match poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                if event.token() == SOCKET {
                    turn.readable |= event.is_readable() || event.is_error();
                    if event.is_writable() {
                        turn.outbox.unblock();
                    }
                }
            }
        }
    }
}

struct Turn<M: Machine> {
    id: WorkerId,
    machine: M,
    mailbox: Mailbox<M::Message>,
    inboxes: Vec<Inbox<M::Message>>,
    /// By worker: got a message this turn.
    to_wake: Vec<bool>,
    settings: Settings<M>,
    outbox: Batcher<Link>,
    receiver: Receiver,
    /// The socket may hold datagrams: events come only for new ones.
    readable: bool,
    receive_errors: u32,
}

impl<M: Machine> Turn<M> {
    /// Returns whether a limit cut the turn short, so that the next one must follow at once. The `last` turn takes
    /// in all messages, whatever their number.
    fn take(&mut self, start: Instant, last: bool) -> io::Result<bool> {
        self.outbox.wire.set_now(start);
        // What the socket had no room for before goes first.
        self.outbox.send();
        self.receive(start)?;
        self.read_messages(last);

        let now = now();
        self.machine.handle_timeout(now);
        self.perform_effects();
        self.machine.flush(now, &mut self.outbox);
        self.outbox.send();
        self.perform_effects();
        Ok(self.readable || !self.mailbox.is_empty())
    }

    fn receive(&mut self, start: Instant) -> io::Result<()> {
        let mut taken = 0;
        let mut moment = start;
        while self.readable && taken < TURN_ITEMS && moment - start < TURN_TIME {
            let machine = &mut self.machine;
            let outcome = self.receiver.receive(&self.outbox.wire, |path, data| {
                machine.handle_datagram(moment, path, data);
            });
            let counts = &mut self.outbox.counts;
            counts.receive_calls += 1;
            match outcome {
                Ok(received) => {
                    self.receive_errors = 0;
                    self.readable = !received.drained;
                    taken += received.datagrams + received.refused;
                    counts.datagrams_in += received.datagrams;
                    counts.bytes_in += received.bytes;
                    counts.drop_datagrams(Drop::Address, received.refused);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) => {
                    self.receive_errors += 1;
                    if self.receive_errors >= RECEIVE_ERRORS {
                        return Err(error);
                    }
                    return Ok(());
                }
            }
            if self.readable {
                moment = now();
            }
        }
        Ok(())
    }

    fn read_messages(&mut self, all: bool) {
        self.mailbox.acknowledge();
        if self.mailbox.is_empty() {
            return;
        }
        let start = now();
        let mut moment = start;
        let mut taken = 0;
        while (all || taken < TURN_ITEMS && moment - start < TURN_TIME)
            && let Some(message) = self.mailbox.pop()
        {
            self.machine.handle_message(moment, message);
            taken += 1;
            moment = now();
        }
        self.outbox.counts.messages_in += taken;
    }

    /// Each worker that gets messages is woken once, after the last of them.
    fn perform_effects(&mut self) {
        let mut any = false;
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::ToControl(notice) => (self.settings.notices)(self.id, notice),
                Effect::ToWorker(to, message) => {
                    let index = usize::from(to.0);
                    let (Some(inbox), Some(wake)) = (self.inboxes.get(index), self.to_wake.get_mut(index))
                    else {
                        debug_assert!(false, "no worker {to}");
                        continue;
                    };
                    if !(self.settings.is_media)(&message) {
                        inbox.push_control(message);
                    } else if inbox.push(message).is_err() {
                        self.outbox.counts.drop_datagrams(Drop::Message, 1);
                        continue;
                    }
                    *wake = true;
                    any = true;
                }
            }
        }
        if any {
            for (inbox, wake) in self.inboxes.iter().zip(&mut self.to_wake) {
                if std::mem::take(wake) {
                    inbox.wake();
                }
            }
        }
    }

    fn publish(&mut self, counters: &Counters, start: Instant, more: bool) {
        let counts: &mut Snapshot = &mut self.outbox.counts;
        counts.turns += 1;
        counts.busy_turns += u64::from(more);
        counts.longest_turn = now() - start;
        counters.publish(counts);
    }

    fn last_words(&mut self, poll: &mut Poll, events: &mut Events) -> io::Result<()> {
        let end = now() + LAST_WORDS;
        while self.outbox.is_blocked() {
            let left = end.saturating_duration_since(now());
            if left.is_zero() {
                break;
            }
            let socket = &mut self.outbox.wire.socket;
            poll.registry().reregister(socket, SOCKET, Interest::WRITABLE)?;
            poll.poll(events, Some(left))?;
            self.outbox.unblock();
            self.outbox.send();
        }
        Ok(())
    }
}

/// The one clock of the media path. `Instant` never goes backwards.
#[expect(
    clippy::disallowed_methods,
    reason = "the worker loop hands the time to the core"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}
