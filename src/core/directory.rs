//! ICE credentials of all sessions, known to all workers: the worker at whose socket a session's first valid STUN
//! check lands owns that session from then on.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ids::{SessionId, WorkerId};
use super::media::{IceCredentials, SessionSpec};

/// Shared by the control plane, which adds and removes, and the workers, which claim. Looked up only for datagrams
/// from addresses a worker does not know yet.
#[derive(Debug, Default)]
pub struct Directory {
    /// Keyed by our user fragment.
    entries: Mutex<HashMap<String, Entry>>,
    /// Entries with a `spec`. Changed under the lock, read without.
    unclaimed: AtomicUsize,
}

#[derive(Debug)]
struct Entry {
    session: SessionId,
    pwd: String,
    /// Taken by the worker that claims the session.
    spec: Option<Arc<SessionSpec>>,
    owner: Option<WorkerId>,
}

/// What a worker learns about a user fragment.
#[derive(Debug)]
pub enum Claim {
    /// The session is this worker's from now on.
    Mine(Arc<SessionSpec>),
    /// The session already is this worker's.
    Already(SessionId),
    /// Another worker has it.
    Elsewhere(WorkerId, SessionId),
    /// No such user fragment, or the check does not prove knowledge of the password.
    Unknown,
}

impl Directory {
    pub fn add(&self, spec: Arc<SessionSpec>) {
        let local = spec.transport.local_ice.clone();
        let entry = Entry {
            session: spec.id,
            pwd: local.pwd,
            spec: Some(spec),
            owner: None,
        };
        let mut entries = self.lock();
        let replaced = entries.insert(local.ufrag, entry);
        self.count(1, replaced.as_ref());
    }

    /// A restarted session answers to new credentials besides the old ones.
    pub fn restart(&self, session: SessionId, local: &IceCredentials, remote: &IceCredentials) {
        let mut entries = self.lock();
        let Some((ufrag, entry)) = entries.iter_mut().find(|(_, entry)| entry.session == session) else {
            return;
        };
        let ufrag = ufrag.clone();
        // Nobody has the session yet: it simply starts with the new credentials.
        let spec = entry.spec.take().map(|spec| {
            let mut spec = SessionSpec::clone(&spec);
            spec.transport.local_ice = local.clone();
            spec.transport.remote_ice = remote.clone();
            Arc::new(spec)
        });
        let entry = Entry {
            session,
            pwd: local.pwd.clone(),
            owner: entry.owner,
            spec,
        };
        if entry.spec.is_some() {
            entries.remove(&ufrag);
        }
        entries.insert(local.ufrag.clone(), entry);
    }

    pub fn remove(&self, ufrag: &str) {
        let mut entries = self.lock();
        let removed = entries.remove(ufrag);
        self.count(0, removed.as_ref());
    }

    pub fn remove_session(&self, session: SessionId) {
        let mut entries = self.lock();
        for (_, removed) in entries.extract_if(|_, entry| entry.session == session) {
            self.count(0, Some(&removed));
        }
    }

    /// Whether sessions wait for their first check: one may come to any worker, at any moment.
    pub fn has_unclaimed(&self) -> bool {
        self.unclaimed.load(Ordering::Relaxed) > 0
    }

    fn count(&self, added: usize, removed: Option<&Entry>) {
        let removed = usize::from(removed.is_some_and(|entry| entry.spec.is_some()));
        self.unclaimed.fetch_add(added, Ordering::Relaxed);
        self.unclaimed.fetch_sub(removed, Ordering::Relaxed);
    }

    /// All there are. Walks everything.
    pub fn sessions(&self) -> HashSet<SessionId> {
        self.lock().values().map(|entry| entry.session).collect()
    }

    /// `authentic` checks the datagram at hand against the password; without its word nothing is claimed.
    pub fn claim(&self, ufrag: &str, worker: WorkerId, authentic: impl FnOnce(&str) -> bool) -> Claim {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(ufrag) else {
            return Claim::Unknown;
        };
        if !authentic(&entry.pwd) {
            return Claim::Unknown;
        }
        match entry.owner {
            Some(owner) if owner == worker => Claim::Already(entry.session),
            Some(owner) => Claim::Elsewhere(owner, entry.session),
            None => match entry.spec.take() {
                Some(spec) => {
                    entry.owner = Some(worker);
                    self.unclaimed.fetch_sub(1, Ordering::Relaxed);
                    Claim::Mine(spec)
                }
                None => Claim::Unknown,
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // The map is whole after every operation, so a panic elsewhere does not spoil it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
