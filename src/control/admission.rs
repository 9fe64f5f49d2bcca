//! Who gets a session: offers answered, limits kept, ICE restarted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Control, DRAINING, GOING_DOWN, OnConflict, SessionRole};
use crate::core::ids::{SessionId, Ssrc, StreamName};
use crate::core::media::{
    IceCredentials, MediaKind, RoleSpec, SessionSpec, StreamCodecs, TransportSpec, ViewerWishes,
};
use crate::core::route::Message;
use crate::sdp::{AnswerParams, Offer, Reject, answer_publisher, answer_viewer};

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
    Conflict {
        reason: &'static str,
        retry_after: Duration,
    },
    /// `307`: another server takes new sessions in place of this one.
    #[error("this server takes no new sessions; {0} does")]
    Elsewhere(String),
    /// `503`: a cap is reached, or the server is going down.
    #[error("{reason}")]
    Busy {
        reason: &'static str,
        retry_after: Duration,
    },
}

/// A restarted ICE session: what the `200` to the PATCH needs.
#[derive(Clone, Debug)]
pub struct IceRestart {
    pub etag: String,
    pub local_ice: IceCredentials,
    pub candidates: Vec<SocketAddr>,
}

impl Control {
    pub fn publish(&self, stream: &StreamName, offer: &Offer) -> Result<Accepted, Refused> {
        self.check_caps()?;
        if self.config().on_conflict == OnConflict::Reject && self.registry().is_published(stream) {
            return Err(Refused::Conflict {
                reason: "this stream has a publisher, and this server keeps the first one",
                retry_after: Duration::from_secs(5),
            });
        }
        let local_ice = new_credentials();
        let id = SessionId::random();
        let (answer, media) = answer_publisher(offer, &self.answer_params(&local_ice, stream))?;
        let codec = |kind| {
            media
                .tracks
                .iter()
                .find(|track| track.kind == kind)?
                .codecs
                .first()
                .map(|c| c.codec)
        };
        let codecs = StreamCodecs {
            video: codec(MediaKind::Video),
            audio: codec(MediaKind::Audio),
        };
        let accepted = self.create(id, stream, offer, local_ice, answer, RoleSpec::Publisher(media));
        self.registry().set_codecs(id, codecs);
        Ok(accepted)
    }

    pub fn watch(
        &self,
        stream: &StreamName,
        offer: &Offer,
        wishes: ViewerWishes,
    ) -> Result<Accepted, Refused> {
        self.check_caps()?;
        let codecs = {
            let registry = self.registry();
            if registry.viewers(stream) >= self.config().max_viewers_per_stream {
                return Err(Refused::Busy {
                    reason: "this stream has as many viewers as the server allows",
                    retry_after: Duration::from_secs(10),
                });
            }
            registry.codecs(stream)
        };
        if codecs.is_none() && self.config().require_publisher {
            return Err(Refused::Conflict {
                reason: "nobody publishes this stream now",
                retry_after: Duration::from_secs(2),
            });
        }
        let local_ice = new_credentials();
        // A browser tries one candidate each 50 ms, in their order.
        let mut candidates = self.0.candidates.clone();
        candidates.sort_by_key(|candidate| Some(candidate.ip()) != wishes.reached_at);
        let params = AnswerParams {
            candidates: &candidates,
            ..self.answer_params(&local_ice, stream)
        };
        let (answer, mut media) = answer_viewer(offer, &params, codecs.as_ref(), &mut new_ssrc())?;
        media.layers = wishes.layers;
        media.latency = wishes.latency;
        Ok(self.create(
            SessionId::random(),
            stream,
            offer,
            local_ice,
            answer,
            RoleSpec::Viewer(media),
        ))
    }

