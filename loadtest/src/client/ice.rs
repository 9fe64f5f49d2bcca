//! Our side of ICE (RFC 8445): controlling, one local candidate, checks to everything the answer names, regular
//! nomination of the first pair that works, then consent checks (RFC 7675).

use aws_lc_rs::hmac;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::outbox::Outbox;
use super::stun::{self, Binding, Class, TransactionId};

/// Between checks of different candidates (RFC 8445 §14.2).
const PACE: Duration = Duration::from_millis(5);
/// The first retransmission; doubles up to [`MAX_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(100);
const MAX_RETRY: Duration = Duration::from_millis(1600);
/// RFC 7675 §5.1.
const CONSENT_EXPIRES: Duration = Duration::from_secs(30);
/// A peer-reflexive candidate's priority: type preference 110, our only interface and component.
const PRIORITY: u32 = 110 << 24 | 65535 << 8 | 255;

#[derive(Clone, Debug)]
pub struct Credentials {
    pub ufrag: String,
    pub pwd: String,
}

impl Credentials {
    pub fn random() -> Self {
        let text = |len: usize| -> String {
            const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            (0..len)
                .map(|_| ALPHABET[usize::from(rand::random::<u8>() & 63)] as char)
                .collect()
        };
        Self {
            ufrag: text(8),
            pwd: text(24),
        }
    }
}

pub struct Ice {
    username: String,
    local_key: hmac::Key,
    remote_key: hmac::Key,
    tie_breaker: u64,
    checks: Vec<Check>,
    selected: Option<SocketAddr>,
    nominated: bool,
    consent: TransactionId,
    consented_at: Option<Instant>,
    /// When consent was last asked for, to measure the round trip.
    asked_at: Option<Instant>,
    round_trip: Option<Duration>,
    next: Option<Instant>,
}

struct Check {
    to: SocketAddr,
    id: TransactionId,
    due: Instant,
    retry: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceEvent {
    None,
    /// The first pair works: media may flow to this address.
    Selected(SocketAddr),
}

impl Ice {
    pub fn new(
        now: Instant,
        local: &Credentials,
        remote: &Credentials,
        candidates: impl Iterator<Item = SocketAddr>,
    ) -> Self {
        let checks: Vec<Check> = candidates
            .zip(0u32..)
            .map(|(to, place)| Check {
                to,
                id: random_id(),
                due: now + PACE * place,
                retry: FIRST_RETRY,
            })
            .collect();
        let next = checks.first().map(|check| check.due);
        Self {
            username: format!("{}:{}", remote.ufrag, local.ufrag),
            local_key: stun::integrity_key(&local.pwd),
            remote_key: stun::integrity_key(&remote.pwd),
            tie_breaker: rand::random(),
            checks,
            selected: None,
            nominated: false,
            consent: random_id(),
            consented_at: None,
            asked_at: None,
            round_trip: None,
            next,
        }
    }

    pub fn selected(&self) -> Option<SocketAddr> {
        self.selected
    }

    /// Of the last consent check.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.next
    }

    pub fn consent_expired(&self, now: Instant) -> bool {
        self.consented_at
            .is_some_and(|at| now.saturating_duration_since(at) > CONSENT_EXPIRES)
    }

