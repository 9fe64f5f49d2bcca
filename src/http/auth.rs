//! Keys: who may publish and watch, and where a request may carry a key.
//!
//! A key is kept as its SHA-256 only, so neither a log nor a core dump of the configuration shows one, and comparing
//! takes the same time whatever the key's length.

use aws_lc_rs::digest;
use axum::extract::Query;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use subtle::{Choice, ConstantTimeEq};

use super::problem::Problem;
use crate::core::ids::StreamName;

/// The keys of a server. A ring without keys is open: anybody may. As soon as it has one, every stream needs one.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub publish: KeyRing,
    pub watch: KeyRing,
}

/// The keys for one right.
#[derive(Clone, Default)]
pub struct KeyRing {
    /// The stream a key is for (`None`: all of them), and the key's digest.
    entries: Vec<(Option<StreamName>, [u8; 32])>,
}

impl KeyRing {
    /// A key for every stream.
    pub fn add(&mut self, key: &str) {
        self.entries.push((None, sha256(key)));
    }

    /// A key for one stream. A stream can have several, and a key can be given to several streams.
    pub fn add_for(&mut self, stream: StreamName, key: &str) {
        self.entries.push((Some(stream), sha256(key)));
    }

    /// Whether no key is needed.
    pub fn is_open(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries any of the credentials opens. Looks at all of them, each in constant time.
    fn matching<'a>(&'a self, credentials: &'a Credentials) -> impl Iterator<Item = &'a Option<StreamName>> {
        self.entries.iter().filter_map(|(stream, digest)| {
            let compare = |seen, given: &[u8; 32]| seen | given[..].ct_eq(&digest[..]);
            let found = credentials
                .digests()
                .fold(Choice::from(0), |seen, given| compare(seen, &given));
            bool::from(found).then_some(stream)
        })
    }
}

/// Shows how many keys there are, not which.
impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing({} keys)", self.entries.len())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    Publish,
    Watch,
}

/// What a request presents. Deliberately without `Debug`.
pub(super) struct Credentials(Vec<String>);

impl Credentials {
    /// From `Authorization` (`Bearer` in any case, or the bare token, as Eyevinn's player sends it), `?token=` and the
    /// URL's last segment. If one of them is good, the request is: a player that adds `Bearer undefined` to a URL with
    /// a token still means the token.
    pub fn of(headers: &HeaderMap, uri: &Uri, path: Option<&str>) -> Self {
        let header = headers
            .get(header::AUTHORIZATION)
            .and_then(|v| v.to_str().ok())
            .and_then(bearer);
        let query = query_token(uri);
        let all = [header, query.as_deref(), path];
        let given = |token: &&str| !matches!(*token, "" | "undefined" | "null");
        Self(
            all.into_iter()
                .flatten()
                .map(str::trim)
                .filter(given)
                .map(Into::into)
                .collect(),
        )
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn digests(&self) -> impl Iterator<Item = [u8; 32]> {
        self.0.iter().map(|token| sha256(token))
    }
}

impl Keys {
    fn ring(&self, right: Right) -> &KeyRing {
        match right {
            Right::Publish => &self.publish,
            Right::Watch => &self.watch,
        }
    }

    /// `401` without a valid key, `403` with one for something else. Says nothing about whether the stream exists.
    pub(super) fn require(
        &self,
        right: Right,
        stream: &StreamName,
        credentials: &Credentials,
    ) -> Result<(), Problem> {
        let ring = self.ring(right);
        let opens = |of: &Option<StreamName>| of.as_ref().is_none_or(|s| s == stream);
        if ring.is_open() || ring.matching(credentials).any(opens) {
            return Ok(());
        }
        Err(self.denial(credentials))
    }

    /// Which streams the credentials may see: a test for each name.
    pub(super) fn visible(
        &self,
        credentials: &Credentials,
    ) -> Result<impl Fn(&StreamName) -> bool + use<>, Problem> {
        let opened: Vec<Option<StreamName>> = self.watch.matching(credentials).cloned().collect();
        let open = self.watch.is_open();
        if !open && opened.is_empty() {
            return Err(self.denial(credentials));
        }
        Ok(move |name: &StreamName| open || opened.iter().any(|of| of.as_ref().is_none_or(|s| s == name)))
    }

