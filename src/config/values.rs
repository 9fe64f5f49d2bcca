//! Values that are more than a number: each is read from one text the same way in the file, in the environment and
//! as a flag.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use tracing_subscriber::EnvFilter;

use crate::control::OnConflict;
use crate::core::ids::StreamName;
use crate::http::auth::Right;
use crate::http::{EtagMode, IceServer};

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Before a key's SHA-256 in hexadecimal digits, given instead of the key.
pub const DIGEST: &str = "sha256:";

/// A key to publish, watch or administer: 1 to 256 visible ASCII characters, so that it can stand in a header; or
/// [`DIGEST`] and its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `None`: every stream.
    pub stream: Option<StreamName>,
    pub key: Secret,
}

impl FromStr for Key {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(digest) = text.strip_prefix(DIGEST)
            && !(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return Err("sha256: is followed by 64 hexadecimal digits");
        }
        if !(1..=256).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a key has 1 to 256 characters, of ASCII and without spaces");
        }
        Ok(Self {
            stream: None,
            key: Secret(text.to_owned()),
        })
    }
}

/// A web origin (RFC 6454 §6.2), or `*` for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsOrigin(String);

impl CorsOrigin {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

impl FromStr for CorsOrigin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let host = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let is_host = |host: &str| {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/,".contains(&b))
        };
        if text != "*" && !host.is_some_and(is_host) {
            return Err("an origin is a scheme and a host, such as https://example.org, or *");
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

pub(super) fn conflict_policy(text: &str) -> Result<OnConflict, &'static str> {
    match text {
        "takeover" => Ok(OnConflict::Takeover),
        "reject" => Ok(OnConflict::Reject),
        _ => Err("expected takeover or reject"),
    }
}

/// A stream's name, `*`, or the beginning of names and `*`.
pub(super) fn scope(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('*').unwrap_or(text);
    if text != "*" {
        name.parse::<StreamName>().map_err(|error| error.to_string())?;
    }
    Ok(text.to_owned())
}

/// From a minute to ten years.
pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| format!("{error}; such as 30d or 12h"))?;
    let bounds = Duration::from_secs(60)..=Duration::from_secs(10 * 366 * 24 * 3600);
    if !bounds.contains(&lifetime) {
        return Err("a key is good for a minute at least and ten years at most".into());
    }
    Ok(lifetime)
}

pub(super) fn right(text: &str) -> Result<Right, &'static str> {
    match text {
        "publish" => Ok(Right::Publish),
        "watch" => Ok(Right::Watch),
        _ => Err("expected publish or watch"),
    }
}

pub(super) fn rights<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Right>>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| right(text).map_err(de::Error::custom))
        .collect::<Result<_, _>>()
        .map(Some)
}

pub(super) fn etag_mode(text: &str) -> Result<EtagMode, &'static str> {
    match text {
        "lenient" => Ok(EtagMode::Lenient),
        "strict" => Ok(EtagMode::Strict),
        _ => Err("expected lenient or strict"),
    }
}

/// `URL`, or `URL|USERNAME|CREDENTIAL`.
pub(super) fn ice_server(text: &str) -> Result<IceServer, String> {
    let mut parts = text.split('|').map(str::to_owned);
    let url = parts.next().unwrap_or_default();
    let server = IceServer {
        url,
        username: parts.next(),
        credential: parts.next(),
    };
    if parts.next().is_some() {
        return Err("an ICE server is URL or URL|USERNAME|CREDENTIAL".into());
    }
    server.link().map_err(|error| error.to_string())?;
    Ok(server)
}

/// `ADDRESS:PORT`, or a port alone for all addresses.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    let port_alone = || {
        text.trim_start_matches(':')
            .parse()
            .map(|port: u16| (Ipv6Addr::UNSPECIFIED, port).into())
    };
    text.parse()
        .or_else(|_| port_alone())
        .map_err(|_| "expected an address and a port, such as 0.0.0.0:8080")
}

