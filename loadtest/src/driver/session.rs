//! One client with its socket, and the ways it treats that socket badly on purpose.

use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use quinn_udp::{Transmit, UdpSocketState};

use super::plan::Leave;
use crate::client::behaviour::{Behaviour, Kind};
use crate::client::peer::{Peer, PeerState};
use crate::client::publisher::Publisher;
use crate::client::viewer::Viewer;
use crate::measure::own::OwnUse;

pub enum Client {
    Publisher(Box<Publisher>),
    Viewer(Box<Viewer>),
}

pub struct Session {
    pub client: Client,
    make: Box<dyn FnMut() -> Client + Send>,
    pub socket: Option<Socket>,
    pub url: String,
    pub token: Option<String>,
    pub session_url: Option<String>,
    /// The earliest entry in the timer heap that counts.
    pub scheduled: Option<Instant>,
    pub leave: Option<(Instant, Leave)>,
    retry: Option<Duration>,
    retry_at: Option<Instant>,
    /// A slow viewer's next look at its socket, when something waits there.
    pub read_at: Option<Instant>,
    last_read: Option<Instant>,
    stall_at: Option<Instant>,
    stalled: bool,
}

pub struct Socket {
    pub io: UdpSocket,
    pub state: UdpSocketState,
    pub ipv4: bool,
}

impl Session {
    pub fn new(
        now: Instant,
        mut make: Box<dyn FnMut() -> Client + Send>,
        url: String,
        token: Option<String>,
        leave: Option<Leave>,
        retry: Option<Duration>,
    ) -> Self {
        Self {
            client: make(),
            make,
            socket: None,
            url,
            token,
            session_url: None,
            scheduled: None,
            leave: leave.map(|leave| (now + leave.after, leave)),
            retry,
            retry_at: None,
            read_at: None,
            last_read: None,
            stall_at: None,
            stalled: false,
        }
    }

    /// Whether the socket may be read now; otherwise [`Self::deadline`] says when.
    pub fn may_read(&mut self, now: Instant) -> bool {
        self.read_at = None;
        if self.stalled {
            return false;
        }
        let Behaviour::Slow { every } = self.client.behaviour() else {
            return true;
        };
        // The handshake is not what a slow viewer is slow at.
        if *self.client.state() != PeerState::Connected {
            return true;
        }
        let due = self.last_read.map_or(now, |last| last + every);
        if due > now {
            self.read_at = Some(due);
            return false;
        }
        self.last_read = Some(now);
        true
    }

    /// True when a new attempt is due; the client then is a new one.
    pub fn begin_again(&mut self, now: Instant) -> bool {
        if self.retry_at.is_none_or(|at| at > now) {
            return false;
        }
        self.retry_at = None;
        self.socket = None;
        self.session_url = None;
        self.client = (self.make)();
        true
    }

    /// Notices what follows from the client's state: a failure is tried again, a connection may stall later.
    pub fn observe(&mut self, now: Instant) {
        match self.client.state() {
            PeerState::Failed(_) | PeerState::ClosedByServer => {
                if let (Some(retry), None) = (self.retry, self.retry_at) {
                    self.retry_at = Some(now + retry);
                }
            }
            PeerState::Connected => {
                if let (Behaviour::Stalled { after }, None) = (self.client.behaviour(), self.stall_at) {
                    self.stall_at = Some(now + after);
                }
                self.stalled |= self.stall_at.is_some_and(|at| at <= now);
            }
            _ => {}
        }
    }

    pub fn try_no_more(&mut self) {
        self.retry = None;
        self.retry_at = None;
    }

    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    pub fn deadline(&self) -> Option<Instant> {
        let leave = self.leave.map(|(at, _)| at);
        let own = (!self.stalled).then(|| {
            let connected = *self.client.state() == PeerState::Connected;
            let stall = self.stall_at.filter(|_| connected);
            [self.client.deadline(), self.retry_at, self.read_at, stall]
        });
        own.into_iter().flatten().chain([leave]).flatten().min()
    }

    pub fn flush(&mut self, own: &mut OwnUse) {
        let Some(socket) = &self.socket else { return };
        let outbox = &mut self.client.peer_mut().outbox;
        if outbox.is_empty() {
            return;
        }
        for send in outbox.sends(socket.state.max_gso_segments()) {
            let transmit = Transmit {
                destination: send.to,
                ecn: None,
                contents: send.contents,
                segment_size: Some(send.segment),
                src_ip: None,
            };
            if let Err(error) = socket.state.try_send((&socket.io).into(), &transmit) {
                tracing::debug!(%error, "sending failed");
                own.send_failures += send.contents.len().div_ceil(send.segment) as u64;
            }
        }
        outbox.clear();
    }

    pub fn port(&self) -> Option<u16> {
        let address = self.socket.as_ref()?.io.local_addr().ok()?;
        Some(address.port())
    }
}

impl Client {
    pub fn peer_mut(&mut self) -> &mut Peer {
        match self {
            Client::Publisher(publisher) => &mut publisher.peer,
            Client::Viewer(viewer) => &mut viewer.peer,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Client::Publisher(publisher) => publisher.deadline(),
            Client::Viewer(viewer) => viewer.deadline(),
        }
    }

    pub fn state(&self) -> &PeerState {
        match self {
            Client::Publisher(publisher) => publisher.peer.state(),
            Client::Viewer(viewer) => viewer.peer.state(),
        }
    }

    pub fn behaviour(&self) -> Behaviour {
        match self {
            Client::Publisher(_) => Behaviour::Well,
            Client::Viewer(viewer) => viewer.behaviour(),
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Client::Publisher(_) => Kind::Well,
            Client::Viewer(viewer) => viewer.kind(),
        }
    }

    /// Ends it: with close_notify, or with nothing.
    pub fn leave(&mut self, now: Instant, goodbye: bool) {
        if let Client::Viewer(viewer) = self {
            viewer.ended(now);
        }
        if goodbye {
            self.peer_mut().close(now);
        } else {
            self.peer_mut().vanish();
        }
    }
}
