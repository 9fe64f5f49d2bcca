//! Every key there is. The doc comments are the text of `--help`; the structure is that of the file.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use ipnet::IpNet;
use serde::Deserialize;

use super::values::{CorsOrigin, Key, LogFormat, Secret, conflict_policy, etag_mode, flexible_keys};
use super::values::{ice_server, listen_address, log_filter, network, plain_keys, right, texts};
use crate::control::OnConflict;
use crate::http::auth::Right;
use crate::http::{EtagMode, IceServer};

pub(super) const DEFAULT_FILE: &str = "shibuki.toml";
pub(super) const HTTP: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8080);
pub(super) const MEDIA_ADDRESS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
pub(super) const MAX_WORKERS: usize = 256;
pub(super) const MAX_SESSIONS: usize = 10_000;
pub(super) const MAX_VIEWERS_PER_STREAM: usize = 10_000;
pub(super) const MAX_HANDSHAKES: usize = 1_000;
/// A viewer's visit is three or four requests, so this lets some 75 a minute join from behind one address.
pub(super) const RATE_LIMIT: u32 = 300;
pub(super) const BURST_MAX_BYTES: usize = 8_000_000;
/// OBS's default keyframe interval is 8.33 s.
pub(super) const BURST_MAX_SECONDS: u64 = 10;
pub(super) const BURST_RATE: u64 = 20_000_000;
/// Enough for 720p from most browsers, and what nearly every connection carries.
pub(super) const START_BITRATE: u64 = 2_000_000;
pub(super) const HOOK_TIMEOUT_MS: u64 = 3_000;
pub(super) const HOOK_CACHE_SECONDS: u64 = 10;
pub(super) const LOG: &str = "info";

