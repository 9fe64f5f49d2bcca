//! Flags that several subcommands share, and how their values are read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::client::offer::VideoCodec;
use crate::client::publisher::PublisherMedia;
use crate::source::VideoSource;
use crate::source::file::{AudioFile, VideoFile};
use crate::source::mp4::Sound;
use crate::source::synthetic::VideoPlan;

/// The synthetic stream.
#[derive(Clone, Debug, clap::Args)]
pub struct StreamArgs {
    /// Video codec to send: h264 or vp8; none sends audio only
    #[arg(long, default_value = "h264", value_parser = published_codec)]
    pub video: PublishedVideo,
    /// Video bitrate in bits per second: 2500k, 4M
    #[arg(long, default_value = "2500k", value_parser = bitrate)]
    pub bitrate: u64,
    /// Frames per second
    #[arg(long, default_value_t = 30.0)]
    pub fps: f64,
    /// Time between keyframes: 2s, 500ms
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub keyframe_interval: Duration,
    /// Send Opus-like audio, 50 packets a second (the default)
    #[arg(long, overrides_with = "no_audio")]
    audio: bool,
    /// Send no audio
    #[arg(long)]
    no_audio: bool,
    /// Video from a file, looped, in place of the synthetic one: MP4 (with its audio, if Opus), IVF, or Annex B
    /// (.h264, .h265) at --fps
    #[arg(long, conflicts_with_all = ["video", "bitrate", "keyframe_interval", "simulcast"])]
    pub video_file: Option<PathBuf>,
    /// Audio from a file, looped: Ogg Opus, or MP4 with Opus
    #[arg(long, conflicts_with = "no_audio")]
    pub audio_file: Option<PathBuf>,
    /// Send the synthetic video in three layers (rids q, h, f)
    #[arg(long)]
    pub simulcast: bool,
    /// Behave as OBS: ignore keyframe requests, no RTX, no candidates in the offer
    #[arg(long)]
    pub obs_like: bool,
    /// Percentage of media packets not sent the first time
    #[arg(long, default_value_t = 0.0)]
    pub loss: f64,
}

/// A codec we can make, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishedVideo {
    None,
    Codec(VideoCodec),
}

impl StreamArgs {
    pub fn media(&self) -> anyhow::Result<PublisherMedia> {
        anyhow::ensure!(
            self.fps > 0.0 && self.fps <= 1000.0,
            "--fps must be between 0 and 1000"
        );
        anyhow::ensure!(
            (0.0..100.0).contains(&self.loss),
            "--loss is a percentage below 100"
        );
        anyhow::ensure!(
            self.keyframe_interval > Duration::ZERO,
            "--keyframe-interval must not be 0"
        );
        let files = Files::read(self.video_file.as_deref(), self.audio_file.as_deref(), self.fps)?;
        let video = match (self.video, files.video) {
            (_, Some(file)) => Some(VideoSource::File(file)),
            (PublishedVideo::None, None) => None,
            (PublishedVideo::Codec(codec), None) => Some(VideoSource::Synthetic(VideoPlan {
                codec,
                bitrate: self.bitrate,
                fps: self.fps,
                keyframe_interval: self.keyframe_interval.as_secs_f64(),
            })),
        };
        anyhow::ensure!(
            video.is_some() || !self.no_audio,
            "neither video nor audio is left to send"
        );
        Ok(PublisherMedia {
            video,
            audio: !self.no_audio,
            audio_file: files.audio,
            simulcast: self.simulcast,
            obs_like: self.obs_like,
            loss: self.loss / 100.0,
        })
    }
}

/// What the files named for a publisher hold.
pub struct Files {
    pub video: Option<Arc<VideoFile>>,
    pub audio: Option<Arc<AudioFile>>,
}

impl Files {
    /// A video file brings its own sound along unless an audio file is named.
    pub fn read(video: Option<&Path>, audio: Option<&Path>, fps: f64) -> anyhow::Result<Self> {
        let cannot = |path: &Path| format!("{} cannot be published", path.display());
        let named = |path: &Path| AudioFile::read(path).with_context(|| cannot(path));
        let mut files = Self {
            video: None,
            audio: audio.map(named).transpose()?.map(Arc::new),
        };
        if let Some(path) = video {
            let (video, sound) = VideoFile::read(path, fps).with_context(|| cannot(path))?;
            files.video = Some(Arc::new(video));
            match sound {
                Sound::Opus(sound) if audio.is_none() => files.audio = Some(Arc::new(sound)),
                Sound::Other(codec) if audio.is_none() => eprintln!(
                    "{}: its audio is {codec:?}, and WebRTC carries only Opus. Synthetic audio is sent instead; \
                     ffmpeg -i IN -c:v copy -c:a libopus OUT.mp4 makes it Opus.",
                    path.display()
                ),
                _ => {}
            }
        }
        Ok(files)
    }
}

fn published_codec(text: &str) -> Result<PublishedVideo, String> {
    match text.to_ascii_lowercase().as_str() {
        "h264" => Ok(PublishedVideo::Codec(VideoCodec::H264)),
        "vp8" => Ok(PublishedVideo::Codec(VideoCodec::Vp8)),
        "none" => Ok(PublishedVideo::None),
        _ => Err("h264, vp8 or none".to_owned()),
    }
}

/// `2500k`, `2.5M`, `800000`.
pub fn bitrate(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.trim().to_ascii_lowercase() {
        text if text.ends_with('k') => (text.trim_end_matches('k').to_owned(), 1e3),
        text if text.ends_with('m') => (text.trim_end_matches('m').to_owned(), 1e6),
        text => (text, 1.0),
    };
    let value: f64 = number
        .parse()
        .map_err(|_| "a number such as 2500k or 4M".to_owned())?;
    let bits = value * factor;
    if !(1_000.0..=1e9).contains(&bits) {
        return Err("between 1k and 1000M".to_owned());
    }
    Ok(bits as u64)
}

/// `2s`, `500ms`, `10m`, `1h`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time such as 500ms, 10s or 5m".to_owned()),
    };
    let value: f64 = number
        .parse()
        .map_err(|_| "a time such as 500ms, 10s or 5m".to_owned())?;
    Duration::try_from_secs_f64(value * factor).map_err(|_| "a time such as 500ms, 10s or 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_are_read() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert!(duration("soon").is_err() && duration("-1s").is_err());
        assert_eq!(bitrate("2500k"), Ok(2_500_000));
        assert_eq!(bitrate("2.5M"), Ok(2_500_000));
        assert!(bitrate("fast").is_err() && bitrate("0").is_err());
    }
}
