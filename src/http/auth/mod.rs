//! Who may publish, watch, and administer.
//!
//! - [`credentials`]: where a request may carry a key.
//! - [`ring`]: keys that stand in the configuration.
//! - [`token`]: signed keys (JWT), ours or an identity provider's.
//! - [`hook`]: an HTTP endpoint that decides.
//!
//! A right that nothing is configured for is open: anybody may. Administration never is.

mod credentials;
mod hook;
mod ring;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::{HeaderValue, StatusCode, header};

use super::problem::Problem;
use crate::core::ids::StreamName;
pub(super) use credentials::Credentials;
use hook::Verdict;
pub use hook::{Hook, HookSettings};
pub use ring::KeyRing;
use token::Invalid;
pub use token::{Claims, Scope, TokenSettings, TokenSettingsError, Tokens};

/// What decides who may.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub publish: KeyRing,
    pub watch: KeyRing,
    pub admin: KeyRing,
    pub tokens: Option<Arc<Tokens>>,
    pub hook: Option<Arc<Hook>>,
    /// These need no key, whatever else is configured.
    pub anyone_may: Vec<Right>,
}

/// The [`Keys`] in force; clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct SharedKeys(Arc<ArcSwap<Keys>>);

impl SharedKeys {
    pub fn load(&self) -> Arc<Keys> {
        self.0.load_full()
    }

    /// Others from the next request on; what runs goes on.
    pub fn replace(&self, keys: Keys) {
        self.0.store(Arc::new(keys));
    }
}

impl From<Keys> for SharedKeys {
    fn from(keys: Keys) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(keys)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    Publish,
    Watch,
}

impl Right {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Watch => "watch",
        }
    }
}

/// What credentials were found to be, beside good for what was asked.
#[derive(Default)]
struct Seen {
    /// Good for something else.
    known: bool,
    expired: bool,
    not_yet: bool,
    unavailable: bool,
}

impl Keys {
    fn ring(&self, right: Right) -> &KeyRing {
        match right {
            Right::Publish => &self.publish,
            Right::Watch => &self.watch,
        }
    }

    /// Whether no key is needed.
    pub fn is_open(&self, right: Right) -> bool {
        let decided = !self.ring(right).is_empty() || self.tokens.is_some() || self.hook.is_some();
        !decided || self.anyone_may.contains(&right)
    }

    /// `401` without a valid key, `403` with one for something else, `503` where the one who decides is silent. Says
    /// nothing about whether the stream exists.
    pub(super) async fn require(
        &self,
        right: Right,
        stream: &StreamName,
        credentials: &Credentials,
    ) -> Result<(), Problem> {
        let opens = |of: &Option<StreamName>| of.as_ref().is_none_or(|s| s == stream);
        if self.is_open(right) || self.ring(right).matching(credentials).any(opens) {
            return Ok(());
        }
        let (claims, mut seen) = self.claims(credentials).await;
        if claims.iter().any(|claims| claims.allow(right, stream)) {
            return Ok(());
        }
        if let Some(hook) = &self.hook {
            // Without a token nobody is asked: reading without one is not limited in rate.
            for token in credentials.tokens() {
                match hook.ask(right, stream, token).await {
                    Verdict::Yes => return Ok(()),
                    Verdict::No => {}
                    Verdict::None => seen.unavailable = true,
                }
            }
        }
        Err(self.denial(credentials, &seen))
    }

    /// As [`require`](Self::require), for what administers the server. Without any admin key nobody may.
    pub(super) async fn require_admin(&self, credentials: &Credentials) -> Result<(), Problem> {
        if self.admin.matching(credentials).next().is_some() {
            return Ok(());
        }
        let (claims, seen) = self.claims(credentials).await;
        if claims.iter().any(|claims| claims.admin) {
            return Ok(());
        }
        Err(self.denial(credentials, &seen))
    }

    /// Whether anything but the place a request comes from can open the administration.
    pub(super) fn has_admin(&self) -> bool {
        !self.admin.is_empty() || self.tokens.is_some()
    }