    /// The stream a publisher means who names none in the URL: the one its key is for. On an open server the token
    /// itself is the name.
    pub(super) fn stream_of(&self, credentials: &Credentials) -> Result<StreamName, Problem> {
        if self.publish.is_open() {
            let Some(name) = credentials.0.first() else {
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
        let mut streams: Vec<_> = self.publish.matching(credentials).collect();
        streams.dedup();
        match streams[..] {
            [Some(stream)] => Ok(stream.clone()),
            [] => Err(self.denial(credentials)),
            _ => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "this key is not for one stream alone: name the stream, as in /whip/{stream}",
            )),
        }
    }

    fn denial(&self, credentials: &Credentials) -> Problem {
        let known = [&self.publish, &self.watch]
            .into_iter()
            .any(|ring| ring.matching(credentials).next().is_some());
        if known {
            Problem::new(StatusCode::FORBIDDEN, "this key is not for that")
        } else if credentials.is_empty() {
            unauthorized("a key is needed, as bearer token")
        } else {
            unauthorized("the key is not valid")
        }
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail).with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"shibuki\""),
    )
}

/// The token in an `Authorization` value; none where another scheme stands.
fn bearer(value: &str) -> Option<&str> {
    let value = value.trim();
    match value.split_once(char::is_whitespace) {
        Some((scheme, token)) => scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()),
        None => (!value.eq_ignore_ascii_case("bearer")).then_some(value),
    }
}

fn query_token(uri: &Uri) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Token {
        token: String,
    }
    Query::<Token>::try_from_uri(uri).ok().map(|query| query.0.token)
}

fn sha256(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> StreamName {
        text.parse().unwrap()
    }

    fn with(token: &str) -> Credentials {
        Credentials(vec![token.into()])
    }

    fn keys() -> Keys {
        let mut keys = Keys::default();
        keys.publish.add("all");
        keys.publish.add_for(name("live"), "live-key");
        keys.watch.add_for(name("live"), "look");
        keys
    }

    #[test]
    fn a_token_is_found_wherever_clients_put_it() {
        type Case<'a> = (Option<&'a str>, &'a str, Option<&'a str>, &'a [&'a str]);
        let cases: &[Case] = &[
            (Some("Bearer k"), "/whip/a", None, &["k"]),
            (Some("bEaReR    k  "), "/whip/a", None, &["k"]),
            (Some("k"), "/whip/a", None, &["k"]),
            (Some("Bearer"), "/whip/a", None, &[]),
            (Some("Bearer undefined"), "/whip/a", None, &[]),
            (
                Some("Bearer undefined"),
                "/whip/a?x=1&token=a%20b",
                None,
                &["a b"],
            ),
            (Some("Basic dTpw"), "/whip/a", None, &[]),
            (None, "/whip/a?token=", None, &[]),
            (None, "/whip/a/k", Some("k"), &["k"]),
            (Some("Bearer h"), "/whip/a/p?token=q", Some("p"), &["h", "q", "p"]),
        ];
        for (header, uri, path, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(
                Credentials::of(&headers, &uri.parse().unwrap(), *path).0,
                *expected,
                "{header:?} {uri}"
            );
        }
    }

    #[test]
    fn a_key_opens_its_own_streams_and_nothing_else() {
        let status = |right, stream, token| {
            keys()
                .require(right, &name(stream), &with(token))
                .map_err(|problem| problem.status.as_u16())
        };
        assert_eq!(status(Right::Publish, "any", "all"), Ok(()));
        assert_eq!(status(Right::Publish, "live", "live-key"), Ok(()));
        assert_eq!(status(Right::Publish, "other", "live-key"), Err(403));
        assert_eq!(status(Right::Publish, "live", "look"), Err(403));
        assert_eq!(status(Right::Publish, "live", "wrong"), Err(401));
        assert_eq!(status(Right::Watch, "live", "look"), Ok(()));
        assert_eq!(status(Right::Watch, "other", "look"), Err(403));
        assert_eq!(status(Right::Watch, "live", "live-ke"), Err(401));
    }

    #[test]
    fn without_a_name_the_key_decides_the_stream() {
        let status = |keys: &Keys, token| {
            keys.stream_of(&with(token))
                .map_err(|problem| problem.status.as_u16())
        };
        assert_eq!(status(&Keys::default(), "mine"), Ok(name("mine")));
        assert_eq!(status(&Keys::default(), "not/a/name"), Err(422));
        assert_eq!(status(&keys(), "live-key"), Ok(name("live")));
        assert_eq!(status(&keys(), "all"), Err(403));
        assert_eq!(status(&keys(), "look"), Err(403));
        assert_eq!(status(&keys(), "mine"), Err(401));
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(
            format!("{:?}", keys()),
            "Keys { publish: KeyRing(2 keys), watch: KeyRing(1 keys) }"
        );
    }
}
