//! Keys that stand in the configuration.
//!
//! A key is kept as its SHA-256 only, so neither a log nor a core dump of the configuration shows one, and comparing
//! takes the same time whatever the key's length.

use aws_lc_rs::digest;
use subtle::{Choice, ConstantTimeEq};

use super::Credentials;
use crate::core::ids::StreamName;

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

    /// A key of which only the SHA-256 is known.
    pub fn add_digest(&mut self, stream: Option<StreamName>, digest: [u8; 32]) {
        self.entries.push((stream, digest));
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries any of the credentials opens. Looks at all of them, each in constant time.
    pub(super) fn matching<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> impl Iterator<Item = &'a Option<StreamName>> {
        let given: Vec<[u8; 32]> = credentials.tokens().map(sha256).collect();
        self.entries.iter().filter_map(move |(stream, digest)| {
            let compare = |seen, given: &[u8; 32]| seen | given[..].ct_eq(&digest[..]);
            bool::from(given.iter().fold(Choice::from(0), compare)).then_some(stream)
        })
    }
}

/// Shows how many keys there are, not which.
impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing({} keys)", self.entries.len())
    }
}

pub(super) fn sha256(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    out
}
