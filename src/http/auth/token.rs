//! Signed keys: JSON Web Tokens (RFC 7519) that say for themselves which streams they open and until when.
//!
//! A token is verified only by keys whose own kind fits the algorithm it names (RFC 8725 §3.1): a public RSA key is
//! never taken for an HMAC secret, and `none` is no algorithm.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Right;
use crate::core::ids::StreamName;
use crate::outgoing::{Outgoing, OutgoingError};

/// RFC 7518 §3.2: as long as the hash.
const MIN_SECRET: usize = 32;
/// A browser's or OBS's header holds no more anyway.
const MAX_TOKEN: usize = 8 * 1024;
/// The issuer's clock may differ from ours by this, in seconds.
const LEEWAY: u64 = 30;
/// A key set is fetched anew after this, and at once for a key it does not have, but not more often than
/// [`JWKS_PAUSE`].
const JWKS_AGE: Duration = Duration::from_secs(600);
const JWKS_PAUSE: Duration = Duration::from_secs(15);
/// Keys looked at in one set.
const MAX_JWKS_KEYS: usize = 64;

/// What a token says.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Claims {
    /// Streams it may publish.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub publish: Scope,
    /// Streams it may watch.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub watch: Scope,
    /// It opens the administration's API, and nothing else by that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
    /// Seconds since 1970 from which on it is no good.
    pub exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
}

/// Stream names; `*` is every stream, `team-*` all that begin so. One text or a list.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(from = "OneOrMany", into = "OneOrMany")]
pub struct Scope(pub Vec<String>);

/// RFC 7519 §4.1.3.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Audience(OneOrMany);

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Scope {
    fn from(value: OneOrMany) -> Self {
        match value {
            OneOrMany::One(one) => Self(vec![one]),
            OneOrMany::Many(many) => Self(many),
        }
    }
}

impl From<Scope> for OneOrMany {
    fn from(Scope(names): Scope) -> Self {
        match <[String; 1]>::try_from(names) {
            Ok([one]) => Self::One(one),
            Err(many) => Self::Many(many),
        }
    }
}

impl Scope {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn covers(&self, stream: &StreamName) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => stream.as_str().starts_with(prefix),
            None => pattern == stream.as_str(),
        })
    }

    /// The one stream it is for, if it is for exactly one.
    pub(super) fn single(&self) -> Option<StreamName> {
        match &self.0[..] {
            [name] => name.parse().ok(),
            _ => None,
        }
    }
}

impl Claims {
    pub(super) fn allow(&self, right: Right, stream: &StreamName) -> bool {
        match right {
            Right::Publish => self.publish.covers(stream),
            Right::Watch => self.watch.covers(stream),
        }
    }
}

/// Which tokens are believed.
/// Shows which are set, not the secret.
#[derive(Clone, Default)]
pub struct TokenSettings {
    /// For HS256, at least 32 bytes; with it the server signs too.
    pub secret: Option<String>,
    /// PEM files of public keys: RSA (RS256), Ed25519 (EdDSA), P-256 (ES256).
    pub public_keys: Vec<std::path::PathBuf>,
    /// A JWK set (RFC 7517 §5).
    pub jwks: Option<String>,
    /// What a token's `aud` must name; without, a token must have none.
    pub audience: Option<String>,
    pub issuer: Option<String>,
}

impl std::fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSettings")
            .field("secret", &self.secret.as_ref().map(|_| "…"))
            .field("public_keys", &self.public_keys)
            .field("jwks", &self.jwks)
            .field("audience", &self.audience)
            .field("issuer", &self.issuer)
            .finish()
    }
}

impl TokenSettings {
    pub fn is_empty(&self) -> bool {
        self.secret.is_none() && self.public_keys.is_empty() && self.jwks.is_none()
    }
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum TokenSettingsError {
    #[error(
        "keys.secret has {0} characters; at least {MIN_SECRET} are needed, such as from `openssl rand -hex 32`"
    )]
    ShortSecret(usize),
    #[error("cannot read keys.public-key {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("keys.public-key {0} is no PEM file with a public RSA, Ed25519 or P-256 key")]
    NoKey(String),
    #[error("keys.jwks: {0}")]
    Jwks(OutgoingError),
    #[error("a token cannot be signed: {0}")]
    Sign(jsonwebtoken::errors::Error),
    #[error("without keys.secret this server signs nothing")]
    NoSecret,
}

