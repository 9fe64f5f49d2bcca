//! What each part of the server is told of the configuration.

use super::ServerConfig;
use crate::config::{Config, Key};
use crate::control::ControlConfig;
use crate::core::egress::RunUpLimits;
use crate::core::engine::EngineConfig;
use crate::core::route::BufferLimits;
use crate::http::auth::KeyRing;
use crate::http::{CorsOrigins, HttpConfig, Keys};

impl From<&Config> for ServerConfig {
    fn from(config: &Config) -> Self {
        let control = ControlConfig {
            on_conflict: config.on_conflict,
            require_publisher: config.require_publisher,
            max_sessions: config.max_sessions,
            max_viewers_per_stream: config.max_viewers_per_stream,
            max_handshakes: config.max_handshakes,
            // Known once the media port is bound.
            candidates: Vec::new(),
        };
        let engine = EngineConfig {
            buffer: BufferLimits {
                max_bytes: config.burst_max_bytes,
                max_age: config.burst_max_age,
                ..BufferLimits::default()
            },
            run_up: RunUpLimits {
                rate: config.burst_rate.0,
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
            keys: Keys {
                publish: ring(&config.publish_keys),
                watch: ring(&config.watch_keys),
            },
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
        };
        Self {
            http: config.http,
            media: config.media,
            workers: config.workers,
            control,
            engine,
            api,
        }
    }
}

fn ring(keys: &[Key]) -> KeyRing {
    let mut ring = KeyRing::default();
    for Key { stream, key } in keys {
        match stream {
            Some(stream) => ring.add_for(stream.clone(), key.reveal()),
            None => ring.add(key.reveal()),
        }
    }
    ring
}
