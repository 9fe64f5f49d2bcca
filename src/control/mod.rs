//! Who publishes and who watches what: the one place that knows all sessions, whichever worker serves them.
//!
//! HTTP calls [`Control`] from its own threads; workers report through [`Control::notice`]. Nothing here is on a
//! packet's way.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::core::ids::{SessionId, StreamName};
use crate::core::media::{IceCredentials, StreamCodecs};
use crate::sdp::{Offer, Reject};

/// What a second publisher on a stream meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// The new one replaces the old one once its ICE and DTLS are up.
    #[default]
    Takeover,
    /// The new one is refused while the old one lives.
    Reject,
}

/// A handle on the control plane; clones are the same one.
#[derive(Clone)]
pub struct Control {}

/// A session that was accepted: what the `201` needs.
#[derive(Debug)]
pub struct Accepted {
    pub id: SessionId,
    /// The entity tag of the ICE session, without quotes.
    pub etag: String,
    /// The SDP answer.
    pub answer: String,
}

/// Why no session was made.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Sdp(#[from] Reject),
    /// `409`: the stream has a publisher and the server is set to keep it, or has none and the server demands one.
    #[error("{reason}")]
    Conflict { reason: &'static str, retry_after: Duration },
    /// `503`: a cap is reached, or the server is going down.
    #[error("{reason}")]
    Busy { reason: &'static str, retry_after: Duration },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRole {
    Publisher,
    Viewer,
}

/// What HTTP needs to know of a running session.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    pub role: SessionRole,
    pub stream: StreamName,
    /// The current ICE session's entity tag, without quotes.
    pub etag: String,
    /// The peer's credentials of the current ICE session: a PATCH with these is trickle, with others a restart.
    pub remote_ice: IceCredentials,
}

/// A restarted ICE session: what the `200` to the PATCH needs.
#[derive(Clone, Debug)]
pub struct IceRestart {
    pub etag: String,
    pub local_ice: IceCredentials,
    pub candidates: Vec<SocketAddr>,
}

/// One stream as the pages show it.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    pub name: StreamName,
    pub publishing: bool,
    pub viewers: usize,
    pub codecs: StreamCodecs,
    /// When the current publisher's media began.
    pub since: Option<SystemTime>,
}

impl Control {
    pub fn publish(&self, stream: &StreamName, offer: &Offer) -> Result<Accepted, Refused>;
    pub fn watch(&self, stream: &StreamName, offer: &Offer) -> Result<Accepted, Refused>;
    pub fn session(&self, id: &SessionId) -> Option<SessionInfo>;
    /// `None`: no such session. The running session is untouched until the peer uses the new credentials.
    pub fn restart_ice(&self, id: &SessionId, remote: IceCredentials) -> Option<IceRestart>;
    /// Ends a session (close_notify, then gone). False when there was none.
    pub fn end(&self, id: &SessionId) -> bool;
    pub fn streams(&self) -> Vec<StreamInfo>;
    pub fn stream(&self, name: &StreamName) -> Option<StreamInfo>;
}
