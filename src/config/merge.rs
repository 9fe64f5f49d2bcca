//! One source's values over another's, and the ranges of all.

use super::layer::{Keys, Layer, MAX_WORKERS};
use super::values::log_filter;

/// A value out of its range.
#[derive(Debug)]
pub(super) struct Problem {
    pub key: &'static str,
    pub message: String,
}

impl Layer {
    /// This layer's values, and the lower one's where it has none.
    pub(super) fn over(self, lower: Self) -> Self {
        Self {
            http: self.http.or(lower.http),
            media_port: self.media_port.or(lower.media_port),
            media_address: self.media_address.or(lower.media_address),
            public_ip: self.public_ip.or(lower.public_ip),
            workers: self.workers.or(lower.workers),
            ice_servers: self.ice_servers.or(lower.ice_servers),
            trusted_proxies: self.trusted_proxies.or(lower.trusted_proxies),
            keys: Keys {
                publish: self.keys.publish.or(lower.keys.publish),
                watch: self.keys.watch.or(lower.keys.watch),
                admin: self.keys.admin.or(lower.keys.admin),
                secret: self.keys.secret.or(lower.keys.secret),
                public_key: self.keys.public_key.or(lower.keys.public_key),
                jwks: self.keys.jwks.or(lower.keys.jwks),
                audience: self.keys.audience.or(lower.keys.audience),
                issuer: self.keys.issuer.or(lower.keys.issuer),
                hook: self.keys.hook.or(lower.keys.hook),
                hook_timeout: self.keys.hook_timeout.or(lower.keys.hook_timeout),
                hook_cache: self.keys.hook_cache.or(lower.keys.hook_cache),
                anyone_may: self.keys.anyone_may.or(lower.keys.anyone_may),
            },
            outgoing_networks: self.outgoing_networks.or(lower.outgoing_networks),
            webhooks: self.webhooks.or(lower.webhooks),
            webhook_secret: self.webhook_secret.or(lower.webhook_secret),
            webhook_events: self.webhook_events.or(lower.webhook_events),
            otlp_endpoint: self.otlp_endpoint.or(lower.otlp_endpoint),
            strict_session_auth: self.strict_session_auth.or(lower.strict_session_auth),
            cors_origins: self.cors_origins.or(lower.cors_origins),
            on_conflict: self.on_conflict.or(lower.on_conflict),
            require_publisher: self.require_publisher.or(lower.require_publisher),
            burst_max_bytes: self.burst_max_bytes.or(lower.burst_max_bytes),
            burst_max_seconds: self.burst_max_seconds.or(lower.burst_max_seconds),
            burst_rate: self.burst_rate.or(lower.burst_rate),
            start_bitrate: self.start_bitrate.or(lower.start_bitrate),
            max_sessions: self.max_sessions.or(lower.max_sessions),
            max_viewers_per_stream: self.max_viewers_per_stream.or(lower.max_viewers_per_stream),
            max_handshakes: self.max_handshakes.or(lower.max_handshakes),
            rate_limit: self.rate_limit.or(lower.rate_limit),
            rate_limit_loopback: self.rate_limit_loopback.or(lower.rate_limit_loopback),
            etag: self.etag.or(lower.etag),
            log: self.log.or(lower.log),
            log_format: self.log_format.or(lower.log_format),
        }
    }

    /// The ranges, which are the same wherever a value comes from.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let count = |value: Option<usize>| value.map(|v| v as u64);
        let ranges = [
            ("workers", count(self.workers), 1, MAX_WORKERS as u64),
            (
                "burst-max-bytes",
                count(self.burst_max_bytes),
                100_000,
                1_000_000_000,
            ),
            ("burst-max-seconds", self.burst_max_seconds, 0, 120),
            ("burst-rate", self.burst_rate, 100_000, 10_000_000_000),
            ("start-bitrate", self.start_bitrate, 0, 1_000_000_000),
            ("max-sessions", count(self.max_sessions), 1, 1_000_000),
            (
                "max-viewers-per-stream",
                count(self.max_viewers_per_stream),
                1,
                1_000_000,
            ),
            ("max-handshakes", count(self.max_handshakes), 1, 1_000_000),
            ("rate-limit", self.rate_limit.map(u64::from), 0, 1_000_000),
            ("keys-hook-timeout", self.keys.hook_timeout, 100, 30_000),
            ("keys-hook-cache", self.keys.hook_cache, 0, 3_600),
        ];
        for (key, value, min, max) in ranges {
            if let Some(value) = value
                && !(min..=max).contains(&value)
            {
                return Err(Problem {
                    key,
                    message: format!("{value} is not in {min} to {max}"),
                });
            }
        }
        if let Some(ip) = self
            .public_ip
            .iter()
            .flatten()
            .find(|ip| ip.is_unspecified() || ip.is_multicast())
        {
            return Err(Problem {
                key: "public-ip",
                message: format!("{ip} is not the address of one host"),
            });
        }
        for (key, keys) in [
            ("keys-publish", &self.keys.publish),
            ("keys-watch", &self.keys.watch),
            ("keys-admin", &self.keys.admin),
        ] {
            if keys.as_ref().is_some_and(Vec::is_empty) {
                return Err(Problem {
                    key,
                    message: "the list is empty; leave the key out if anybody may".into(),
                });
            }
        }
        if self
            .webhook_secret
            .as_ref()
            .is_some_and(|secret| secret.reveal().len() < 16)
        {
            return Err(Problem {
                key: "webhook-secret",
                message: "fewer than 16 characters can be guessed".into(),
            });
        }
        let known = &crate::http::EVENT_NAMES;
        let unknown = self
            .webhook_events
            .iter()
            .flatten()
            .find(|name| !known.contains(&name.as_str()));
        if let Some(name) = unknown {
            return Err(Problem {
                key: "webhook-events",
                message: format!("there is no event {name:?}; there are {}", known.join(", ")),
            });
        }
        let is_web = |url: &String| {
            let url = reqwest::Url::parse(url);
            url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        if self.otlp_endpoint.as_ref().is_some_and(|url| !is_web(url)) {
            return Err(Problem {
                key: "otlp-endpoint",
                message: "expected a URL, such as http://127.0.0.1:4318".into(),
            });
        }
        if let Some(Err(error)) = self.log.as_deref().map(log_filter) {
            return Err(Problem {
                key: "log",
                message: error,
            });
        }
        Ok(())
    }
}
