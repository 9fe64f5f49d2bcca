//! Messages from other threads into a worker.
//!
//! One queue for media and control, so that what one thread sends arrives in its order: a control message that
//! announces a stream is never overtaken by the stream's packets. Only media counts against the bound. Control
//! messages are never refused and never block: their number is bounded where they arise (sessions, requests), and
//! a sender that waited for a full inbox could be the very worker whose inbox is full.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use mio::Waker;

/// The inbox holds as many media messages as it may; this one was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the worker's inbox is full")]
pub struct Full;

enum Queued<T> {
    Media(T),
    Control(T),
}

struct Shared {
    waker: Waker,
    /// The worker's, which may be in [`Mailbox::wait`].
    thread: OnceLock<Thread>,
    /// A wake-up is under way and not yet seen: further ones would be wasted system calls.
    notified: AtomicBool,
    /// Media messages in the queue.
    media: AtomicUsize,
    media_bound: usize,
}

/// Sends messages to one worker. Cheap to clone; works from any thread; never blocks.
pub struct Inbox<T> {
    queue: Sender<Queued<T>>,
    shared: Arc<Shared>,
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            shared: self.shared.clone(),
        }
    }
}

/// The worker's end.
pub(super) struct Mailbox<T> {
    queue: Receiver<Queued<T>>,
    shared: Arc<Shared>,
}

/// At most `media_bound` media messages wait in the queue.
pub(super) fn channel<T>(waker: Waker, media_bound: usize) -> (Inbox<T>, Mailbox<T>) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    let shared = Arc::new(Shared {
        waker,
        thread: OnceLock::new(),
        notified: AtomicBool::new(false),
        media: AtomicUsize::new(0),
        media_bound,
    });
    (
        Inbox {
            queue: sender,
            shared: shared.clone(),
        },
        Mailbox {
            queue: receiver,
            shared,
        },
    )
}

impl<T> Inbox<T> {
    /// A message that may be lost: dropped when too many wait.
    pub fn send(&self, message: T) -> Result<(), Full> {
        self.push(message)?;
        self.wake();
        Ok(())
    }

    /// A message that must arrive. It is lost only if the worker has ended.
    pub fn send_control(&self, message: T) {
        self.push_control(message);
        self.wake();
    }

    /// As [`Self::send`], leaving the [`Self::wake`] to the caller: one for many messages.
    pub(super) fn push(&self, message: T) -> Result<(), Full> {
        let below_bound = |waiting: usize| (waiting < self.shared.media_bound).then_some(waiting + 1);
        self.shared
            .media
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, below_bound)
            .map_err(|_| Full)?;
        let _ = self.queue.send(Queued::Media(message));
        Ok(())
    }

    pub(super) fn push_control(&self, message: T) {
        let _ = self.queue.send(Queued::Control(message));
    }

    /// Wakes the worker if it has not been woken since it last looked.
    pub(super) fn wake(&self) {
        if self.shared.notified.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.shared.waker.wake() {
            // The message stays queued and is seen at the worker's next turn.
            self.shared.notified.store(false, Ordering::SeqCst);
            tracing::error!(%error, "cannot wake a worker");
        }
        if let Some(thread) = self.shared.thread.get() {
            thread.unpark();
        }
    }
}

impl<T> Mailbox<T> {
    /// To be called before the first [`Self::pop`] of a turn: whatever is pushed from here on wakes again.
    pub(super) fn acknowledge(&self) {
        self.shared.notified.swap(false, Ordering::SeqCst);
    }

    /// Names the calling thread as the one that [waits](Self::wait).
    pub(super) fn attach(&self) {
        let _ = self.shared.thread.set(thread::current());
    }

    /// Waits for a message, without a look at any socket. May return early without one.
    pub(super) fn wait(&self, timeout: Duration) {
        thread::park_timeout(timeout);
    }

    pub(super) fn pop(&self) -> Option<T> {
        match self.queue.try_recv().ok()? {
            Queued::Media(message) => {
                self.shared.media.fetch_sub(1, Ordering::Relaxed);
                Some(message)
            }
            Queued::Control(message) => Some(message),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token};

    use super::*;

    #[test]
    fn a_full_inbox_refuses_media_but_not_control_and_keeps_the_order() {
        let poll = Poll::new().unwrap();
        let (inbox, mailbox) = channel(Waker::new(poll.registry(), Token(0)).unwrap(), 2);
        assert_eq!(inbox.send(1), Ok(()));
        inbox.send_control(2);
        assert_eq!(inbox.send(3), Ok(()));
        assert_eq!(inbox.send(4), Err(Full));
        inbox.send_control(5);

        let received: Vec<i32> = std::iter::from_fn(|| mailbox.pop()).collect();
        assert_eq!(received, [1, 2, 3, 5]);
        assert_eq!(inbox.send(6), Ok(()), "room again once media was taken out");
    }

    #[test]
    fn one_wake_up_serves_many_messages() {
        let mut poll = Poll::new().unwrap();
        let mut events = mio::Events::with_capacity(8);
        let mut woken = |poll: &mut Poll| {
            poll.poll(&mut events, Some(std::time::Duration::ZERO)).unwrap();
            !events.is_empty()
        };
        let (inbox, mailbox) = channel(Waker::new(poll.registry(), Token(0)).unwrap(), 8);
        inbox.send(1).unwrap();
        inbox.send(2).unwrap();
        assert!(woken(&mut poll));
        inbox.send(3).unwrap();
        assert!(
            !woken(&mut poll),
            "the worker has not looked yet: nothing to tell it"
        );
        mailbox.acknowledge();
        inbox.send(4).unwrap();
        assert!(woken(&mut poll));
    }
}