    pub fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], out: &mut Outbox) -> IceEvent {
        let Some(binding) = Binding::parse(datagram) else {
            return IceEvent::None;
        };
        match binding.class {
            Class::Request if binding.is_signed_with(&self.local_key) => {
                out.push(
                    from,
                    &stun::write_success(binding.transaction, from, &self.local_key),
                );
                IceEvent::None
            }
            Class::Success if binding.is_signed_with(&self.remote_key) => {
                self.succeeded(now, binding.transaction, out)
            }
            _ => IceEvent::None,
        }
    }

    fn succeeded(&mut self, now: Instant, id: TransactionId, out: &mut Outbox) -> IceEvent {
        if self.selected.is_some() {
            if id == self.consent {
                self.nominated = true;
                self.consented_at = Some(now);
                self.round_trip = self.asked_at.map(|at| now.saturating_duration_since(at));
                // RFC 7675 §5.1 asks for a random share of 5 s, so that clients don't all ask at once.
                self.next = Some(now + Duration::from_millis(2500 + u64::from(rand::random::<u16>() % 2500)));
                self.consent = random_id();
            }
            return IceEvent::None;
        }
        let Some(check) = self.checks.iter().find(|check| check.id == id) else {
            return IceEvent::None;
        };
        let to = check.to;
        self.selected = Some(to);
        self.consented_at = Some(now);
        self.checks.clear();
        self.ask(now, to, out);
        IceEvent::Selected(to)
    }

    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        if let Some(to) = self.selected {
            self.ask(now, to, out);
            return;
        }
        for check in self.checks.iter_mut().filter(|check| check.due <= now) {
            let request = stun::write_request(
                check.id,
                &self.username,
                &self.remote_key,
                PRIORITY,
                self.tie_breaker,
                false,
            );
            out.push(check.to, &request);
            check.due = now + check.retry;
            check.retry = (check.retry * 2).min(MAX_RETRY);
        }
        self.next = self.checks.iter().map(|check| check.due).min();
    }

    /// Nominates, and once nominated asks for consent: the same request, as browsers send it.
    fn ask(&mut self, now: Instant, to: SocketAddr, out: &mut Outbox) {
        let request = stun::write_request(
            self.consent,
            &self.username,
            &self.remote_key,
            PRIORITY,
            self.tie_breaker,
            true,
        );
        out.push(to, &request);
        self.asked_at = Some(now);
        let retry = if self.nominated {
            Duration::from_millis(500)
        } else {
            FIRST_RETRY
        };
        self.next = Some(now + retry);
    }
}

fn random_id() -> TransactionId {
    TransactionId(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lite {
        credentials: Credentials,
        client: Credentials,
        nominated: bool,
    }

    impl Lite {
        fn answer(&mut self, request: &[u8]) -> Vec<u8> {
            let binding = Binding::parse(request).expect("a check");
            let key = stun::integrity_key(&self.credentials.pwd);
            assert_eq!(binding.class, Class::Request);
            assert!(binding.is_signed_with(&key));
            self.nominated |= request.windows(4).any(|bytes| bytes == [0, 0x25, 0, 0]);
            let name = format!("{}:{}", self.credentials.ufrag, self.client.ufrag);
            assert!(request.windows(name.len()).any(|bytes| bytes == name.as_bytes()));
            stun::write_success(
                binding.transaction,
                "192.0.2.9:9".parse().expect("an address"),
                &key,
            )
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
    fn the_candidate_that_answers_is_nominated_and_kept_alive() {
        let start = Instant::now();
        let (ours, theirs) = (Credentials::random(), Credentials::random());
        let mut server = Lite {
            credentials: theirs.clone(),
            client: ours.clone(),
            nominated: false,
        };
        let dead: SocketAddr = "192.0.2.1:1".parse().expect("an address");
        let alive: SocketAddr = "192.0.2.2:1".parse().expect("an address");
        let mut ice = Ice::new(start, &ours, &theirs, [dead, alive].into_iter());
        let mut out = Outbox::default();
        let mut selected = None;
        let mut now = start;
        for _ in 0..40 {
            now = now.max(ice.deadline().expect("something to do"));
            ice.handle_timeout(now, &mut out);
            let waiting: Vec<_> = out
                .sends(1)
                .map(|send| (send.to, send.contents.to_vec()))
                .collect();
            out.clear();
            for (to, request) in waiting.into_iter().filter(|(to, _)| *to == alive) {
                if let IceEvent::Selected(address) = ice.handle(now, to, &server.answer(&request), &mut out) {
                    selected = Some(address);
                }
            }
        }
        assert_eq!(selected, Some(alive));
        assert!(server.nominated);
        assert!(
            now - start > Duration::from_secs(30),
            "consent goes on: {:?}",
            now - start
        );
        assert!(!ice.consent_expired(now));
        assert!(ice.consent_expired(now + Duration::from_secs(31)));
    }
}
