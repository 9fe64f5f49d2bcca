//! Asking somebody else: an HTTP endpoint of the operator's decides who may.
//!
//! It gets a POST with `{"right": "publish" | "watch", "stream": …, "token": …}` and answers 2xx for yes, 401 or
//! 403 for no. Anything else, or nothing in time, is no answer: the client is told to come back, and gets nothing.

use std::time::Duration;

use moka::future::Cache;
use serde::Serialize;

use super::Right;
use super::ring::sha256;
use crate::core::ids::StreamName;
use crate::outgoing::{Outgoing, OutgoingError};

/// Answers remembered at most.
const MAX_CACHED: u64 = 10_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSettings {
    pub url: String,
    /// For the whole exchange.
    pub timeout: Duration,
    /// How long an answer is remembered; zero: each request is asked for.
    pub cache: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Yes,
    No,
    /// It did not answer as agreed.
    None,
}

pub struct Hook {
    settings: HookSettings,
    outgoing: Outgoing,
    /// By a digest of what was asked, so that no key lies in memory longer than its request.
    cache: Option<Cache<[u8; 32], Verdict>>,
}

#[derive(Serialize)]
struct Question<'a> {
    right: &'a str,
    stream: &'a str,
    token: &'a str,
}

impl Hook {
    pub fn new(settings: HookSettings, outgoing: &Outgoing) -> Result<Self, OutgoingError> {
        outgoing.check(&settings.url)?;
        let cache = (!settings.cache.is_zero()).then(|| {
            Cache::builder()
                .max_capacity(MAX_CACHED)
                .time_to_live(settings.cache)
                .build()
        });
        Ok(Self {
            settings,
            outgoing: outgoing.clone(),
            cache,
        })
    }

    /// Many who ask the same at once make one request. No answer is not remembered.
    pub(super) async fn ask(&self, right: Right, stream: &StreamName, token: &str) -> Verdict {
        let question = Question {
            right: right.as_str(),
            stream: stream.as_str(),
            token,
        };
        let Ok(body) = serde_json::to_string(&question) else {
            return Verdict::None;
        };
        let Some(cache) = &self.cache else {
            return self.request(body).await;
        };
        let key = sha256(&body);
        let answer = cache.try_get_with(key, async {
            match self.request(body).await {
                Verdict::None => Err(()),
                verdict => Ok(verdict),
            }
        });
        answer.await.unwrap_or(Verdict::None)
    }

    async fn request(&self, body: String) -> Verdict {
        let url = &self.settings.url;
        let request = match self.outgoing.post(url) {
            Ok(request) => request
                .timeout(self.settings.timeout)
                .header("content-type", "application/json")
                .body(body),
            Err(error) => {
                tracing::warn!(%error, "keys.hook cannot be asked");
                return Verdict::None;
            }
        };
        match self.outgoing.send(request).await {
            Ok((status, _)) if status.is_success() => Verdict::Yes,
            Ok((status, _)) if matches!(status.as_u16(), 401 | 403) => Verdict::No,
            Ok((status, _)) => {
                tracing::warn!(%status, "keys.hook answers neither yes (2xx) nor no (401, 403): nobody gets in");
                Verdict::None
            }
            Err(error) => {
                tracing::warn!(%error, "keys.hook does not answer: nobody gets in");
                Verdict::None
            }
        }
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook(…)")
    }
}
