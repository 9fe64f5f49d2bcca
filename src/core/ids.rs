//! The names and numbers everything else speaks in. Two of them never mix by accident: each is its own type.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A stream's name as it stands in URLs: 1 to 64 characters of `A–Z a–z 0–9 . _ -`, not starting with a dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

/// Why a text is not a [`StreamName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamNameError {
    #[error("a stream name has 1 to 64 characters")]
    Length,
    #[error("a stream name consists of letters, digits, '.', '_' and '-' and does not start with a dot")]
    Character,
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > 64 {
            return Err(StreamNameError::Length);
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.starts_with('.') || !text.bytes().all(allowed) {
            return Err(StreamNameError::Character);
        }
        Ok(Self(text.into()))
    }
}

impl StreamName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A session's id: 128 bits from the system's generator, 32 hexadecimal digits in URLs. Knowing it authorises
/// PATCH and DELETE, so it is never logged whole: `Debug` and `Display` of [`SessionId::short`] give 8 digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u128);

impl SessionId {
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The form that stands in the session's URL.
    pub fn to_url(self) -> String {
        format!("{:032x}", self.0)
    }

    /// The first 16 digits: the session's name in the API. The other half stays secret, so it is no key.
    pub fn public(self) -> String {
        format!("{:016x}", self.0 >> 64)
    }

    /// The first 8 digits: enough to follow a session through a log, useless as a key.
    pub fn short(self) -> String {
        format!("{:08x}", self.0 >> 96)
    }
}

impl FromStr for SessionId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex {
            return Err(());
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| ())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A synchronisation source (RFC 3550 §3).
    Ssrc(u32)
);
number!(
    /// A dynamic or static RTP payload type, 0–127 (RFC 3550 §5.1).
    PayloadType(u8)
);
number!(
    /// An RTP sequence number unwrapped to 64 bits: never wraps, so it can be compared and subtracted.
    SeqNo(u64)
);
number!(
    /// Bits per second.
    Bitrate(u64)
);
number!(
    /// A worker: one thread with one UDP socket.
    WorkerId(u16)
);

macro_rules! token {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

token!(
    /// An m-section's identification tag (RFC 9143 §7.1).
    Mid
);
token!(
    /// A simulcast layer's RTP stream id (RFC 8851 §10).
    Rid
);
