//! What each part of the server is told of the configuration.

use std::sync::Arc;

use super::ServerConfig;
use crate::config::{Config, DIGEST, Key, Secret};
use crate::control::{Clock, ControlConfig};
use crate::core::egress::{AdaptationLimits, RunUpLimits};
use crate::core::engine::EngineConfig;
use crate::core::route::BufferLimits;
use crate::http::auth::{Hook, KeyRing, TokenSettingsError, Tokens};
use crate::http::{CorsOrigins, HttpConfig, Keys};
use crate::outgoing::{Outgoing, OutgoingError};
use crate::webhooks::WebhookSettings;

/// Why a valid configuration cannot be carried out: what it refers to is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(transparent)]
    Tokens(#[from] TokenSettingsError),
    #[error("keys.hook: {0}")]
    Hook(OutgoingError),
    #[error("no HTTP client: {0}")]
    Client(OutgoingError),
}

/// What decides who may.
pub fn keys(config: &Config) -> Result<Keys, SettingsError> {
    let outgoing = Outgoing::new(&config.outgoing_networks).map_err(SettingsError::Client)?;
    let tokens = match config.tokens.is_empty() {
        true => None,
        false => Some(Arc::new(Tokens::new(&config.tokens, &outgoing)?)),
    };
    let hook = config.hook.clone().map(|hook| Hook::new(hook, &outgoing));
    Ok(Keys {
        publish: ring(&config.publish_keys),
        watch: ring(&config.watch_keys),
        admin: ring(&config.admin_keys),
        tokens,
        hook: hook.transpose().map_err(SettingsError::Hook)?.map(Arc::new),
        anyone_may: config.anyone_may.clone(),
    })
}

/// Limits and policies.
pub fn control(config: &Config) -> ControlConfig {
    ControlConfig {
        on_conflict: config.on_conflict,
        require_publisher: config.require_publisher,
        max_sessions: config.max_sessions,
        max_viewers_per_stream: config.max_viewers_per_stream,
        max_handshakes: config.max_handshakes,
        // Known once the media port is bound.
        candidates: Vec::new(),
        clock: Clock::default(),
    }
}

/// What differs between two configurations and counts at once, by the keys' names.
pub fn changed(old: &Config, new: &Config) -> Vec<&'static str> {
    differing([
        ("keys.publish", old.publish_keys != new.publish_keys),
        ("keys.watch", old.watch_keys != new.watch_keys),
        ("keys.admin", old.admin_keys != new.admin_keys),
        ("keys.secret", old.tokens.secret != new.tokens.secret),
        (
            "keys.public-key",
            old.tokens.public_keys != new.tokens.public_keys,
        ),
        ("keys.jwks", old.tokens.jwks != new.tokens.jwks),
        ("keys.audience", old.tokens.audience != new.tokens.audience),
        ("keys.issuer", old.tokens.issuer != new.tokens.issuer),
        (
            "keys.hook, keys.hook-timeout, keys.hook-cache",
            old.hook != new.hook,
        ),
        ("keys.anyone-may", old.anyone_may != new.anyone_may),
        (
            "outgoing-networks",
            old.outgoing_networks != new.outgoing_networks,
        ),
        ("on-conflict", old.on_conflict != new.on_conflict),
        (
            "require-publisher",
            old.require_publisher != new.require_publisher,
        ),
        ("max-sessions", old.max_sessions != new.max_sessions),
        (
            "max-viewers-per-stream",
            old.max_viewers_per_stream != new.max_viewers_per_stream,
        ),
        ("max-handshakes", old.max_handshakes != new.max_handshakes),
        ("log", old.log != new.log),
    ])
}

