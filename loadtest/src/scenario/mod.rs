//! A scenario: publishers and viewers together, as a TOML file describes them, and the limits they have to keep.
//!
//! - [`Scenario`] (here): the file, read and checked.
//! - [`values`]: how times, bitrates and shares are written in it.
//! - [`arrivals`]: who comes when, stays how long, behaves how.
//! - [`limits`]: what must hold, and what did not.
//! - [`limited`]: viewers on limited lines, held against the best they could get.
//! - [`run`]: carries a scenario out against one server.
//! - [`outcome`]: what came of it, as it stands in JSON.

use std::path::PathBuf;

use serde::Deserialize;

use crate::client::dtls::SrtpChoice;
use crate::client::offer::{ALL_VIDEO, Feedback, VideoCodec};
use crate::client::publisher::PublisherMedia;
use crate::client::viewer::ViewerMedia;
use crate::cmd::args;
use crate::source::VideoSource;
use crate::source::synthetic::VideoPlan;

pub mod arrivals;
pub mod limited;
pub mod limits;
pub mod outcome;
pub mod run;
pub mod values;

use limits::Limits;
use values::{Links, Percent, Rate, Time};

/// The whole file; a key that is not here is an error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    pub name: String,
    pub description: String,
    /// From the first viewer's arrival to the end.
    pub duration: Time,
    #[serde(default)]
    pub publishers: PublisherPart,
    #[serde(default)]
    pub viewers: ViewerPart,
    #[serde(default)]
    pub limits: Limits,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PublisherPart {
    /// Streams, each with one publisher.
    pub count: usize,
    pub video: PublishedCodec,
    pub bitrate: Rate,
    pub fps: f64,
    pub keyframe_interval: Time,
    pub audio: bool,
    /// In place of synthetic video: MP4 with its sound, IVF, or Annex B at `fps`.
    pub video_file: Option<PathBuf>,
    /// In place of synthetic audio: Ogg Opus, or MP4 with Opus.
    pub audio_file: Option<PathBuf>,
    /// Three layers of the synthetic video.
    pub simulcast: bool,
    pub obs_like: bool,
    /// Of media packets, not sent the first time.
    pub loss: Percent,
    pub srtp: SrtpChoice,
    /// Vanishes without a goodbye, and comes back.
    pub restart: Option<Restart>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishedCodec {
    H264,
    Vp8,
    None,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Restart {
    /// Time it is there each time but the last.
    pub after: Time,
    /// Time it is away.
    pub away: Time,
    #[serde(default = "once")]
    pub times: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ViewerPart {
    /// At a time; with a session length, who leaves is replaced.
    pub count: usize,
    pub arrival: ArrivalKind,
    /// Time in which the first `count` arrive.
    pub over: Time,
    /// Mean time a viewer stays; without it, to the end.
    pub session_length: Option<Time>,
    pub session_spread: SessionSpread,
    /// Offered codecs; all of them when empty.
    pub video: Vec<VideoCodec>,
    pub no_video: bool,
    pub audio: bool,
    pub rtx: bool,
    /// What viewers tell the server of their lines.
    pub feedback: Feedback,
    /// Lines that the viewers are on, dealt out in turn; `"free"` is an unlimited one.
    pub link: Links,
    /// Viewers that have such a line; all when not given.
    pub link_share: Option<Percent>,
    pub srtp: SrtpChoice,
    pub slow: Option<Slow>,
    pub lossy: Option<Lossy>,
    pub stalled: Option<Stalled>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ArrivalKind {
    /// At equal distances.
    Even,
    /// Independently of each other, evenly likely at any time.
    Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SessionSpread {
    /// All stay as long.
    Fixed,
    /// Most leave early and some stay long, as viewers do.
    Exponential,
}

/// Reads late.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Slow {
    pub share: Percent,
    /// Looks at its socket once in this time.
    pub every: Time,
}

/// Loses what it receives.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lossy {
    pub share: Percent,
    pub loss: Percent,
}

/// Stops reading.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stalled {
    pub share: Percent,
    /// After its connection.
    pub after: Time,
}

#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("cannot read it")]
    Unreadable(#[from] std::io::Error),
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    #[error("its [short] part: {0}")]
    Short(toml::de::Error),
    #[error("[short] is not a table")]
    ShortShape,
    #[error("{0}")]
    Senseless(String),
}

impl Scenario {
    pub fn read(path: &std::path::Path, short: bool) -> Result<Self, ScenarioError> {
        Self::parse(&std::fs::read_to_string(path)?, short)
    }

    /// `[short]` holds what differs in the short form; it is checked whichever form is asked for.
    pub fn parse(text: &str, short: bool) -> Result<Self, ScenarioError> {
        let mut table: toml::Table = text.parse()?;
        let differences = match table.remove("short") {
            Some(toml::Value::Table(differences)) => differences,
            Some(_) => return Err(ScenarioError::ShortShape),
            None => toml::Table::new(),
        };
        let mut shortened = table.clone();
        overlay(&mut shortened, differences);
        // From the text where possible: errors then name line and column.
        let full: Self = match table.clone().try_into() {
            Ok(full) => full,
            Err(error) => return Err(toml::from_str::<Self>(text).err().unwrap_or(error).into()),
        };
        let brief: Self = shortened.try_into().map_err(ScenarioError::Short)?;
        for form in [&full, &brief] {
            form.check().map_err(ScenarioError::Senseless)?;
        }
        Ok(if short { brief } else { full })
    }

    fn check(&self) -> Result<(), String> {
        let publishers = &self.publishers;
        let wrong = |text: &str| Err(text.to_owned());
        if self.duration.0.is_zero() {
            return wrong("duration must not be 0");
        }
        if publishers.count == 0 {
            return wrong("publishers.count must not be 0");
        }
        if !(publishers.fps > 0.0 && publishers.fps <= 1000.0) {
            return wrong("publishers.fps must be between 0 and 1000");
        }
        if publishers.keyframe_interval.0.is_zero() {
            return wrong("publishers.keyframe-interval must not be 0");
        }
        if publishers.simulcast && publishers.video_file.is_some() {
            return wrong("a file has no simulcast layers");
        }
        if publishers.video == PublishedCodec::None && publishers.video_file.is_none() && !publishers.audio {
            return wrong("neither video nor audio is left to publish");
        }
        if self.viewers.no_video && !self.viewers.audio {
            return wrong("neither video nor audio is left to watch");
        }
        if self
            .viewers
            .session_length
            .is_some_and(|length| length.0.is_zero())
        {
            return wrong("viewers.session-length must not be 0");
        }
        if self.viewers.impaired_share() > 1.0 {
            return wrong("the shares of slow, lossy and stalled viewers are more than 100 % together");
        }
        Ok(())
    }

    /// Reads the files it names, which are sought from the working directory.
    pub fn published(&self) -> anyhow::Result<PublisherMedia> {
        let part = &self.publishers;
        let codec = match part.video {
            PublishedCodec::H264 => Some(VideoCodec::H264),
            PublishedCodec::Vp8 => Some(VideoCodec::Vp8),
            PublishedCodec::None => None,
        };
        let files = args::Files::read(part.video_file.as_deref(), part.audio_file.as_deref(), part.fps)?;
        Ok(PublisherMedia {
            video: match files.video {
                Some(file) => Some(VideoSource::File(file)),
                None => codec.map(|codec| {
                    VideoSource::Synthetic(VideoPlan {
                        codec,
                        bitrate: part.bitrate.0,
                        fps: part.fps,
                        keyframe_interval: part.keyframe_interval.0.as_secs_f64(),
                    })
                }),
            },
            audio: part.audio,
            audio_file: files.audio,
            simulcast: part.simulcast,
            obs_like: part.obs_like,
            loss: part.loss.share(),
        })
    }

    pub fn watched(&self) -> ViewerMedia {
        let part = &self.viewers;
        let video = match (part.no_video, part.video.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => ALL_VIDEO.to_vec(),
            (false, false) => part.video.clone(),
        };
        ViewerMedia {
            video,
            audio: part.audio,
            rtx: part.rtx,
            feedback: part.feedback,
        }
    }
}

impl ViewerPart {
    /// 0 to 1, if it makes sense.
    pub fn impaired_share(&self) -> f64 {
        let shares = [
            self.slow.map(|slow| slow.share),
            self.lossy.map(|lossy| lossy.share),
            self.stalled.map(|stalled| stalled.share),
        ];
        shares.into_iter().flatten().map(Percent::share).sum()
    }
}

impl Default for PublisherPart {
    fn default() -> Self {
        Self {
            count: 1,
            video: PublishedCodec::H264,
            bitrate: Rate(2_500_000),
            fps: 30.0,
            keyframe_interval: Time::seconds(2),
            audio: true,
            video_file: None,
            audio_file: None,
            simulcast: false,
            obs_like: false,
            loss: Percent::default(),
            srtp: SrtpChoice::Both,
            restart: None,
        }
    }
}

impl Default for ViewerPart {
    fn default() -> Self {
        Self {
            count: 1,
            arrival: ArrivalKind::Even,
            over: Time::default(),
            session_length: None,
            session_spread: SessionSpread::Exponential,
            video: Vec::new(),
            no_video: false,
            audio: true,
            rtx: true,
            feedback: Feedback::default(),
            link: Links::default(),
            link_share: None,
            srtp: SrtpChoice::Both,
            slow: None,
            lossy: None,
            stalled: None,
        }
    }
}

fn once() -> u32 {
    1
}

/// Tables are merged, everything else is replaced.
fn overlay(base: &mut toml::Table, differences: toml::Table) {
    for (key, value) in differences {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(differences)) => overlay(base, differences),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
