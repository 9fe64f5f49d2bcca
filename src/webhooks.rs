//! Events told to others: each is a POST to every URL in the configuration, signed with a secret they share.
//!
//! The body is the event as `/api/v1/events` has it. `Shibuki-Signature: t=<seconds>,v1=<hex>` is the HMAC-SHA256 of
//! `<seconds>.<body>`; whoever receives it should refuse what is older than five minutes. What is not answered by 2xx
//! is sent again, later and later; in the end it is given up and counted. Events reach a URL in their order.

use std::collections::VecDeque;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::hmac;
use ipnet::IpNet;
use tokio::sync::broadcast::error::RecvError;

use crate::control::{Control, Event};
use crate::outgoing::{Outgoing, OutgoingError};

/// Events that wait for one URL; the oldest is given up for a further one.
const MAX_WAITING: usize = 1000;
/// From one try to the next: 1 s, 2 s, 4 s … up to a minute.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Ten tries are about five minutes.
const TRIES: u32 = 10;
/// For one exchange.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct WebhookSettings {
    pub urls: Vec<String>,
    /// May be called although they are not public.
    pub networks: Vec<IpNet>,
    /// Empty: not signed.
    pub secret: String,
    /// The events told; empty: all.
    pub names: Vec<String>,
    /// From the first failure to the next try; it doubles from then on, up to a minute.
    pub first_pause: Duration,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            networks: Vec::new(),
            secret: String::new(),
            names: Vec::new(),
            first_pause: FIRST_PAUSE,
        }
    }
}

/// Without the secret.
impl std::fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebhookSettings({} URLs)", self.urls.len())
    }
}

/// The event's name and its JSON, as they are told.
pub type Encode = fn(&Event) -> (&'static str, String);

/// One task per URL, from now to the end of the process. Fails on a URL that may not be called.
pub fn start(settings: &WebhookSettings, control: &Control, encode: Encode) -> Result<(), OutgoingError> {
    let outgoing = Outgoing::new(&settings.networks)?;
    for url in &settings.urls {
        outgoing.check(url)?;
        let hook = Hook {
            url: url.clone(),
            key: (!settings.secret.is_empty())
                .then(|| hmac::Key::new(hmac::HMAC_SHA256, settings.secret.as_bytes())),
            names: settings.names.clone(),
            first_pause: settings.first_pause,
            outgoing: outgoing.clone(),
            control: control.clone(),
            encode,
        };
        tokio::spawn(hook.run());
    }
    Ok(())
}

struct Hook {
    url: String,
    key: Option<hmac::Key>,
    names: Vec<String>,
    first_pause: Duration,
    outgoing: Outgoing,
    control: Control,
    encode: Encode,
}

impl Hook {
    async fn run(self) {
        let mut events = self.control.listen();
        let mut waiting: VecDeque<String> = VecDeque::new();
        let mut tries = 0;
        loop {
            let Some(body) = waiting.front().cloned() else {
                match events.recv().await {
                    Ok(event) => self.take(&event, &mut waiting),
                    Err(RecvError::Lagged(missed)) => self.bury(missed),
                    Err(RecvError::Closed) => return,
                }
                continue;
            };
            if self.deliver(body).await {
                self.control.metrics().webhooks_delivered.inc();
                waiting.pop_front();
                tries = 0;
                continue;
            }
            self.control.metrics().webhooks_failed.inc();
            tries += 1;
            if tries == TRIES {
                waiting.pop_front();
                self.bury(1);
                tries = 0;
            }
            let pause = tokio::time::sleep(pause(self.first_pause, tries));
            tokio::pin!(pause);
            // What comes meanwhile is taken in, so that it is this queue that is bounded.
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    event = events.recv() => match event {
                        Ok(event) => {
                            if waiting.len() == MAX_WAITING {
                                waiting.pop_front();
                                tries = 0;
                                self.bury(1);
                            }
                            self.take(&event, &mut waiting);
                        }
                        Err(RecvError::Lagged(missed)) => self.bury(missed),
                        Err(RecvError::Closed) => return,
                    },
                }
            }
        }
    }

    fn take(&self, event: &Event, waiting: &mut VecDeque<String>) {
        let (name, body) = (self.encode)(event);
        if self.names.is_empty() || self.names.iter().any(|wanted| wanted == name) {
            waiting.push_back(body);
        }
    }

    async fn deliver(&self, body: String) -> bool {
        let seconds = self
            .control
            .now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let request = match self.outgoing.post(&self.url) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(%error, "webhook cannot be called");
                return false;
            }
        };
        let mut request = request
            .timeout(TIMEOUT)
            .header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("shibuki-signature", signature(key, seconds, &body));
        }
        match self.outgoing.send(request.body(body)).await {
            Ok((status, _)) if status.is_success() => true,
            Ok((status, _)) => {
                tracing::debug!(%status, "webhook refused an event");
                false
            }
            Err(error) => {
                tracing::debug!(%error, "webhook does not answer");
                false
            }
        }
    }

    fn bury(&self, events: u64) {
        let before = self.control.metrics().webhooks_dead.inc_by(events);
        tracing::warn!(given_up = before + events, "a webhook did not take an event");
    }
}

fn signature(key: &hmac::Key, seconds: u64, body: &str) -> String {
    let tag = hmac::sign(key, format!("{seconds}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

fn pause(first: Duration, tries: u32) -> Duration {
    let doubled = first.saturating_mul(1 << tries.saturating_sub(1).min(16));
    doubled.min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret`
    #[test]
    fn a_signature_is_what_others_compute() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        assert_eq!(
            signature(&key, 1_700_000_000, "{\"a\":1}"),
            "t=1700000000,v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
        );
    }

    #[test]
    fn tries_come_later_and_later() {
        let pauses: Vec<u64> = (1..=8).map(|tries| pause(FIRST_PAUSE, tries).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(FIRST_PAUSE, u32::MAX), LONGEST_PAUSE);
    }
}