/// Why a token opens nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    /// No token of ours, or a forged one.
    Unknown,
    Expired,
    NotYet,
    /// For another audience, or from another issuer.
    Foreign,
    /// The key set that could tell cannot be had.
    Unavailable,
}

/// Verifies tokens, and signs them where there is a secret.
pub struct Tokens {
    secret: Option<(EncodingKey, DecodingKey)>,
    public: Vec<(Algorithm, DecodingKey)>,
    jwks: Option<Arc<KeySet>>,
    audience: Option<String>,
    issuer: Option<String>,
}

struct KeySet {
    url: String,
    outgoing: Outgoing,
    state: Mutex<Fetched>,
    /// Held while the set is fetched.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Fetched {
    keys: Option<Arc<JwkSet>>,
    /// When the last fetch ended.
    tried: Option<Instant>,
}

impl Tokens {
    pub fn new(settings: &TokenSettings, outgoing: &Outgoing) -> Result<Self, TokenSettingsError> {
        let secret = match &settings.secret {
            Some(secret) if secret.len() < MIN_SECRET => {
                return Err(TokenSettingsError::ShortSecret(secret.len()));
            }
            Some(secret) => Some((
                EncodingKey::from_secret(secret.as_bytes()),
                DecodingKey::from_secret(secret.as_bytes()),
            )),
            None => None,
        };
        let public = settings
            .public_keys
            .iter()
            .map(|path| public_key(path))
            .collect::<Result<_, _>>()?;
        let jwks = match &settings.jwks {
            Some(url) => {
                outgoing.check(url).map_err(TokenSettingsError::Jwks)?;
                Some(Arc::new(KeySet {
                    url: url.clone(),
                    outgoing: outgoing.clone(),
                    state: Mutex::default(),
                    fetching: Arc::default(),
                }))
            }
            None => None,
        };
        Ok(Self {
            secret,
            public,
            jwks,
            audience: settings.audience.clone(),
            issuer: settings.issuer.clone(),
        })
    }

    /// A token with these claims, for this server's audience and in its issuer's name.
    pub fn sign(&self, mut claims: Claims) -> Result<String, TokenSettingsError> {
        let (key, _) = self.secret.as_ref().ok_or(TokenSettingsError::NoSecret)?;
        claims.aud = self.audience.clone().map(|name| Audience(OneOrMany::One(name)));
        claims.iss.clone_from(&self.issuer);
        encode(&Header::new(Algorithm::HS256), &claims, key).map_err(TokenSettingsError::Sign)
    }

    pub(super) async fn verify(&self, token: &str) -> Result<Claims, Invalid> {
        if token.len() > MAX_TOKEN || token.bytes().filter(|b| *b == b'.').count() != 2 {
            return Err(Invalid::Unknown);
        }
        let header = decode_header(token).map_err(|_| Invalid::Unknown)?;
        let mut outcome = Err(Invalid::Unknown);
        let fixed = match header.alg {
            Algorithm::HS256 => self.secret.iter().map(|(_, key)| key).collect(),
            alg => self.public_for(alg),
        };
        for key in fixed {
            outcome = self.decode(token, header.alg, key);
            if outcome != Err(Invalid::Unknown) {
                return outcome;
            }
        }
        let Some(jwks) = self.jwks.as_ref().filter(|_| is_asymmetric(header.alg)) else {
            return outcome;
        };
        for key in jwks.candidates(header.alg, header.kid.as_deref()).await? {
            outcome = self.decode(token, header.alg, &key);
            if outcome != Err(Invalid::Unknown) {
                return outcome;
            }
        }
        outcome
    }

    fn public_for(&self, alg: Algorithm) -> Vec<&DecodingKey> {
        let fitting = self.public.iter().filter(|(known, _)| *known == alg);
        fitting.map(|(_, key)| key).collect()
    }

    fn decode(&self, token: &str, alg: Algorithm, key: &DecodingKey) -> Result<Claims, Invalid> {
        use jsonwebtoken::errors::ErrorKind;
        let mut validation = Validation::new(alg);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".into());
        }
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".into());
        }
        match decode::<Claims>(token, key, &validation) {
            Ok(data) => Ok(data.claims),
            Err(error) => Err(match error.kind() {
                ErrorKind::ExpiredSignature => Invalid::Expired,
                ErrorKind::ImmatureSignature => Invalid::NotYet,
                ErrorKind::InvalidAudience | ErrorKind::InvalidIssuer => Invalid::Foreign,
                ErrorKind::MissingRequiredClaim(claim) if claim == "aud" || claim == "iss" => {
                    Invalid::Foreign
                }
                _ => Invalid::Unknown,
            }),
        }
    }
}

