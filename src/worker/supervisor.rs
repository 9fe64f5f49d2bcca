//! Starts the workers' threads, wires them to each other, and ends them.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use mio::{Poll, Waker};

use super::counters::Counters;
use super::event_loop::{WAKER, Worker, now};
use super::inbox::{self, Inbox};
use super::socket::Link;
use crate::core::ids::WorkerId;
use crate::core::machine::Machine;

/// What all workers share.
pub struct Settings<M: Machine> {
    /// Media messages that may wait in one worker's inbox.
    pub inbox_bound: usize,
    /// Which messages between workers may be dropped when the receiver is behind; all others always arrive.
    pub is_media: fn(&M::Message) -> bool,
    /// Takes what the machines tell the control plane. Called on the workers' threads: it must not block.
    pub notices: Arc<dyn Fn(WorkerId, M::Notice) + Send + Sync>,
    /// A worker ended by a panic or because its socket broke.
    ///
    /// The process should end soon, with the other workers' farewells sent: the dead worker's sessions are lost,
    /// and the kernel goes on giving its socket a share of all new viewers, who would wait in vain. A service
    /// manager starts a sound process in a second.
    pub failures: Arc<dyn Fn(Failure) + Send + Sync>,
}

impl<M: Machine> Clone for Settings<M> {
    fn clone(&self) -> Self {
        Self {
            inbox_bound: self.inbox_bound,
            is_media: self.is_media,
            notices: self.notices.clone(),
            failures: self.failures.clone(),
        }
    }
}

/// Why a worker ended without being told to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub worker: WorkerId,
    /// The panic's message or the system's error.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} failed: {}", self.worker, self.reason)
    }
}

/// The running workers. Dropping it tells them to stop without waiting.
pub struct Workers<T> {
    inboxes: Vec<Inbox<T>>,
    counters: Vec<Arc<Counters>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// Disconnected when the last thread has ended.
    ended: Receiver<()>,
}

/// Starts one thread per machine, `worker-0` and up, each with the socket of the same index (see
/// [`bind`](super::bind)).
pub fn start<M>(
    sockets: Vec<UdpSocket>,
    machines: Vec<M>,
    settings: Settings<M>,
) -> io::Result<Workers<M::Message>>
where
    M: Machine + Send + 'static,
{
    let count = machines.len();
    if sockets.len() != count || count > usize::from(u16::MAX) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "one socket for each machine",
        ));
    }
    let mut inboxes = Vec::with_capacity(count);
    let mut ends = Vec::with_capacity(count);
    for _ in 0..count {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (inbox, mailbox) = inbox::channel(waker, settings.inbox_bound);
        inboxes.push(inbox);
        ends.push((poll, mailbox));
    }

    let (running, ended) = crossbeam_channel::bounded(0);
    let mut workers = Workers {
        inboxes: inboxes.clone(),
        counters: Vec::with_capacity(count),
        threads: Vec::with_capacity(count),
        stop: Arc::default(),
        ended,
    };
    for (index, ((machine, socket), (poll, mailbox))) in
        machines.into_iter().zip(sockets).zip(ends).enumerate()
    {
        let id = WorkerId(u16::try_from(index).unwrap_or(u16::MAX));
        let counters = Arc::<Counters>::default();
        workers.counters.push(counters.clone());
        let worker = Worker {
            id,
            machine,
            poll,
            mailbox,
            inboxes: inboxes.clone(),
            settings: settings.clone(),
            counters,
            stop: workers.stop.clone(),
            link: Link::new(socket, now())?,
        };
        let failures = settings.failures.clone();
        let running = running.clone();
        let body = move || supervise(worker, &*failures, running);
        workers.threads.push(
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(body)?,
        );
    }
    Ok(workers)
}

fn supervise<M: Machine>(worker: Worker<M>, failures: &dyn Fn(Failure), running: Sender<()>) {
    let id = worker.id;
    // Nothing of the worker is used after a panic.
    let reason = match panic::catch_unwind(AssertUnwindSafe(|| worker.run())) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(payload) => Some(panic_message(&*payload)),
    };
    if let Some(reason) = reason {
        let failure = Failure { worker: id, reason };
        tracing::error!("{failure}");
        failures(failure);
    }
    drop(running);
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a message"))
}

impl<T> Workers<T> {
    /// By id: the first is worker 0's.
    pub fn inboxes(&self) -> &[Inbox<T>] {
        &self.inboxes
    }

    /// By id, as [`Self::inboxes`].
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// Lets every worker take in the messages that are already in its inbox, send what that brings about, and end.
    /// Returns false if one has not ended within `patience`; its thread is left behind.
    pub fn stop(mut self, patience: Duration) -> bool {
        self.tell_to_stop();
        let all_ended = self.ended.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected);
        if all_ended {
            for thread in self.threads.drain(..) {
                // A panic was reported by the thread itself.
                let _ = thread.join();
            }
        }
        all_ended
    }

    fn tell_to_stop(&self) {
        self.stop.store(true, Ordering::Release);
        for inbox in &self.inboxes {
            inbox.wake();
        }
    }
}

impl<T> std::ops::Drop for Workers<T> {
    fn drop(&mut self) {
        self.tell_to_stop();
    }
}
