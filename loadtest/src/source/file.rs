//! Streams from files, looped: IVF (VP8, VP9, AV1), Annex B (H.264, H.265), Ogg Opus; MP4 by [`super::mp4`].

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use rtc::rtp::codec::av1::Av1Payloader;
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::codec::h265::HevcPayloader;
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::packetizer::Payloader;

use super::mp4::{self, Sound};
use crate::client::offer::VideoCodec;

/// Whole files are held in memory, once for all publishers.
const MAX_FILE: u64 = 1 << 30;
/// What claims to last longer is broken.
const MAX_LENGTH: Duration = Duration::from_secs(24 * 3600);
const MIN_FRAME_TIME: Duration = Duration::from_millis(1);

/// A video, as frames in order of time.
#[derive(Debug)]
pub struct VideoFile {
    pub codec: VideoCodec,
    pub frames: Vec<FileFrame>,
    /// After which it begins again.
    pub length: Duration,
}

#[derive(Clone, Debug)]
pub struct FileFrame {
    /// When it is sent, from the file's beginning.
    pub at: Duration,
    /// When it is shown; other than `at` where frames are stored in another order than they are shown in (B-frames).
    pub shown: Duration,
    pub keyframe: bool,
    pub data: Bytes,
}

/// Opus packets with the 48 kHz samples each stands for.
#[derive(Debug)]
pub struct AudioFile {
    pub packets: Vec<(u32, Bytes)>,
}

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read it")]
    Io(#[from] std::io::Error),
    #[error("it is larger than 1 GB")]
    TooLarge,
    #[error("neither IVF, nor MP4, nor Annex B named .h264, .264, .h265, .265 or .hevc")]
    UnknownVideo,
    #[error("its codec {0:?} is none of VP80, VP90 and AV01")]
    UnknownCodec(String),
    #[error("its video codec {0:?} is none of avc1, hvc1, hev1, vp08, vp09 and av01")]
    Mp4Codec(String),
    #[error("broken MP4: {0}")]
    Mp4(String),
    #[error("its times span more than a day")]
    TooLong,
    #[error("it has no video")]
    NoVideo,
    #[error("it has no audio")]
    NoAudio,
    #[error("its audio is {0:?}, and WebRTC carries only Opus: ffmpeg -i IN -c:v copy -c:a libopus OUT.mp4")]
    NotOpusBut(String),
    #[error("it ends inside frame {0}")]
    Cut(usize),
    #[error("it holds no frames")]
    Empty,
    #[error("it does not begin with a keyframe")]
    NoKeyframe,
    #[error("not Ogg")]
    Ogg(#[from] ogg::OggReadError),
    #[error("its first stream is not Opus")]
    NotOpus,
}

impl VideoFile {
    /// The video, and the sound that comes with it. `fps` is for Annex B, which tells no times.
    pub fn read(path: &Path, fps: f64) -> Result<(Self, Sound), FileError> {
        let bytes = &read(path)?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        let (mut file, sound) = match extension.map(str::to_ascii_lowercase).as_deref() {
            _ if bytes.starts_with(b"DKIF") => (ivf(bytes)?, Sound::None),
            _ if mp4::is_mp4(bytes) => {
                let movie = mp4::parse(bytes)?;
                (movie.video.ok_or(FileError::NoVideo)?, movie.sound)
            }
            Some("h264" | "264" | "avc") => (annex_b(VideoCodec::H264, bytes, fps), Sound::None),
            Some("h265" | "265" | "hevc") => (annex_b(VideoCodec::H265, bytes, fps), Sound::None),
            _ => return Err(FileError::UnknownVideo),
        };
        file.check()?;
        Ok((file, sound))
    }

    /// Whether it can be sent: begins with a keyframe, and with times that make sense.
    pub fn check(&mut self) -> Result<(), FileError> {
        let first = self.frames.first().ok_or(FileError::Empty)?;
        if !first.keyframe {
            return Err(FileError::NoKeyframe);
        }
        let longest = self.frames.iter().map(|frame| frame.at.max(frame.shown)).max();
        if longest.max(Some(self.length)) > Some(MAX_LENGTH) {
            return Err(FileError::TooLong);
        }
        // All of them at once, again and again, would be more than a thread can send.
        self.length = self
            .length
            .max(MIN_FRAME_TIME.saturating_mul(self.frames.len() as u32));
        Ok(())
    }

    /// Cuts frames into RTP payloads; one for each publisher, since some count pictures.
    pub fn payloader(&self) -> Box<dyn Payloader> {
        match self.codec {
            VideoCodec::Vp8 => {
                let mut payloader = Vp8Payloader::default();
                payloader.enable_picture_id = true;
                Box::new(payloader)
            }
            VideoCodec::Vp9 => Box::new(Vp9Cutter::default()),
            VideoCodec::H264 => Box::new(H264Payloader::default()),
            VideoCodec::H265 => Box::new(HevcPayloader),
            VideoCodec::Av1 => Box::new(Av1Payloader {}),
        }
    }

    /// When frame `number` is due, counted on through the repetitions, and the frame.
    pub fn frame(&self, number: u64) -> Option<(Duration, &FileFrame)> {
        let count = self.frames.len().max(1) as u64;
        let frame = self.frames.get((number % count) as usize)?;
        Some((self.round(number).saturating_add(frame.at), frame))
    }

    /// When the repetition began that frame `number` belongs to.
    pub fn round(&self, number: u64) -> Duration {
        let rounds = number / self.frames.len().max(1) as u64;
        self.length
            .saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }
}

impl From<shiguredo_mp4::Error> for FileError {
    /// Without the place in the parser's source, which tells a user nothing.
    fn from(error: shiguredo_mp4::Error) -> Self {
        let inside = error
            .box_type
            .map(|kind| format!("in its box {kind}: "))
            .unwrap_or_default();
        let reason = match error.reason.as_str() {
            "" => format!("{:?}", error.kind),
            reason => reason.to_owned(),
        };
        FileError::Mp4(inside + &reason)
    }
}

impl AudioFile {
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let bytes = read(path)?;
        if !mp4::is_mp4(&bytes) {
            return Self::parse(&bytes);
        }
        match mp4::parse(&bytes)?.sound {
            Sound::Opus(audio) => Ok(audio),
            Sound::Other(codec) => Err(FileError::NotOpusBut(codec)),
            Sound::None => Err(FileError::NoAudio),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, FileError> {
        let mut reader = ogg::PacketReader::new(std::io::Cursor::new(bytes));
        let first = reader.read_packet()?.ok_or(FileError::Empty)?;
        if !first.data.starts_with(b"OpusHead") {
            return Err(FileError::NotOpus);
        }
        let mut packets = Vec::new();
        while let Some(packet) = reader.read_packet()? {
            let samples = opus_samples(&packet.data);
            if packet.stream_serial() == first.stream_serial()
                && !packet.data.starts_with(b"OpusTags")
                && let Some(samples) = samples.filter(|samples| *samples > 0)
            {
                packets.push((samples, packet.data.into()));
            }
        }
        if packets.is_empty() {
            return Err(FileError::Empty);
        }
        Ok(Self { packets })
    }
}

/// VP9 payloads in non-flexible mode (RFC 9628 §4.2). The stack's own payloader never sets P, so that every frame
/// would look like a keyframe to a server.
#[derive(Clone, Debug, Default)]
struct Vp9Cutter {
    picture_id: u16,
}

impl Payloader for Vp9Cutter {
    fn payload(&mut self, mtu: usize, frame: &Bytes) -> rtc::shared::error::Result<Vec<Bytes>> {
        const DESCRIPTOR: usize = 3;
        let inter = if is_keyframe(VideoCodec::Vp9, frame) {
            0
        } else {
            0x40
        };
        let pieces: Vec<&[u8]> = frame.chunks(mtu.saturating_sub(DESCRIPTOR).max(1)).collect();
        let last = pieces.len().saturating_sub(1);
        let payloads = pieces.iter().enumerate().map(|(index, piece)| {
            // I and P; B on the first, E on the last; a picture id of 15 bits (M).
            let edges = if index == 0 { 0x08 } else { 0 } | if index == last { 0x04 } else { 0 };
            let [high, low] = (self.picture_id | 0x8000).to_be_bytes();
            [&[0x80 | inter | edges, high, low], *piece].concat().into()
        });
        let payloads = payloads.collect();
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        Ok(payloads)
    }

    fn clone_to(&self) -> Box<dyn Payloader> {
        Box::new(self.clone())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    if std::fs::metadata(path)?.len() > MAX_FILE {
        return Err(FileError::TooLarge);
    }
    Ok(std::fs::read(path)?)
}

/// A 32-byte header, then frames with 12 bytes of header each; times in units of the header's time base.
fn ivf(bytes: &[u8]) -> Result<VideoFile, FileError> {
    let number = |at: usize| {
        let four: Option<[u8; 4]> = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
        four.map(u32::from_le_bytes).ok_or(FileError::Empty)
    };
    let name = bytes.get(8..12).ok_or(FileError::Empty)?;
    let codec = match name {
        b"VP80" => VideoCodec::Vp8,
        b"VP90" => VideoCodec::Vp9,
        b"AV01" => VideoCodec::Av1,
        other => {
            return Err(FileError::UnknownCodec(
                String::from_utf8_lossy(other).into_owned(),
            ));
        }
    };
    let header = bytes
        .get(6..8)
        .map_or(32, |two| usize::from(two[0]) | usize::from(two[1]) << 8);
    let (rate, scale) = (number(16)?.max(1), number(20)?.max(1));
    let tick = f64::from(scale) / f64::from(rate);
    let mut rest = bytes.get(header.max(32)..).ok_or(FileError::Empty)?;
    let mut frames: Vec<FileFrame> = Vec::new();
    while let Some((size, after)) = rest.split_first_chunk::<4>() {
        let cut = || FileError::Cut(frames.len());
        let (time, after) = after.split_first_chunk::<8>().ok_or_else(cut)?;
        let size = u32::from_le_bytes(*size) as usize;
        let (data, after) = after.split_at_checked(size).ok_or_else(cut)?;
        let at = Duration::try_from_secs_f64(u64::from_le_bytes(*time) as f64 * tick).unwrap_or_default();
        frames.push(FileFrame {
            at,
            shown: at,
            keyframe: is_keyframe(codec, data),
            data: Bytes::copy_from_slice(data),
        });
        rest = after;
    }
    let start = frames.first().map_or(Duration::ZERO, |frame| frame.at);
    frames.iter_mut().for_each(|frame| {
        frame.at = frame.at.saturating_sub(start);
        frame.shown = frame.at;
    });
    let end = frames.last().map_or(Duration::ZERO, |frame| frame.at);
    // The last frame stands as long as an average one.
    let mean = end.checked_div(frames.len().saturating_sub(1) as u32);
    let length = end
        + mean
            .unwrap_or(Duration::from_millis(33))
            .max(Duration::from_millis(1));
    Ok(VideoFile {
        codec,
        frames,
        length,
    })
}

pub fn is_keyframe(codec: VideoCodec, data: &[u8]) -> bool {
    let Some(first) = data.first() else { return false };
    match codec {
        // RFC 6386 §9.1.
        VideoCodec::Vp8 => first & 1 == 0,
        // frame_marker 2, profile 0 to 2, show_existing_frame 0, frame_type 0.
        VideoCodec::Vp9 => first >> 6 == 2 && first & 0x0c == 0,
        // A sequence header, alone at the head or behind a temporal delimiter (12 00).
        VideoCodec::Av1 => {
            let kind = |byte: Option<&u8>| byte.map(|byte| byte >> 3 & 0x0f);
            kind(Some(first)) == Some(1) || (kind(Some(first)) == Some(2) && kind(data.get(2)) == Some(1))
        }
        VideoCodec::H264 | VideoCodec::H265 => false,
    }
}

/// Groups NAL units into pictures: whatever stands before a first slice belongs to its picture.
fn annex_b(codec: VideoCodec, bytes: &[u8], fps: f64) -> VideoFile {
    let mut pictures: Vec<(bool, Vec<u8>)> = Vec::new();
    let mut current: Vec<u8> = Vec::new();
    let (mut has_slice, mut keyframe) = (false, false);
    for unit in nal_units(bytes) {
        let slice = slice(codec, unit);
        let begins = match slice {
            Some((first, _)) => first,
            // Parameter sets, delimiters and messages stand before slices; only suffixes stand behind.
            None => true,
        };
        if begins && has_slice {
            pictures.push((keyframe, std::mem::take(&mut current)));
            (has_slice, keyframe) = (false, false);
        }
        if let Some((_, key)) = slice {
            has_slice = true;
            keyframe |= key;
        }
        current.extend_from_slice(&[0, 0, 0, 1]);
        current.extend_from_slice(unit);
    }
    if has_slice {
        pictures.push((keyframe, current));
    }
    let at = |index: usize| Duration::from_secs_f64(index as f64 / fps);
    let length = at(pictures.len());
    let frames = pictures
        .into_iter()
        .enumerate()
        .map(|(index, (keyframe, data))| FileFrame {
            at: at(index),
            shown: at(index),
            keyframe,
            data: data.into(),
        });
    VideoFile {
        codec,
        frames: frames.collect(),
        length,
    }
}

/// For a slice: whether it is a picture's first, and whether of a random access point.
fn slice(codec: VideoCodec, unit: &[u8]) -> Option<(bool, bool)> {
    let first = *unit.first()?;
    match codec {
        VideoCodec::H265 => {
            let kind = first >> 1 & 0x3f;
            (kind < 32).then(|| {
                (
                    unit.get(2).is_some_and(|byte| byte & 0x80 != 0),
                    (16..=21).contains(&kind),
                )
            })
        }
        _ => {
            let kind = first & 0x1f;
            (1..=5)
                .contains(&kind)
                .then(|| (unit.get(1).is_some_and(|byte| byte & 0x80 != 0), kind == 5))
        }
    }
}

/// What stands between start codes, of two bytes and more: shorter ones are no NAL units.
fn nal_units(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| rest.windows(3).position(|three| three == [0, 0, 1]))
    {
        starts.push(at + found + 3);
        at += found + 3;
    }
    let ends: Vec<usize> = starts
        .iter()
        .skip(1)
        .map(|start| start - 3)
        .chain([bytes.len()])
        .collect();
    let units = starts.into_iter().zip(ends).filter_map(|(start, end)| {
        let mut unit = bytes.get(start..end)?;
        while let [rest @ .., 0] = unit {
            unit = rest;
        }
        Some(unit)
    });
    units.filter(|unit| unit.len() >= 2)
}

/// 48 kHz samples of an Opus packet (RFC 6716 §3.1).
pub fn opus_samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        12..=15 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    Some(frame * count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ivf_file(codec: &[u8; 4], frames: &[&[u8]]) -> Vec<u8> {
        let mut bytes = b"DKIF\0\0\x20\0".to_vec();
        bytes.extend_from_slice(codec);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&30u32.to_le_bytes());
        bytes.extend_from_slice(&1u32.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        for (index, frame) in frames.iter().enumerate() {
            bytes.extend_from_slice(&(frame.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&(index as u64 + 7).to_le_bytes());
            bytes.extend_from_slice(frame);
        }
        bytes
    }

    #[test]
    fn ivf_frames_have_their_times_and_loop() {
        let file = ivf(&ivf_file(b"VP80", &[&[0x10, 1, 2], &[0x11, 1], &[0x11]])).expect("a file");
        let keys: Vec<bool> = file.frames.iter().map(|frame| frame.keyframe).collect();
        assert_eq!((file.codec, keys), (VideoCodec::Vp8, vec![true, false, false]));
        assert_eq!(file.length.as_millis(), 100);
        let due: Vec<u128> = (0..5)
            .map(|n| file.frame(n).expect("a frame").0.as_millis())
            .collect();
        assert_eq!(due, [0, 33, 66, 100, 133]);
    }

    #[test]
    fn broken_files_say_what_is_wrong() {
        let whole = ivf_file(b"VP80", &[&[0x10, 1, 2], &[0x11, 1]]);
        let cut = ivf(&whole[..whole.len() - 1]).expect_err("cut");
        assert_eq!(cut.to_string(), "it ends inside frame 1");
        assert!(matches!(
            ivf(&ivf_file(b"MJPG", &[])),
            Err(FileError::UnknownCodec(_))
        ));
        for end in 0..whole.len() {
            let _ = ivf(&whole[..end]);
            let _ = AudioFile::parse(&whole[..end]);
        }
        assert!(AudioFile::parse(b"no ogg at all").is_err());
    }

    #[test]
    fn annex_b_units_are_grouped_into_pictures() {
        let units: [&[u8]; 7] = [
            &[0x67, 1],
            &[0x68, 1],
            &[0x65, 0x88, 1],
            &[0x65, 0x08, 2],
            &[0x41, 0x9a, 3],
            &[0x06, 1],
            &[0x41, 0x9a, 4],
        ];
        let mut bytes = Vec::new();
        for unit in units {
            bytes.extend_from_slice(&[0, 0, 0, 1]);
            bytes.extend_from_slice(unit);
        }
        let file = annex_b(VideoCodec::H264, &bytes, 25.0);
        let keys: Vec<bool> = file.frames.iter().map(|frame| frame.keyframe).collect();
        assert_eq!((keys, file.length.as_millis()), (vec![true, false, false], 120));
        assert!(file.frames[2].data.ends_with(&[0x41, 0x9a, 4]));
        let payloads = file
            .payloader()
            .payload(1150, &file.frames[0].data)
            .expect("payloads");
        assert!(
            payloads.len() >= 3,
            "parameter sets together, two slices: {payloads:?}"
        );
    }

    #[test]
    fn packets_of_every_codec_show_their_keyframes() {
        use crate::client::keyframe::inspect;
        let key: [(VideoCodec, bool, Vec<u8>); 8] = [
            (VideoCodec::Vp8, true, vec![0x10; 3000]),
            (VideoCodec::Vp8, false, vec![0x11; 3000]),
            (VideoCodec::Vp9, true, vec![0x82; 3000]),
            (VideoCodec::Vp9, false, vec![0x86; 3000]),
            (VideoCodec::Av1, true, vec![0x12, 0, 0x0a, 2, 1, 1, 0x32, 2, 7, 7]),
            (VideoCodec::Av1, false, vec![0x12, 0, 0x32, 2, 7, 7]),
            (VideoCodec::H265, true, vec![0, 0, 0, 1, 0x26, 1, 0xaf, 9]),
            (VideoCodec::H265, false, vec![0, 0, 0, 1, 0x02, 1, 0xaf, 9]),
        ];
        for (codec, keyframe, data) in key {
            if codec != VideoCodec::H265 {
                assert_eq!(is_keyframe(codec, &data), keyframe, "{codec:?}");
            }
            let file = VideoFile {
                codec,
                frames: Vec::new(),
                length: Duration::ZERO,
            };
            let payloads = file.payloader().payload(1150, &data.into()).expect("payloads");
            let first = payloads.first().expect("a payload");
            assert_eq!(
                inspect(codec, first).key,
                keyframe,
                "{codec:?} {:x?}",
                &first[..3]
            );
            assert!(payloads.iter().all(|payload| payload.len() <= 1150));
        }
    }

    #[test]
    fn opus_durations_follow_the_table() {
        assert_eq!(opus_samples(&[0xfc]), Some(960));
        assert_eq!(opus_samples(&[0x03, 0x02]), Some(960));
        assert_eq!((opus_samples(&[]), opus_samples(&[0x03])), (None, None));
    }
}
