//! ICE-lite (RFC 8445 §2.5): answers checks, remembers who passed one, and follows the peer's nominations.

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;

use crate::core::media::IceCredentials;

use super::Path;
use super::counters::PeerCounters;
use super::stun::{self, BindingRequest, Reject};

/// Validated paths remembered; the one unused longest goes first. A phone has two to four interfaces.
const MAX_PATHS: usize = 8;
/// A media path this long without anything authentic gives way to any other validated one. Browsers check
/// every 2.5 s at most.
const PATH_SILENT: Duration = Duration::from_secs(3);
/// Two pairs that are both nominated again and again within this time come from an aggressively nominating
/// agent (RFC 5245 §8.1.1.2): then the higher priority wins instead of the later one.
const NOMINATION_FRESH: Duration = Duration::from_secs(5);
/// How long after a restart checks with the old credentials are still answered, if the new ones stay unused.
const OLD_CREDENTIALS: Duration = Duration::from_secs(10);

pub(super) struct Ice {
    current: Credentials,
    /// Those before the last restart, and until when they count.
    previous: Option<(Credentials, Instant)>,
    /// Paths an authenticated check came over.
    paths: Vec<ValidatedPath>,
    /// The path media goes to.
    selected: Option<Path>,
}

struct Credentials {
    local_ufrag: String,
    remote_ufrag: String,
    key: hmac::Key,
}

struct ValidatedPath {
    path: Path,
    last_heard: Instant,
    priority: u32,
    nominated: Option<Instant>,
}

/// What a check led to.
pub(super) struct Checked {
    pub response: Vec<u8>,
    /// The media path's change, if it changed.
    pub moved: Option<Moved>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    First,
    Elsewhere,
}

impl Ice {
    pub fn new(local: &IceCredentials, remote: &IceCredentials) -> Self {
        Self {
            current: Credentials::new(local, remote),
            previous: None,
            paths: Vec::new(),
            selected: None,
        }
    }

    pub fn local_ufrag(&self) -> &str {
        &self.current.local_ufrag
    }

    pub fn selected(&self) -> Option<Path> {
        self.selected
    }

    pub fn restart(&mut self, now: Instant, local: &IceCredentials, remote: &IceCredentials) {
        let old = std::mem::replace(&mut self.current, Credentials::new(local, remote));
        self.previous = Some((old, now + OLD_CREDENTIALS));
    }

    pub fn is_validated(&self, path: Path) -> bool {
        self.paths.iter().any(|known| known.path == path)
    }

    /// Something authentic came over `path` not long ago.
    pub fn is_heard(&self, now: Instant, path: Path) -> bool {
        let fresh = |known: &ValidatedPath| now.saturating_duration_since(known.last_heard) < PATH_SILENT;
        self.paths.iter().any(|known| known.path == path && fresh(known))
    }

    /// Something authentic other than a check came over `path`.
    pub fn heard(&mut self, now: Instant, path: Path) {
        if let Some(known) = self.paths.iter_mut().find(|known| known.path == path) {
            known.last_heard = now;
        }
    }

    /// Takes a STUN message. Credentials are checked before anything in it has any effect, and nothing is
    /// answered unless they hold.
    pub fn handle_stun(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        counters: &mut PeerCounters,
    ) -> Option<Checked> {
        let request = match BindingRequest::parse(datagram) {
            Ok(request) => request,
            Err(Reject::Malformed) => {
                counters.malformed += 1;
                return None;
            }
            Err(Reject::NotBindingRequest) => {
                counters.stun_ignored += 1;
                return None;
            }
            Err(Reject::NoCredentials) => {
                counters.stun_unauthenticated += 1;
                return None;
            }
        };
        let Some(generation) = self.authenticate(now, &request) else {
            counters.stun_unauthenticated += 1;
            return None;
        };
        let key = match (generation, &self.previous) {
            (Generation::Previous, Some((previous, _))) => &previous.key,
            _ => &self.current.key,
        };
        if request.claims_controlled {
            return Some(Checked {
                response: stun::role_conflict(&request.transaction, key),
                moved: None,
            });
        }
        let response = stun::success(&request.transaction, path.remote, key);
        if generation == Generation::Current {
            self.previous = None;
        }
        let moved = self.note_check(now, path, request.priority, request.use_candidate);
        Some(Checked { response, moved })
    }

    fn authenticate(&self, now: Instant, request: &BindingRequest<'_>) -> Option<Generation> {
        if self.current.authenticates(request) {
            return Some(Generation::Current);
        }
        let (previous, until) = self.previous.as_ref()?;
        (now < *until && previous.authenticates(request)).then_some(Generation::Previous)
    }

    fn note_check(&mut self, now: Instant, path: Path, priority: u32, nominates: bool) -> Option<Moved> {
        let at = match self.paths.iter().position(|known| known.path == path) {
            Some(at) => at,
            None => {
                if self.paths.len() >= MAX_PATHS {
                    self.forget_oldest();
                }
                self.paths.push(ValidatedPath {
                    path,
                    last_heard: now,
                    priority,
                    nominated: None,
                });
                self.paths.len() - 1
            }
        };
        let known = &mut self.paths[at];
        known.last_heard = now;
        known.priority = priority;
        let nominated_before = known.nominated.is_some();
        if nominates {
            known.nominated = Some(now);
        }
        let Some(selected) = self.selected else {
            self.selected = Some(path);
            return Some(Moved::First);
        };
        if selected == path {
            return None;
        }
        let moves = match self.paths.iter().find(|known| known.path == selected) {
            None => true,
            Some(media) if now.saturating_duration_since(media.last_heard) >= PATH_SILENT => true,
            Some(media) => {
                let contested = media
                    .nominated
                    .is_some_and(|at| now.saturating_duration_since(at) < NOMINATION_FRESH);
                nominates && (!nominated_before || !contested || priority > media.priority)
            }
        };
        moves.then(|| {
            self.selected = Some(path);
            Moved::Elsewhere
        })
    }

    fn forget_oldest(&mut self) {
        let candidates = self
            .paths
            .iter()
            .enumerate()
            .filter(|(_, known)| Some(known.path) != self.selected);
        if let Some((at, _)) = candidates.min_by_key(|(_, known)| known.last_heard) {
            self.paths.swap_remove(at);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    Current,
    Previous,
}

impl Credentials {
    fn new(local: &IceCredentials, remote: &IceCredentials) -> Self {
        Self {
            local_ufrag: local.ufrag.clone(),
            remote_ufrag: remote.ufrag.clone(),
            key: stun::integrity_key(&local.pwd),
        }
    }

    fn authenticates(&self, request: &BindingRequest<'_>) -> bool {
        request.username == (self.local_ufrag.as_str(), self.remote_ufrag.as_str())
            && request.is_authentic(&self.key)
    }
}