    /// Those of `streams` that the credentials may watch. An error where they open nothing at all.
    pub(super) async fn visible<T>(
        &self,
        streams: Vec<T>,
        name: impl Fn(&T) -> &StreamName,
        credentials: &Credentials,
    ) -> Result<Vec<T>, Problem> {
        if self.is_open(Right::Watch) {
            return Ok(streams);
        }
        let opened: Vec<_> = self.watch.matching(credentials).collect();
        let (claims, seen) = self.claims(credentials).await;
        let opens = |stream: &StreamName| {
            opened.iter().any(|of| of.as_ref().is_none_or(|s| s == stream))
                || claims.iter().any(|claims| claims.allow(Right::Watch, stream))
        };
        let something = !opened.is_empty() || claims.iter().any(|claims| !claims.watch.is_empty());
        if !something && (self.hook.is_none() || credentials.is_empty()) {
            return Err(self.denial(credentials, &seen));
        }
        let mut visible = Vec::new();
        let mut asked = 0;
        for stream in streams {
            let permitted = opens(name(&stream))
                || self.hook.is_some()
                    && !credentials.is_empty()
                    && {
                        asked += 1;
                        asked <= MAX_ASKED
                    }
                    && self
                        .require(Right::Watch, name(&stream), credentials)
                        .await
                        .is_ok();
            if permitted {
                visible.push(stream);
            }
        }
        Ok(visible)
    }

    /// The stream a publisher means who names none in the URL: the one its key is for. On an open server the token
    /// itself is the name.
    pub(super) async fn stream_of(&self, credentials: &Credentials) -> Result<StreamName, Problem> {
        if self.is_open(Right::Publish) {
            let Some(name) = credentials.tokens().next() else {
                return Err(unauthorized(
                    "give the stream's name in the URL, or as bearer token",
                ));
            };
            return name.parse().map_err(|why| {
                Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    format!("the bearer token names the stream here, and {why}"),
                )
            });
        }
        let (claims, seen) = self.claims(credentials).await;
        let signed = claims.iter().filter(|claims| !claims.publish.is_empty());
        let mut streams: Vec<Option<StreamName>> = self.publish.matching(credentials).cloned().collect();
        streams.extend(signed.map(|claims| claims.publish.single()));
        streams.dedup();
        match &mut streams[..] {
            [Some(stream)] => Ok(stream.clone()),
            [] if self.hook.is_none() => Err(self.denial(credentials, &seen)),
            _ => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "this key is not for one stream alone: name the stream, as in /whip/{stream}",
            )),
        }
    }

    /// What the credentials that are good tokens say.
    async fn claims(&self, credentials: &Credentials) -> (Vec<Claims>, Seen) {
        let (mut claims, mut seen) = (Vec::new(), Seen::default());
        let Some(tokens) = &self.tokens else {
            return (claims, seen);
        };
        for token in credentials.tokens() {
            match tokens.verify(token).await {
                Ok(good) => {
                    seen.known = true;
                    claims.push(good);
                }
                Err(Invalid::Expired) => seen.expired = true,
                Err(Invalid::NotYet) => seen.not_yet = true,
                Err(Invalid::Unavailable) => seen.unavailable = true,
                Err(Invalid::Unknown | Invalid::Foreign) => {}
            }
        }
        (claims, seen)
    }

    fn denial(&self, credentials: &Credentials, seen: &Seen) -> Problem {
        let rings = [&self.publish, &self.watch, &self.admin];
        let in_a_ring = rings
            .into_iter()
            .any(|ring| ring.matching(credentials).next().is_some());
        if seen.known || in_a_ring {
            Problem::new(StatusCode::FORBIDDEN, "this key is not for that")
        } else if seen.unavailable {
            let detail = "whether you may cannot be found out right now: who decides does not answer";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(ASK_AGAIN)
        } else if credentials.is_empty() {
            unauthorized("a key is needed, as bearer token")
        } else if seen.expired {
            unauthorized("the key has expired: ask for a new one")
        } else if seen.not_yet {
            unauthorized("the key is not valid yet")
        } else {
            unauthorized("the key is not valid")
        }
    }
}

/// Streams a hook is asked for in one listing; those beyond are not listed for whom only the hook could admit.
const MAX_ASKED: usize = 100;
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail).with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"shibuki\""),
    )
}
