//! How times, bitrates and shares are written in a scenario: as text with a unit, or as a bare number.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::client::link::Link;
use crate::cmd::args;

/// `"500ms"`, `"10s"`, `"5m"`; a bare number is seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(try_from = "Spelled")]
pub struct Time(pub Duration);

/// Bits per second: `"2500k"`, `"2.5M"`, or a bare number.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Spelled")]
pub struct Rate(pub u64);

/// `20` or `"20%"`: 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Spelled")]
pub struct Percent(pub f64);

/// One line, or several to be dealt out in turn: see [`Link`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "OneOrMany")]
pub struct Links(pub Vec<Option<Arc<Link>>>);

impl Links {
    pub fn read(texts: &[String]) -> Result<Self, String> {
        let one = |text: &String| match text.trim() {
            "free" => Ok(None),
            text => text.parse().map(|link| Some(Arc::new(link))),
        };
        texts.iter().map(one).collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl TryFrom<OneOrMany> for Links {
    type Error = String;

    fn try_from(texts: OneOrMany) -> Result<Self, String> {
        match texts {
            OneOrMany::One(text) => Self::read(&[text]),
            OneOrMany::Many(texts) => Self::read(&texts),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Spelled {
    Whole(u64),
    Number(f64),
    Text(String),
}

impl Spelled {
    fn text(self) -> String {
        match self {
            Spelled::Whole(value) => value.to_string(),
            Spelled::Number(value) => value.to_string(),
            Spelled::Text(text) => text,
        }
    }
}

impl Time {
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub fn as_millis(self) -> f64 {
        self.0.as_secs_f64() * 1e3
    }
}

impl Percent {
    /// 0 to 1.
    pub fn share(self) -> f64 {
        self.0 / 100.0
    }
}

impl TryFrom<Spelled> for Time {
    type Error = String;

    fn try_from(spelled: Spelled) -> Result<Self, String> {
        args::duration(&spelled.text()).map(Self)
    }
}

impl TryFrom<Spelled> for Rate {
    type Error = String;

    fn try_from(spelled: Spelled) -> Result<Self, String> {
        args::bitrate(&spelled.text()).map(Self)
    }
}

impl TryFrom<Spelled> for Percent {
    type Error = String;

    fn try_from(spelled: Spelled) -> Result<Self, String> {
        spelled.text().parse()
    }
}

impl std::str::FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value: f64 = text.trim_end_matches('%').trim().parse().unwrap_or(f64::NAN);
        match (0.0..=100.0).contains(&value) {
            true => Ok(Self(value)),
            false => Err("a percentage from 0 to 100".to_owned()),
        }
    }
}