/// What differs between two configurations and counts only from the next start on, by the keys' names.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    differing([
        ("http", old.http != new.http),
        ("media-address, media-port", old.media != new.media),
        ("public-ip", old.public_ips != new.public_ips),
        ("workers", old.workers != new.workers),
        ("rate-limit", old.rate_limit != new.rate_limit),
        (
            "rate-limit-loopback",
            old.rate_limit_loopback != new.rate_limit_loopback,
        ),
        (
            "strict-session-auth",
            old.strict_session_auth != new.strict_session_auth,
        ),
        ("etag", old.etag != new.etag),
        ("burst-max-bytes", old.burst_max_bytes != new.burst_max_bytes),
        ("burst-max-seconds", old.burst_max_age != new.burst_max_age),
        ("burst-rate", old.burst_rate != new.burst_rate),
        ("start-bitrate", old.start_bitrate != new.start_bitrate),
        (
            "ice-servers",
            format!("{:?}", old.ice_servers) != format!("{:?}", new.ice_servers),
        ),
        ("cors-origins", old.cors_origins != new.cors_origins),
        ("trusted-proxies", old.trusted_proxies != new.trusted_proxies),
        ("webhooks", old.webhooks != new.webhooks),
        ("webhook-secret", old.webhook_secret != new.webhook_secret),
        ("webhook-events", old.webhook_events != new.webhook_events),
        ("otlp-endpoint", old.otlp_endpoint != new.otlp_endpoint),
        ("log-format", old.log_format != new.log_format),
    ])
}

fn differing<const N: usize>(keys: [(&'static str, bool); N]) -> Vec<&'static str> {
    keys.into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
}

/// Puts what counts only from the next start on back to what is in force.
pub fn keep_until_restart(config: &mut Config, old: Config) {
    let reloaded = config.clone();
    *config = Config {
        publish_keys: reloaded.publish_keys,
        watch_keys: reloaded.watch_keys,
        admin_keys: reloaded.admin_keys,
        tokens: reloaded.tokens,
        hook: reloaded.hook,
        anyone_may: reloaded.anyone_may,
        outgoing_networks: reloaded.outgoing_networks,
        on_conflict: reloaded.on_conflict,
        require_publisher: reloaded.require_publisher,
        max_sessions: reloaded.max_sessions,
        max_viewers_per_stream: reloaded.max_viewers_per_stream,
        max_handshakes: reloaded.max_handshakes,
        log: reloaded.log,
        ..old
    };
}

impl TryFrom<&Config> for ServerConfig {
    type Error = SettingsError;

    fn try_from(config: &Config) -> Result<Self, SettingsError> {
        let control = control(config);
        let engine = EngineConfig {
            buffer: BufferLimits {
                max_bytes: config.burst_max_bytes,
                max_age: config.burst_max_age,
                ..BufferLimits::default()
            },
            run_up: RunUpLimits {
                rate: config.burst_rate.0,
            },
            adaptation: AdaptationLimits {
                start: (config.start_bitrate.0 > 0).then_some(config.start_bitrate),
            },
        };
        let origins = config
            .cors_origins
            .iter()
            .map(|origin| origin.as_str().to_owned())
            .collect::<Vec<_>>();
        let api = HttpConfig {
            version: env!("CARGO_PKG_VERSION").into(),
            media_port: config.media.port(),
            keys: keys(config)?.into(),
            strict_session_auth: config.strict_session_auth,
            etag_mode: config.etag,
            ice_servers: config.ice_servers.clone(),
            cors_origins: if origins.is_empty() {
                CorsOrigins::Any
            } else {
                CorsOrigins::Only(origins)
            },
            rate_limit: config.rate_limit,
            rate_limit_loopback: config.rate_limit_loopback,
            trusted_proxies: config.trusted_proxies.clone(),
            // The running program, also when the file it came from was replaced.
            decoder: Some("/proc/self/exe".into()),
            reloader: None,
        };
        Ok(Self {
            http: config.http,
            media: config.media,
            workers: config.workers,
            control,
            engine,
            api,
            webhooks: WebhookSettings {
                urls: config.webhooks.clone(),
                networks: config.outgoing_networks.clone(),
                secret: config.webhook_secret.as_ref().map_or("", Secret::reveal).into(),
                names: config.webhook_events.clone(),
                ..WebhookSettings::default()
            },
        })
    }
}

fn ring(keys: &[Key]) -> KeyRing {
    let mut ring = KeyRing::default();
    for Key { stream, key } in keys {
        match (key.reveal().strip_prefix(DIGEST).and_then(digest), stream) {
            (Some(digest), stream) => ring.add_digest(stream.clone(), digest),
            (None, Some(stream)) => ring.add_for(stream.clone(), key.reveal()),
            (None, None) => ring.add(key.reveal()),
        }
    }
    ring
}

/// 64 hexadecimal digits.
fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    for (byte, digits) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    (hex.len() == 64).then_some(digest)
}