    /// `None`: no such session. The running session is untouched until the peer uses the new credentials.
    pub fn restart_ice(&self, id: &SessionId, remote: IceCredentials) -> Option<IceRestart> {
        let local_ice = new_credentials();
        let (etag, owner) = self.registry().restart_ice(*id, &remote)?;
        self.0.directory.restart(*id, &local_ice, &remote);
        if let Some(worker) = owner {
            let local = local_ice.clone();
            self.send(
                worker,
                Message::RestartIce {
                    session: *id,
                    local,
                    remote,
                },
            );
        }
        Some(IceRestart {
            etag,
            local_ice,
            candidates: self.0.candidates.clone(),
        })
    }

    fn check_caps(&self) -> Result<(), Refused> {
        match self.draining().map(|drain| drain.redirect) {
            Some(Some(server)) => return Err(Refused::Elsewhere(server)),
            Some(None) => {
                return Err(Refused::Busy {
                    reason: DRAINING,
                    retry_after: Duration::from_secs(10),
                });
            }
            None => {}
        }
        let registry = self.registry();
        let busy = |reason, seconds| Refused::Busy {
            reason,
            retry_after: Duration::from_secs(seconds),
        };
        if registry.is_closed() {
            return Err(busy(GOING_DOWN, 10));
        }
        if registry.session_count() >= self.config().max_sessions {
            return Err(busy("the server has as many sessions as it allows", 10));
        }
        if registry.handshakes() >= self.config().max_handshakes {
            return Err(busy("too many sessions are connecting right now", 2));
        }
        Ok(())
    }

    fn answer_params<'a>(&'a self, ice: &'a IceCredentials, stream: &'a StreamName) -> AnswerParams<'a> {
        AnswerParams {
            ice,
            fingerprint: &self.0.fingerprint,
            candidates: &self.0.candidates,
            // RFC 8866 §5.2: below 2⁶³ to be safe with signed readers.
            session: rand::random::<u64>() >> 2,
            stream,
        }
    }

    fn create(
        &self,
        id: SessionId,
        stream: &StreamName,
        offer: &Offer,
        local_ice: IceCredentials,
        answer: String,
        role: RoleSpec,
    ) -> Accepted {
        let kind = match role {
            RoleSpec::Publisher(_) => SessionRole::Publisher,
            RoleSpec::Viewer(_) => SessionRole::Viewer,
        };
        let transport = TransportSpec {
            local_ice,
            remote_ice: offer.remote_ice().clone(),
            dtls_role: offer.dtls_role(),
            remote_fingerprints: offer.fingerprints().to_vec(),
        };
        let remote_ice = transport.remote_ice.clone();
        let spec = Arc::new(SessionSpec {
            id,
            stream: stream.clone(),
            transport,
            role,
        });
        let etag = self.registry().add(
            id,
            kind,
            stream.clone(),
            remote_ice,
            &spec.role,
            self.0.clock.now(),
        );
        self.0.directory.add(spec);
        self.0.metrics.accepted(kind);
        Accepted { id, etag, answer }
    }
}

/// RFC 8445 §5.3 asks for 24 bits in the fragment and 128 in the password. More in the fragment, because a worker
/// finds the session by it.
fn new_credentials() -> IceCredentials {
    IceCredentials {
        ufrag: random_token(12),
        pwd: random_token(32),
    }
}

/// `ice-char`s (RFC 8839 §5.4) that need no escaping anywhere: 5.95 bits each.
fn random_token(len: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let letter = || char::from(ALPHABET[usize::from(rand::random::<u16>()) % ALPHABET.len()]);
    std::iter::repeat_with(letter).take(len).collect()
}

/// SSRCs of one session: random, none zero, none twice.
fn new_ssrc() -> impl FnMut() -> Ssrc {
    let mut used = Vec::new();
    move || loop {
        let ssrc = rand::random::<u32>();
        // 1 is our receiver's SSRC in reports to publishers.
        if ssrc > 1 && !used.contains(&ssrc) {
            used.push(ssrc);
            return Ssrc(ssrc);
        }
    }
}