/// A network in CIDR notation, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, &'static str> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| address())
        .map_err(|_| "expected an address or a network, such as 10.0.0.0/8")
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// `; did you mean 'on-conflict'?`, or the nothing that may follow an unknown name.
pub(super) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> String {
    // As clap does for flags: below this they have nothing to do with each other.
    const ALIKE: f64 = 0.7;
    let score = |name: &'a str| (strsim::jaro_winkler(written, name), name);
    let best = known
        .map(score)
        .filter(|(score, _)| *score > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, name)| format!("; did you mean '{name}'?"))
        .unwrap_or_default()
}

pub(super) fn conflict<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OnConflict>, D::Error> {
    let text = String::deserialize(deserializer)?;
    conflict_policy(&text).map(Some).map_err(de::Error::custom)
}

pub(super) fn etag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<EtagMode>, D::Error> {
    let text = String::deserialize(deserializer)?;
    etag_mode(&text).map(Some).map_err(de::Error::custom)
}

pub(super) fn ice_servers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<IceServer>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        url: String,
        username: Option<String>,
        credential: Option<String>,
    }
    let entries = Vec::<Entry>::deserialize(deserializer)?;
    let server = |Entry {
                      url,
                      username,
                      credential,
                  }| {
        let server = IceServer {
            url,
            username,
            credential,
        };
        server.link().map_err(de::Error::custom)?;
        Ok(server)
    };
    entries
        .into_iter()
        .map(server)
        .collect::<Result<_, _>>()
        .map(Some)
}

pub(super) fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    struct Listen;
    impl Visitor<'_> for Listen {
        type Value = SocketAddr;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an address and a port, such as \"0.0.0.0:8080\", or a port")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<SocketAddr, E> {
            listen_address(text).map_err(E::custom)
        }

        fn visit_i64<E: de::Error>(self, port: i64) -> Result<SocketAddr, E> {
            listen_address(&port.to_string()).map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Listen).map(Some)
}

pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<IpNet>>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| network(text).map_err(de::Error::custom))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// A list of texts, each a `T`.
pub(super) fn texts<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| text.parse().map_err(de::Error::custom))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// One key, a list of them, or a table of streams with one or a list each, where `"*"` is every stream.
pub(super) fn flexible_keys<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Key>>, D::Error> {
    deserializer.deserialize_any(KeysVisitor).map(Some)
}

/// One key or a list of them: not for single streams.
pub(super) fn plain_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Key>>, D::Error> {
    StreamKeys::deserialize(deserializer).map(|StreamKeys(keys)| Some(keys))
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Vec<Key>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key, a list of keys, or a table of streams and their keys")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<Key>, E> {
        text.parse().map(|key| vec![key]).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Key>, A::Error> {
        let mut keys = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            keys.push(text.parse().map_err(de::Error::custom)?);
        }
        Ok(keys)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Vec<Key>, A::Error> {
        let table = de::value::MapAccessDeserializer::new(table);
        let streams = BTreeMap::<String, StreamKeys>::deserialize(table)?;
        let mut keys = Vec::new();
        for (stream, StreamKeys(list)) in streams {
            let name = match stream.as_str() {
                "*" => None,
                name => Some(
                    name.parse::<StreamName>()
                        .map_err(|e| de::Error::custom(format!("{name}: {e}")))?,
                ),
            };
            keys.extend(list.into_iter().map(|key| Key {
                stream: name.clone(),
                ..key
            }));
        }
        Ok(keys)
    }
}

/// What one stream has: a key or a list.
struct StreamKeys(Vec<Key>);

impl<'de> Deserialize<'de> for StreamKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = deserializer.deserialize_any(KeysVisitor)?;
        if keys.iter().any(|key| key.stream.is_some()) {
            return Err(de::Error::custom("expected a key or a list of keys"));
        }
        Ok(Self(keys))
    }
}
