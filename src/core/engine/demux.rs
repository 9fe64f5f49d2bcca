//! Which session a datagram belongs to. An address belongs to a session only after an authenticated check from
//! there; from any other address nothing but such a check is looked at.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::session::MAX_ADDRESSES;
use super::{Engine, Owner};
use crate::core::directory::Claim;
use crate::core::ids::{SessionId, WorkerId};
use crate::core::machine::Path;
use crate::core::peer::{stun_authentic, stun_username};
use crate::core::route::Message;
use crate::core::rtp::{Class, classify};

/// Below this many sessions it is not worth looking which of them are gone.
const FEW_ELSEWHERE: usize = 64;

/// Addresses that sessions of other workers were heard from here: what comes from there is handed over.
#[derive(Default)]
pub(super) struct Elsewhere {
    /// By session, so that none takes another one's room; at most [`MAX_ADDRESSES`] each, the oldest first.
    addresses: HashMap<SessionId, Vec<SocketAddr>>,
    /// The number of sessions at which those that are gone are looked for.
    sweep_at: usize,
}

impl Elsewhere {
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }
}

impl Engine {
    pub(super) fn demultiplex(&mut self, now: Instant, path: Path, data: &mut [u8]) {
        match self.by_address.get(&path.remote) {
            Some(Owner::Session(key)) => {
                let key = *key;
                if classify(data) == Class::Stun && self.is_check_for_another(key, data) {
                    self.claim(now, path, data);
                } else {
                    self.session_datagram(now, key, path, data);
                }
            }
            Some(Owner::Worker(worker)) => {
                let worker = *worker;
                // A new session may use the address of one that another worker had.
                if classify(data) == Class::Stun && stun_username(data).is_some() {
                    self.claim(now, path, data);
                } else {
                    self.counters.handed_over += 1;
                    self.send_to(
                        worker,
                        Message::Datagram {
                            path,
                            data: data.to_vec(),
                        },
                    );
                }
            }
            None => self.claim(now, path, data),
        }
    }

    /// A datagram that another worker's socket got.
    pub(super) fn demultiplex_forwarded(&mut self, now: Instant, path: Path, data: &mut [u8]) {
        match self.by_address.get(&path.remote) {
            Some(Owner::Session(key)) if !self.is_check_for_another(*key, data) => {
                let key = *key;
                self.session_datagram(now, key, path, data);
            }
            _ => self.claim(now, path, data),
        }
    }

    /// From an unknown address: only a check that proves knowledge of a session's password counts.
    fn claim(&mut self, now: Instant, path: Path, data: &mut [u8]) {
        if classify(data) != Class::Stun || self.shutting_down {
            self.counters.unknown_address += 1;
            return;
        }
        let Some((local, _)) = stun_username(data) else {
            self.counters.unknown_check += 1;
            return;
        };
        let claim = self
            .directory
            .claim(local, self.id, |pwd| stun_authentic(data, pwd));
        let in_use = self.is_in_use(now, path);
        let key = match claim {
            Claim::Mine(spec) => self.adopt(now, &spec),
            Claim::Already(id) => match self.by_id.get(&id) {
                Some(key) => *key,
                None => return,
            },
            Claim::Elsewhere(worker, session) => {
                if !in_use {
                    self.assign_elsewhere(session, worker, path.remote);
                }
                self.counters.handed_over += 1;
                self.send_to(
                    worker,
                    Message::Datagram {
                        path,
                        data: data.to_vec(),
                    },
                );
                return;
            }
            Claim::Unknown => {
                self.counters.unknown_check += 1;
                return;
            }
        };
        if !in_use {
            self.assign_address(key, path.remote);
        }
        self.session_datagram(now, key, path, data);
    }

    /// A session is heard from there now: a check for another one does not take the address away, since source
    /// addresses can be forged.
    fn is_in_use(&self, now: Instant, path: Path) -> bool {
        match self.by_address.get(&path.remote) {
            Some(Owner::Session(key)) => self
                .sessions
                .get(*key)
                .is_some_and(|session| session.peer.is_heard(now, path)),
            _ => false,
        }
    }

    fn assign_elsewhere(&mut self, session: SessionId, worker: WorkerId, address: SocketAddr) {
        let known = self.elsewhere.addresses.len();
        if known >= self.elsewhere.sweep_at.max(FEW_ELSEWHERE)
            && !self.elsewhere.addresses.contains_key(&session)
        {
            let live = self.directory.sessions();
            let gone = self
                .elsewhere
                .addresses
                .extract_if(|session, _| !live.contains(session));
            for address in gone.flat_map(|(_, addresses)| addresses) {
                if matches!(self.by_address.get(&address), Some(Owner::Worker(_))) {
                    self.by_address.remove(&address);
                }
            }
            self.elsewhere.sweep_at = 2 * self.elsewhere.addresses.len();
        }
        let addresses = self.elsewhere.addresses.entry(session).or_default();
        if !addresses.contains(&address) {
            if addresses.len() == MAX_ADDRESSES {
                let oldest = addresses.remove(0);
                if self.by_address.get(&oldest) == Some(&Owner::Worker(worker)) {
                    self.by_address.remove(&oldest);
                }
            }
            addresses.push(address);
        }
        self.by_address.insert(address, Owner::Worker(worker));
    }

    fn is_check_for_another(&self, key: usize, data: &[u8]) -> bool {
        let Some(session) = self.sessions.get(key) else {
            return true;
        };
        match stun_username(data) {
            Some((local, _)) => !session.answers_to(local),
            None => false,
        }
    }
}
