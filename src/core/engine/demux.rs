//! Which session a datagram belongs to. An address belongs to a session only after an authenticated check from
//! there; from any other address nothing but such a check is looked at.

use std::time::Instant;

use super::{Engine, Owner};
use crate::core::directory::Claim;
use crate::core::machine::Path;
use crate::core::peer::{stun_authentic, stun_username};
use crate::core::route::Message;
use crate::core::rtp::{Class, classify};

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
        let key = match claim {
            Claim::Mine(spec) => self.adopt(now, &spec),
            Claim::Already(id) => match self.by_id.get(&id) {
                Some(key) => *key,
                None => return,
            },
            Claim::Elsewhere(worker) => {
                self.by_address.insert(path.remote, Owner::Worker(worker));
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
        self.assign_address(key, path.remote);
        self.session_datagram(now, key, path, data);
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
