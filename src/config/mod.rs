//! The configuration: one validated struct, from defaults < TOML file < `SHIBUKI_*` environment < flags.
//!
//! - [`layer`]: every key with its meaning, unit, range and default: the text of `--help`. One struct serves the
//!   file, the environment and the flags.
//! - [`merge`]: one source over another, and the ranges. [`flags`]: the command line.
//! - [`file`]: the TOML file; unknown keys by line.
//! - [`environment`]: the variables; unknown ones by name.
//! - [`values`]: the types of values that are more than numbers.
//!
//! A key is spelled `on-conflict` in the file, `--on-conflict` as a flag and `SHIBUKI_ON_CONFLICT` in the
//! environment. A key of the file's table `[keys]`, such as `publish`, is `--keys-publish` and
//! `SHIBUKI_KEYS_PUBLISH`. The file is the one named by `--config` or `SHIBUKI_CONFIG`, else `shibuki.toml` in the
//! working directory if there is one.
//!
//! What is not known is an error naming the nearest known key, wherever it stands: a limit that was misspelled and
//! silently not applied is worse than a server that does not start.

mod environment;
mod file;
mod flags;
mod layer;
mod merge;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{CommandFactory, Parser};
use ipnet::IpNet;

use crate::control::OnConflict;
use crate::core::ids::Bitrate;
use crate::http::auth::{HookSettings, Right, TokenSettings};
use crate::http::{EtagMode, IceServer};
use flags::Flags;
pub use flags::{Command, KeyCommand, NewKey};
use layer::{DEFAULT_FILE, Layer};
pub use values::{CorsOrigin, DIGEST, Key, LogFormat, Secret};

/// Everything the server can be told, complete and consistent. The fields are the keys of `shibuki --help`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Where media is received: `media-address` and `media-port`. All addresses even if HTTP has only one: behind
    /// a reverse proxy media comes directly all the same.
    pub media: SocketAddr,
    pub public_ips: Vec<IpAddr>,
    pub workers: usize,
    pub on_conflict: OnConflict,
    pub require_publisher: bool,
    pub max_sessions: usize,
    pub max_viewers_per_stream: usize,
    pub max_handshakes: usize,
    /// Per minute and address; `None`: no limit.
    pub rate_limit: Option<NonZeroU32>,
    pub rate_limit_loopback: bool,
    /// Empty: anybody may publish.
    pub publish_keys: Vec<Key>,
    /// Empty: anybody may watch.
    pub watch_keys: Vec<Key>,
    pub admin_keys: Vec<Key>,
    pub tokens: TokenSettings,
    pub hook: Option<HookSettings>,
    /// Need no key, whatever else is configured.
    pub anyone_may: Vec<Right>,
    /// May be called although they are not public.
    pub outgoing_networks: Vec<IpNet>,
    /// URLs that are told what happens.
    pub webhooks: Vec<String>,
    pub webhook_secret: Option<Secret>,
    /// Empty: all.
    pub webhook_events: Vec<String>,
    /// Base URL of an OpenTelemetry collector.
    pub otlp_endpoint: Option<String>,
    pub strict_session_auth: bool,
    pub etag: EtagMode,
    pub burst_max_bytes: usize,
    pub burst_max_age: Duration,
    pub burst_rate: Bitrate,
    /// 0: no adaptation to viewers' connections.
    pub start_bitrate: Bitrate,
    pub ice_servers: Vec<IceServer>,
    /// Empty: any origin.
    pub cors_origins: Vec<CorsOrigin>,
    pub trusted_proxies: Vec<IpNet>,
    pub log: String,
    pub log_format: LogFormat,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

/// Why there is no configuration. The text is for the person who wrote it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Wrong flags, or `--help` and `--version`, which are no failures: [`clap::Error::exit`] knows.
    #[error(transparent)]
    Flags(#[from] clap::Error),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// Begins with the file and, where known, the line.
    #[error("{0}")]
    File(String),
    /// Begins with the variable.
    #[error("{0}")]
    Environment(String),
    #[error("{0}")]
    Invalid(String),
}

impl Config {
    /// From what the process was started with. `args` begins with the program's name; `directory` is where
    /// `shibuki.toml` is looked for.
    pub fn load(
        args: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        directory: &Path,
    ) -> Result<Self, ConfigError> {
        Self::load_with_command(args, environment, directory).map(|(config, _)| config)
    }

    /// As [`load`](Self::load), and what is to be done instead of serving.
    pub fn load_with_command(
        args: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        directory: &Path,
    ) -> Result<(Self, Option<Command>), ConfigError> {
        let flags = Flags::try_parse_from(args)?;
        let check_flags = |problem: merge::Problem| {
            let message = format!("invalid value for '--{}': {}", problem.key, problem.message);
            Flags::command().error(clap::error::ErrorKind::ValueValidation, message)
        };
        flags.layer.check().map_err(check_flags)?;
        let variables = environment::parse(environment)?;

        let named = flags.config.or(variables.config);
        let found = || Some(directory.join(DEFAULT_FILE)).filter(|path| path.is_file());
        let path = named.or_else(found);
        let from_file = match &path {
            Some(path) => {
                let read = std::fs::read_to_string(path);
                let text = read.map_err(|source| ConfigError::Read {
                    path: path.clone(),
                    source,
                })?;
                file::parse(path, &text)?
            }
            None => Layer::default(),
        };
        let merged = flags.layer.over(variables.layer).over(from_file);
        Ok((Self::complete(merged, path)?, flags.command))
    }

