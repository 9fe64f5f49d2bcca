//! How well a viewer plays its part: as a browser with a good line does, or in one of the ways real viewers trouble
//! a server.

use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Behaviour {
    #[default]
    Well,
    /// Looks at its socket only once in this time.
    Slow { every: Duration },
    /// Drops this share of the media it gets (0–1) before decryption, as a bad line does.
    Lossy { share: f64 },
    /// Neither reads nor sends any more from this time after its connection on, as a stopped process.
    Stalled { after: Duration },
}

/// A behaviour without its figures, for reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Well,
    /// Behaves well, on a limited line.
    Limited,
    Slow,
    Lossy,
    Stalled,
}

impl Behaviour {
    pub fn kind(self) -> Kind {
        match self {
            Behaviour::Well => Kind::Well,
            Behaviour::Slow { .. } => Kind::Slow,
            Behaviour::Lossy { .. } => Kind::Lossy,
            Behaviour::Stalled { .. } => Kind::Stalled,
        }
    }
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Well => "well",
            Kind::Limited => "limited",
            Kind::Slow => "slow",
            Kind::Lossy => "lossy",
            Kind::Stalled => "stalled",
        }
    }
}