/// What one source says: the file, the environment or the flags. `None`: nothing.
#[derive(Args, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Layer {
    /// Address and port for HTTP; a port alone means all addresses, of IPv4 and IPv6 [default: 8080]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listen_address, help_heading = "Network")]
    #[serde(deserialize_with = "super::values::listen")]
    pub http: Option<SocketAddr>,

    /// UDP port of all media [default: the number of the HTTP port]
    #[arg(long, value_name = "PORT", help_heading = "Network")]
    pub media_port: Option<u16>,

    /// Local address for media; :: means all, of IPv4 and IPv6, also where HTTP listens on one only [default: ::]
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub media_address: Option<IpAddr>,

    /// Addresses under which clients reach the media port when it is not an interface's own, as behind 1:1 NAT;
    /// announced before all others
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', help_heading = "Network")]
    pub public_ip: Option<Vec<IpAddr>>,

    /// Threads for media, 1 to 256 [default: one per core]
    #[arg(long, value_name = "COUNT", help_heading = "Network")]
    pub workers: Option<usize>,

    /// STUN and TURN servers announced to clients: URL, or URL|USERNAME|CREDENTIAL [default: none]
    #[arg(long, value_name = "SERVER", value_delimiter = ',', value_parser = ice_server, help_heading = "Network")]
    #[serde(deserialize_with = "super::values::ice_servers")]
    pub ice_servers: Option<Vec<IceServer>>,

    /// Reverse proxies, as addresses or networks, whose X-Forwarded-For is believed [default: none]
    #[arg(
        long,
        value_name = "NETWORK",
        value_delimiter = ',',
        value_parser = network,
        help_heading = "Network"
    )]
    #[serde(deserialize_with = "super::values::networks")]
    pub trusted_proxies: Option<Vec<IpNet>>,

    /// Networks that are not public, and that the server may call all the same for keys-hook, keys-jwks and webhooks
    /// [default: none]
    #[arg(
        long,
        value_name = "NETWORK",
        value_delimiter = ',',
        value_parser = network,
        help_heading = "Network"
    )]
    #[serde(deserialize_with = "super::values::networks")]
    pub outgoing_networks: Option<Vec<IpNet>>,

    /// URLs that are told of each event by POST, as JSON [default: none]
    #[arg(long, value_name = "URL", value_delimiter = ',', help_heading = "Events")]
    pub webhooks: Option<Vec<String>>,

    /// Secret of at least 16 characters that signs what webhooks are told (HMAC-SHA256) [default: none, not signed]
    #[arg(long, value_name = "SECRET", help_heading = "Events")]
    pub webhook_secret: Option<Secret>,

    /// The events that webhooks are told, by their names in the API's description [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = "Events")]
    pub webhook_events: Option<Vec<String>>,

    #[command(flatten)]
    pub keys: Keys,

    /// OpenTelemetry collector that is told how each session came about, by OTLP over HTTP, such as http://127.0.0.1:4318:
    /// a setting of your own, so it may be anywhere [default: none]
    #[arg(long, value_name = "URL", help_heading = "Events")]
    pub otlp_endpoint: Option<String>,

    /// Demand a key for DELETE and PATCH too, beside the session's secret URL (OBS sends none) [default: false]
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        help_heading = "Access"
    )]
    pub strict_session_auth: Option<bool>,

    /// Web origins whose pages may use the API, such as https://example.org [default: * (any)]
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', help_heading = "Access")]
    #[serde(deserialize_with = "texts")]
    pub cors_origins: Option<Vec<CorsOrigin>>,

    /// When a second publisher comes to a stream: takeover (it replaces the first, whose viewers stay), or reject
    /// (409) [default: takeover]
    #[arg(
        long,
        value_name = "POLICY",
        help_heading = "Streams",
        value_parser = conflict_policy
    )]
    #[serde(deserialize_with = "super::values::conflict")]
    pub on_conflict: Option<OnConflict>,

    /// Refuse viewers (409) while nobody publishes, instead of letting them wait [default: false]
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        help_heading = "Streams"
    )]
    pub require_publisher: Option<bool>,

    /// Most of a stream that is kept for a new viewer to start with, in bytes, 100000 to 1000000000
    /// [default: 8000000]
    #[arg(long, value_name = "BYTES", help_heading = "Streams")]
    pub burst_max_bytes: Option<usize>,

    /// Oldest keyframe with which a new viewer starts, in seconds, 0 to 120; 0: viewers wait for the next one
    /// [default: 10]
    #[arg(long, value_name = "SECONDS", help_heading = "Streams")]
    pub burst_max_seconds: Option<u64>,

    /// Speed of that burst, in bit/s, 100000 to 10000000000 [default: 20000000]
    #[arg(long, value_name = "BITRATE", help_heading = "Streams")]
    pub burst_rate: Option<u64>,

    /// What a viewer's connection is taken to carry until it is measured, in bit/s, up to 1000000000: of several
    /// layers, a new viewer starts with the best that fits. 0: nothing is adapted to the connection, every viewer gets
    /// the best layer [default: 2000000]
    #[arg(long, value_name = "BITRATE", help_heading = "Streams")]
    pub start_bitrate: Option<u64>,

    /// Sessions at once, publishers and viewers, 1 to 1000000; beyond: 503 [default: 10000]
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub max_sessions: Option<usize>,

    /// Viewers of one stream, 1 to max-sessions [default: 10000]
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub max_viewers_per_stream: Option<usize>,

    /// Sessions whose connection is not up yet, 1 to max-sessions [default: 1000]
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub max_handshakes: Option<usize>,

    /// POST, PATCH and DELETE requests per minute from one address (IPv6: one /64), 0 to 1000000; 0: no limit;
    /// beyond: 429 [default: 300]
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub rate_limit: Option<u32>,

    /// Limit clients on this machine too [default: false]
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        help_heading = "Limits"
    )]
    pub rate_limit_loopback: Option<bool>,

    /// PATCH without If-Match: lenient (accepted: many players never send it), or strict (428) [default: lenient]
    #[arg(
        long,
        value_name = "MODE",
        help_heading = "Limits",
        value_parser = etag_mode
    )]
    #[serde(deserialize_with = "super::values::etag")]
    pub etag: Option<EtagMode>,

    /// What to log: error, warn, info, debug, trace, also by module (info,shibuki::http=debug) [default: info]
    #[arg(long, value_name = "FILTER", value_parser = log_filter, help_heading = "Log")]
    pub log: Option<String>,

    /// text or json [default: text]
    #[arg(
        long,
        value_name = "FORMAT",
        help_heading = "Log",
        hide_possible_values = true
    )]
    pub log_format: Option<LogFormat>,
}