    /// Defaults for what is not set, and what the layers can only be told together.
    fn complete(layer: Layer, file: Option<PathBuf>) -> Result<Self, ConfigError> {
        let http = layer.http.unwrap_or(layer::HTTP);
        let media_address = layer.media_address.unwrap_or(layer::MEDIA_ADDRESS);
        let public_ips = layer.public_ip.unwrap_or_default();
        if let Some(ip) = public_ips.iter().find(|ip| !reachable_by(**ip, media_address)) {
            return Err(ConfigError::Invalid(format!(
                "public-ip {ip} and media-address {media_address} are of different families: nothing sent to the \
                 former would arrive"
            )));
        }
        let rate_limit = NonZeroU32::new(layer.rate_limit.unwrap_or(layer::RATE_LIMIT));
        let rate_limit_loopback = layer.rate_limit_loopback.unwrap_or(false);
        if rate_limit.is_none() && rate_limit_loopback {
            return Err(ConfigError::Invalid(
                "rate-limit-loopback is set, but rate-limit 0 means that nobody is limited".into(),
            ));
        }
        let max_sessions = layer.max_sessions.unwrap_or(layer::MAX_SESSIONS);
        let within_sessions = |value: Option<usize>, default: usize, key: &str| match value {
            Some(value) if value > max_sessions => Err(ConfigError::Invalid(format!(
                "{key} {value} is more than max-sessions {max_sessions}"
            ))),
            Some(value) => Ok(value),
            None => Ok(default.min(max_sessions)),
        };
        let viewers = layer.max_viewers_per_stream;
        let max_viewers_per_stream =
            within_sessions(viewers, layer::MAX_VIEWERS_PER_STREAM, "max-viewers-per-stream")?;
        let max_handshakes = within_sessions(layer.max_handshakes, layer::MAX_HANDSHAKES, "max-handshakes")?;
        let cors_origins = layer.cors_origins.unwrap_or_default();
        let any_origin = cors_origins.iter().any(CorsOrigin::is_any);

        Ok(Self {
            http,
            media: (media_address, layer.media_port.unwrap_or(http.port())).into(),
            public_ips,
            workers: layer.workers.unwrap_or_else(cores),
            on_conflict: layer.on_conflict.unwrap_or_default(),
            require_publisher: layer.require_publisher.unwrap_or(false),
            max_sessions,
            max_viewers_per_stream,
            max_handshakes,
            rate_limit,
            rate_limit_loopback,
            publish_keys: layer.keys.publish.unwrap_or_default(),
            watch_keys: layer.keys.watch.unwrap_or_default(),
            admin_keys: layer.keys.admin.unwrap_or_default(),
            tokens: TokenSettings {
                secret: layer.keys.secret.map(|secret| secret.reveal().to_owned()),
                public_keys: layer.keys.public_key.unwrap_or_default(),
                jwks: layer.keys.jwks,
                audience: layer.keys.audience,
                issuer: layer.keys.issuer,
            },
            hook: layer.keys.hook.map(|url| HookSettings {
                url,
                timeout: Duration::from_millis(layer.keys.hook_timeout.unwrap_or(layer::HOOK_TIMEOUT_MS)),
                cache: Duration::from_secs(layer.keys.hook_cache.unwrap_or(layer::HOOK_CACHE_SECONDS)),
            }),
            anyone_may: layer.keys.anyone_may.unwrap_or_default(),
            outgoing_networks: layer.outgoing_networks.unwrap_or_default(),
            webhooks: layer.webhooks.unwrap_or_default(),
            webhook_secret: layer.webhook_secret,
            webhook_events: layer.webhook_events.unwrap_or_default(),
            otlp_endpoint: layer.otlp_endpoint,
            strict_session_auth: layer.strict_session_auth.unwrap_or(false),
            etag: layer.etag.unwrap_or_default(),
            burst_max_bytes: layer.burst_max_bytes.unwrap_or(layer::BURST_MAX_BYTES),
            burst_max_age: Duration::from_secs(layer.burst_max_seconds.unwrap_or(layer::BURST_MAX_SECONDS)),
            burst_rate: Bitrate(layer.burst_rate.unwrap_or(layer::BURST_RATE)),
            start_bitrate: Bitrate(layer.start_bitrate.unwrap_or(layer::START_BITRATE)),
            ice_servers: layer.ice_servers.unwrap_or_default(),
            cors_origins: if any_origin { Vec::new() } else { cors_origins },
            trusted_proxies: layer.trusted_proxies.unwrap_or_default(),
            log: layer.log.unwrap_or_else(|| layer::LOG.into()),
            log_format: layer.log_format.unwrap_or_default(),
            file,
        })
    }
}

/// Whether what is sent to `public` can end at a socket bound to `bound`: `[::]` takes both families.
fn reachable_by(public: IpAddr, bound: IpAddr) -> bool {
    public.is_ipv4() == bound.is_ipv4() || (bound.is_ipv6() && bound.is_unspecified())
}

fn cores() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(layer::MAX_WORKERS)
}