#[cfg(test)]
impl Tokens {
    /// As if the pause between two fetches of the key set were over.
    pub fn as_if_later(&self, by: Duration) {
        if let Some(jwks) = &self.jwks {
            let mut state = jwks.state();
            state.tried = state.tried.and_then(|at| at.checked_sub(by));
        }
    }
}

/// Those of which a public key may verify.
fn is_asymmetric(alg: Algorithm) -> bool {
    matches!(alg, Algorithm::RS256 | Algorithm::EdDSA | Algorithm::ES256)
}

fn public_key(path: &Path) -> Result<(Algorithm, DecodingKey), TokenSettingsError> {
    let name = path.display().to_string();
    let pem = std::fs::read(path).map_err(|source| TokenSettingsError::Read {
        path: name.clone(),
        source,
    })?;
    type Read = fn(&[u8]) -> jsonwebtoken::errors::Result<DecodingKey>;
    let kinds: [(Algorithm, Read); 3] = [
        (Algorithm::RS256, DecodingKey::from_rsa_pem),
        (Algorithm::EdDSA, DecodingKey::from_ed_pem),
        (Algorithm::ES256, DecodingKey::from_ec_pem),
    ];
    kinds
        .into_iter()
        .find_map(|(alg, read)| Some((alg, read(&pem).ok()?)))
        .ok_or(TokenSettingsError::NoKey(name))
}

impl KeySet {
    /// The set's keys that may have signed.
    ///
    /// Nobody waits for a fetch but who needs it: whose key is not in the set that was fetched before.
    async fn candidates(
        self: &Arc<Self>,
        alg: Algorithm,
        kid: Option<&str>,
    ) -> Result<Vec<DecodingKey>, Invalid> {
        let (known, due) = self.look_up(kid);
        if due {
            self.begin_fetch(kid);
            if !known {
                drop(self.fetching.lock().await);
            }
        }
        let keys = self.state().keys.clone().ok_or(Invalid::Unavailable)?;
        let fits = |jwk: &&Jwk| {
            let same = kid.is_none() || jwk.common.key_id.as_deref() == kid;
            let named = jwk.common.key_algorithm.map(|named| named.to_string());
            same && named.is_none_or(|named| named == format!("{alg:?}"))
        };
        Ok(keys
            .keys
            .iter()
            .take(MAX_JWKS_KEYS)
            .filter(fits)
            .filter_map(|jwk| DecodingKey::from_jwk(jwk).ok())
            .filter(|key| key.family() == alg.family())
            .collect())
    }

    /// Whether there is a set with the key, and whether the set should be fetched.
    fn look_up(&self, kid: Option<&str>) -> (bool, bool) {
        let state = self.state();
        let has = |keys: &Arc<JwkSet>| kid.is_none_or(|kid| keys.find(kid).is_some());
        let known = state.keys.as_ref().is_some_and(has);
        let pause = if known { JWKS_AGE } else { JWKS_PAUSE };
        (known, state.tried.is_none_or(|at| at.elapsed() >= pause))
    }

    /// One fetch at a time, in a task of its own: it ends also when the request that wanted it is gone.
    fn begin_fetch(self: &Arc<Self>, kid: Option<&str>) {
        let Ok(one) = self.fetching.clone().try_lock_owned() else {
            return;
        };
        // Another one may have ended just now.
        if !self.look_up(kid).1 {
            return;
        }
        let set = self.clone();
        tokio::spawn(async move {
            let fetched = set.fetch().await;
            let mut state = set.state();
            state.tried = Some(Instant::now());
            match fetched {
                Ok(keys) => state.keys = Some(Arc::new(keys)),
                // What was fetched before stays good: an identity provider's pause is no reason to lock all out.
                Err(error) => tracing::warn!(%error, "keys.jwks cannot be fetched"),
            }
            drop(state);
            drop(one);
        });
    }

    fn state(&self) -> MutexGuard<'_, Fetched> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let request = self.outgoing.get(&self.url).map_err(|error| error.to_string())?;
        let (status, body) = self
            .outgoing
            .send(request)
            .await
            .map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("{} answered {status}", self.url));
        }
        serde_json::from_slice(&body).map_err(|error| format!("{} is no JWK set: {error}", self.url))
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(…)")
    }
}