/// The file's table `[keys]`.
#[derive(Args, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Keys {
    /// Keys of which a publisher needs one, as bearer token; every user of this machine sees flags, so prefer the
    /// file or the environment [default: none, anybody may publish]
    #[arg(
        id = "keys-publish",
        long = "keys-publish",
        value_name = "KEY",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    #[serde(deserialize_with = "flexible_keys")]
    pub publish: Option<Vec<Key>>,

    /// Keys of which a viewer needs one [default: none, anybody may watch]
    #[arg(
        id = "keys-watch",
        long = "keys-watch",
        value_name = "KEY",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    #[serde(deserialize_with = "flexible_keys")]
    pub watch: Option<Vec<Key>>,

    /// Keys that open the administration's API and nothing else [default: none]
    #[arg(
        id = "keys-admin",
        long = "keys-admin",
        value_name = "KEY",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    #[serde(deserialize_with = "plain_keys")]
    pub admin: Option<Vec<Key>>,

    /// Secret of at least 32 characters with which `shibuki key new` signs keys and the server believes them
    /// (JWT, HS256) [default: none]
    #[arg(
        id = "keys-secret",
        long = "keys-secret",
        value_name = "SECRET",
        help_heading = "Access"
    )]
    pub secret: Option<Secret>,

    /// PEM files with public keys of whoever else signs keys: RSA (RS256), Ed25519 (EdDSA), P-256 (ES256)
    /// [default: none]
    #[arg(
        id = "keys-public-key",
        long = "keys-public-key",
        value_name = "FILE",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    pub public_key: Option<Vec<PathBuf>>,

    /// URL of the key set (JWKS) of an identity provider [default: none]
    #[arg(
        id = "keys-jwks",
        long = "keys-jwks",
        value_name = "URL",
        help_heading = "Access"
    )]
    pub jwks: Option<String>,

    /// The audience (aud) a signed key must name [default: none; one that names any is refused]
    #[arg(
        id = "keys-audience",
        long = "keys-audience",
        value_name = "NAME",
        help_heading = "Access"
    )]
    pub audience: Option<String>,

    /// The issuer (iss) a signed key must name [default: none, any]
    #[arg(
        id = "keys-issuer",
        long = "keys-issuer",
        value_name = "NAME",
        help_heading = "Access"
    )]
    pub issuer: Option<String>,

    /// URL that is asked who may: POST with {"right", "stream", "token"}; 2xx is yes, 401 and 403 no, anything else
    /// keeps everybody out [default: none]
    #[arg(
        id = "keys-hook",
        long = "keys-hook",
        value_name = "URL",
        help_heading = "Access"
    )]
    pub hook: Option<String>,

    /// How long the hook may take, in milliseconds, 100 to 30000 [default: 3000]
    #[arg(
        id = "keys-hook-timeout",
        long = "keys-hook-timeout",
        value_name = "MS",
        help_heading = "Access"
    )]
    pub hook_timeout: Option<u64>,

    /// How long an answer of the hook is remembered, in seconds, 0 to 3600; 0: not at all [default: 10]
    #[arg(
        id = "keys-hook-cache",
        long = "keys-hook-cache",
        value_name = "SECONDS",
        help_heading = "Access"
    )]
    pub hook_cache: Option<u64>,

    /// What needs no key although others are set: publish, watch [default: nothing]
    #[arg(
        id = "keys-anyone-may",
        long = "keys-anyone-may",
        value_name = "RIGHT",
        value_delimiter = ',',
        value_parser = right,
        help_heading = "Access"
    )]
    #[serde(deserialize_with = "super::values::rights")]
    pub anyone_may: Option<Vec<Right>>,
}
