//! MP4, plain and fragmented: the frames of its first video in decoding order, and its sound if that is Opus.
//!
//! `shiguredo_mp4` reads the boxes; what they claim is held against the file here, so that a broken one costs no more
//! than its own size, and no work beyond that.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use shiguredo_mp4::aux::SampleTableAccessor;
use shiguredo_mp4::boxes::{HdlrBox, MoofBox, MoovBox, SampleEntry, StblBox, StszBox, TrakBox, TrexBox};
use shiguredo_mp4::{BaseBox, BoxHeader, BoxType, Decode};

use super::file::{AudioFile, FileError, FileFrame, VideoFile, opus_samples};
use crate::client::offer::VideoCodec;

/// Frames may grow by start codes and parameter sets: by less than this factor in any sane file.
const MAX_GROWTH: usize = 4;

/// What an MP4 file holds.
#[derive(Debug)]
pub struct Movie {
    pub video: Option<VideoFile>,
    pub sound: Sound,
}

#[derive(Debug)]
pub enum Sound {
    None,
    Opus(AudioFile),
    /// In a codec that WebRTC does not have, by the name of its sample entry.
    Other(String),
}

/// Whether these are the first bytes of an MP4 file.
pub fn is_mp4(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"ftyp")
}

pub fn parse(bytes: &[u8]) -> Result<Movie, FileError> {
    let boxes = top_level(bytes)?;
    let found = boxes.iter().find(|(kind, _)| *kind == MoovBox::TYPE);
    let (_, moov) = found.ok_or(FileError::Mp4(
        "it has no index (moov); was its recording finished?".into(),
    ))?;
    let (moov, _) = MoovBox::decode(slice(bytes, moov)?)?;
    let mut tracks = Vec::new();
    for trak in &moov.trak_boxes {
        let trex = moov.mvex_box.as_ref().and_then(|mvex| {
            let of_this = |trex: &&TrexBox| trex.track_id == trak.tkhd_box.track_id;
            mvex.trex_boxes.iter().find(of_this)
        });
        tracks.extend(Track::read(trak, trex, bytes.len())?);
    }
    for (_, range) in boxes.iter().filter(|(kind, _)| *kind == MoofBox::TYPE) {
        fragment(slice(bytes, range)?, range.start, bytes.len(), &mut tracks)?;
    }
    let video = tracks.iter().find(|track| track.codec().is_some());
    if video.is_none()
        && let Some(other) = tracks.iter().find(|track| track.is_video)
    {
        return Err(FileError::Mp4Codec(other.entry.box_type().to_string()));
    }
    let mut video = video.map(|track| track.frames(bytes)).transpose()?;
    video.as_mut().map(VideoFile::check).transpose()?;
    let opus = tracks
        .iter()
        .find(|track| matches!(track.entry, SampleEntry::Opus(_)));
    let sound = match (opus, tracks.iter().find(|track| !track.is_video)) {
        (Some(opus), _) => Sound::Opus(opus.packets(bytes)?),
        (None, Some(other)) => Sound::Other(other.entry.box_type().to_string()),
        (None, None) => Sound::None,
    };
    let (video, sound) = match (video, sound) {
        (Some(video), Sound::Opus(audio)) => {
            let (video, audio) = as_long_as_each_other(video, audio);
            (Some(video), Sound::Opus(audio))
        }
        other => other,
    };
    Ok(Movie { video, sound })
}

/// So that sound and picture stay together however often both begin again.
fn as_long_as_each_other(mut video: VideoFile, mut audio: AudioFile) -> (VideoFile, AudioFile) {
    // RFC 6716 §3.1: a CELT frame for fullband stereo without anything in it.
    const SILENCE: &[u8] = &[0xfc, 0xff, 0xfe];
    let wanted = (video.length.as_secs_f64() * 48_000.0) as u64;
    let mut samples = 0;
    audio.packets.retain(|(count, _)| {
        let within = samples < wanted;
        samples += if within { u64::from(*count) } else { 0 };
        within
    });
    // One packet stands for the whole rest, as with discontinuous transmission.
    if let Ok(rest @ 1..) = u32::try_from(wanted.saturating_sub(samples)) {
        audio.packets.push((rest, Bytes::from_static(SILENCE)));
        samples += u64::from(rest);
    }
    video.length = video.length.max(ticks(samples, 48_000));
    (video, audio)
}

struct Track {
    id: u32,
    is_video: bool,
    timescale: u32,
    /// Of the first sample; a track that changes its codec midway is not supported by RTP either.
    entry: SampleEntry,
    trex: Option<TrexBox>,
    samples: Vec<Sample>,
    /// Where the next fragment goes on that does not say when it is.
    next_time: u64,
}

struct Sample {
    /// When it is decoded, in ticks of the track.
    time: u64,
    duration: u32,
    /// From decoding to presentation.
    offset: i64,
    keyframe: bool,
    place: Range<usize>,
}

impl Track {
    /// None for what is neither video nor audio.
    fn read(trak: &TrakBox, trex: Option<&TrexBox>, file: usize) -> Result<Option<Self>, FileError> {
        let media = &trak.mdia_box;
        let is_video = match media.hdlr_box.handler_type {
            HdlrBox::HANDLER_TYPE_VIDE => true,
            HdlrBox::HANDLER_TYPE_SOUN => false,
            _ => return Ok(None),
        };
        let table = &media.minf_box.stbl_box;
        let Some(entry) = table.stsd_box.entries.first() else {
            return Ok(None);
        };
        let mut track = Self {
            id: trak.tkhd_box.track_id,
            is_video,
            timescale: media.mdhd_box.timescale.get(),
            entry: entry.clone(),
            trex: trex.cloned(),
            samples: Vec::new(),
            next_time: 0,
        };
        track.read_table(table, file)?;
        Ok(Some(track))
    }

    fn read_table(&mut self, table: &StblBox, file: usize) -> Result<(), FileError> {
        // A table of equal sizes claims any number of samples in eight bytes.
        if let StszBox::Fixed { sample_count, .. } = table.stsz_box
            && sample_count as usize > file
        {
            return Err(FileError::Mp4(format!("it claims {sample_count} samples")));
        }
        let table = SampleTableAccessor::new(table).map_err(|error| FileError::Mp4(error.to_string()))?;
        for sample in table.samples() {
            let sample = Sample {
                time: sample.timestamp(),
                duration: sample.duration(),
                offset: sample.composition_time_offset().unwrap_or(0),
                keyframe: sample.is_sync_sample(),
                place: place(sample.data_offset(), sample.data_size(), file)?,
            };
            self.next_time = sample.time.saturating_add(u64::from(sample.duration));
            self.samples.push(sample);
        }
        Ok(())
    }

    fn codec(&self) -> Option<VideoCodec> {
        match self.entry {
            SampleEntry::Avc1(_) => Some(VideoCodec::H264),
            SampleEntry::Hev1(_) | SampleEntry::Hvc1(_) => Some(VideoCodec::H265),
            SampleEntry::Vp08(_) => Some(VideoCodec::Vp8),
            SampleEntry::Vp09(_) => Some(VideoCodec::Vp9),
            SampleEntry::Av01(_) => Some(VideoCodec::Av1),
            _ => None,
        }
    }

    fn frames(&self, bytes: &[u8]) -> Result<VideoFile, FileError> {
        let codec = self.codec().ok_or(FileError::UnknownVideo)?;
        let form = Form::of(&self.entry);
        let mut room = bytes.len().saturating_mul(MAX_GROWTH);
        let start = self.samples.first().map_or(0, |sample| sample.time);
        let shown = |sample: &Sample| i128::from(sample.time) + i128::from(sample.offset);
        let first_shown = self.samples.iter().map(shown).min().unwrap_or_default();
        let mut frames: Vec<FileFrame> = Vec::new();
        let (mut latest, mut length) = (Duration::ZERO, Duration::ZERO);
        for (index, sample) in self.samples.iter().enumerate() {
            let data = form
                .frame(slice(bytes, &sample.place)?, sample.keyframe)
                .ok_or(FileError::Cut(index))?;
            room = room.checked_sub(data.len()).ok_or_else(overlap)?;
            latest = latest.max(ticks(sample.time.saturating_sub(start), self.timescale));
            length = latest + ticks(u64::from(sample.duration), self.timescale);
            let shown = u64::try_from(shown(sample) - first_shown).unwrap_or(u64::MAX);
            frames.push(FileFrame {
                at: latest,
                shown: ticks(shown, self.timescale),
                keyframe: sample.keyframe,
                data: data.into(),
            });
        }
        Ok(VideoFile {
            codec,
            frames,
            length,
        })
    }

    fn packets(&self, bytes: &[u8]) -> Result<AudioFile, FileError> {
        let mut room = bytes.len();
        let mut packets = Vec::new();
        for sample in &self.samples {
            let data = slice(bytes, &sample.place)?;
            room = room.checked_sub(data.len()).ok_or_else(overlap)?;
            if let Some(samples) = opus_samples(data).filter(|samples| *samples > 0) {
                packets.push((samples, Bytes::copy_from_slice(data)));
            }
        }
        if packets.is_empty() {
            return Err(FileError::Empty);
        }
        Ok(AudioFile { packets })
    }
}

/// How a codec's frames lie in the file, and what a stream needs before a keyframe.
enum Form {
    /// As they are sent; the head is set before a keyframe that has no sequence header of its own.
    Plain { head: Vec<u8> },
    /// NAL units behind their lengths (ISO 14496-15), and the parameter sets that stand outside of them.
    Units {
        h265: bool,
        length_bytes: usize,
        sets: Vec<u8>,
    },
}

impl Form {
    fn of(entry: &SampleEntry) -> Self {
        let units = |h265: bool, length_minus_one: u8, sets: &mut dyn Iterator<Item = &Vec<u8>>| {
            let mut all = Vec::new();
            sets.for_each(|unit| push_unit(&mut all, unit));
            Form::Units {
                h265,
                length_bytes: usize::from(length_minus_one) + 1,
                sets: all,
            }
        };
        match entry {
            SampleEntry::Avc1(avc) => {
                let avc = &avc.avcc_box;
                let sets = &mut avc.sps_list.iter().chain(&avc.pps_list);
                units(false, avc.length_size_minus_one.get(), sets)
            }
            SampleEntry::Hev1(_) | SampleEntry::Hvc1(_) => {
                let config = match entry {
                    SampleEntry::Hev1(hevc) => &hevc.hvcc_box,
                    SampleEntry::Hvc1(hevc) => &hevc.hvcc_box,
                    _ => return Form::Plain { head: Vec::new() },
                };
                let sets = &mut config.nalu_arrays.iter().flat_map(|array| &array.nalus);
                units(true, config.length_size_minus_one.get(), sets)
            }
            SampleEntry::Av01(av1) => Form::Plain {
                head: av1.av1c_box.config_obus.clone(),
            },
            _ => Form::Plain { head: Vec::new() },
        }
    }

    /// None when the sample ends inside a unit.
    fn frame(&self, sample: &[u8], keyframe: bool) -> Option<Vec<u8>> {
        let (h265, length_bytes, sets) = match self {
            Form::Plain { head } => {
                let bare = keyframe && !head.is_empty() && !begins_with_sequence_header(sample);
                let head = if bare { &head[..] } else { &[] };
                return Some([head, sample].concat());
            }
            Form::Units {
                h265,
                length_bytes,
                sets,
            } => (*h265, *length_bytes, sets),
        };
        let mut frame = Vec::with_capacity(sample.len() + 16);
        let mut has_sets = false;
        let mut rest = sample;
        while !rest.is_empty() {
            let (length, after) = rest.split_at_checked(length_bytes)?;
            let length = length
                .iter()
                .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
            let (unit, after) = after.split_at_checked(length)?;
            has_sets |= unit.first().is_some_and(|first| match h265 {
                true => first >> 1 & 0x3f == 33,
                false => first & 0x1f == 7,
            });
            // Shorter ones are no NAL units; muxers leave empty ones behind.
            if unit.len() >= 2 {
                push_unit(&mut frame, unit);
            }
            rest = after;
        }
        if keyframe && !has_sets {
            frame.splice(0..0, sets.iter().copied());
        }
        Some(frame)
    }
}

fn push_unit(out: &mut Vec<u8>, unit: &[u8]) {
    out.extend_from_slice(&[0, 0, 0, 1]);
    out.extend_from_slice(unit);
}

/// An AV1 sample with a sequence header at its head, or behind a temporal delimiter.
fn begins_with_sequence_header(sample: &[u8]) -> bool {
    let kind = |byte: Option<&u8>| byte.map(|byte| byte >> 3 & 0x0f);
    match kind(sample.first()) {
        Some(2) => kind(sample.get(2)) == Some(1),
        first => first == Some(1),
    }
}

/// The file's outermost boxes.
fn top_level(bytes: &[u8]) -> Result<Vec<(BoxType, Range<usize>)>, FileError> {
    children(bytes).collect()
}

/// Each box in `bytes`, until there is none or one that does not fit.
fn children(bytes: &[u8]) -> impl Iterator<Item = Result<(BoxType, Range<usize>), FileError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let found = BoxHeader::decode(rest)
            .map_err(FileError::from)
            .and_then(|(header, _)| {
                let size = match header.box_size.get() {
                    0 => rest.len(),
                    size => usize::try_from(size).unwrap_or(usize::MAX),
                };
                let end = at.checked_add(size).filter(|end| *end <= bytes.len());
                end.map(|end| (header.box_type, at..end))
                    .ok_or_else(|| FileError::Mp4(format!("it ends inside its box {}", header.box_type)))
            });
        at = found.as_ref().map_or(bytes.len(), |(_, range)| range.end);
        Some(found)
    })
}

/// Takes the samples of a fragment whose `moof` box lies at `at` in the file.
fn fragment(moof: &[u8], at: usize, file: usize, tracks: &mut [Track]) -> Result<(), FileError> {
    check_runs(moof, file)?;
    let (moof, _) = MoofBox::decode(moof)?;
    let mut end_of_last = at as u64;
    for traf in &moof.traf_boxes {
        let head = &traf.tfhd_box;
        // ISO 14496-12 §8.8.7.1: given, or the moof, or where the fragment before it ended.
        let base = match head.base_data_offset {
            Some(base) => base,
            None if head.default_base_is_moof => at as u64,
            None => end_of_last,
        };
        let Some(track) = tracks.iter_mut().find(|track| track.id == head.track_id) else {
            continue;
        };
        let default = track.trex.clone();
        let default = default.as_ref();
        let mut time = traf
            .tfdt_box
            .as_ref()
            .map_or(track.next_time, |tfdt| tfdt.base_media_decode_time);
        let mut data = base;
        for run in &traf.trun_boxes {
            if let Some(offset) = run.data_offset {
                data = base.saturating_add_signed(i64::from(offset));
            }
            for (index, sample) in run.samples.iter().enumerate() {
                let size = sample.size.or(head.default_sample_size);
                let size = size.or(default.map(|trex| trex.default_sample_size)).unwrap_or(0);
                let duration = sample.duration.or(head.default_sample_duration);
                let duration = duration
                    .or(default.map(|trex| trex.default_sample_duration))
                    .unwrap_or(0);
                let flags = run.first_sample_flags.filter(|_| index == 0).or(sample.flags);
                let flags = flags.or(head.default_sample_flags);
                let flags = flags.or(default.map(|trex| trex.default_sample_flags));
                track.samples.push(Sample {
                    time,
                    duration,
                    offset: sample.composition_time_offset.unwrap_or(0),
                    keyframe: flags.is_some_and(|flags| !flags.sample_is_non_sync_sample()),
                    place: place(data, size, file)?,
                });
                data = data.saturating_add(u64::from(size));
                time = time.saturating_add(u64::from(duration));
            }
        }
        if track.samples.len() > file {
            return Err(overlap());
        }
        (track.next_time, end_of_last) = (time, data);
    }
    Ok(())
}

/// A run whose samples are all alike claims any number of them in four bytes, and would be decoded into as many
/// entries.
fn check_runs(moof: &[u8], file: usize) -> Result<(), FileError> {
    const OWN_FIELDS: u8 = 0x0f;
    let mut claimed: usize = 0;
    for traf in inside(moof, b"traf")? {
        for run in inside(traf, b"trun")? {
            // Behind the header: version, flags (the second byte of three: fields of each sample), count.
            let fields = run.get(10).copied().unwrap_or_default();
            let count = run
                .get(12..16)
                .and_then(|count| count.try_into().ok())
                .map_or(0, u32::from_be_bytes);
            if fields & OWN_FIELDS == 0 {
                claimed = claimed.saturating_add(count as usize);
            }
        }
    }
    if claimed > file {
        return Err(FileError::Mp4(format!("a fragment claims {claimed} samples")));
    }
    Ok(())
}

/// The boxes of one kind in the payload of a plain box.
fn inside<'a>(outer: &'a [u8], wanted: &[u8; 4]) -> Result<Vec<&'a [u8]>, FileError> {
    let payload = outer.get(BoxHeader::MIN_SIZE..).unwrap_or_default();
    let mut found = Vec::new();
    for child in children(payload) {
        let (kind, range) = child?;
        if kind == BoxType::Normal(*wanted) {
            found.push(slice(payload, &range)?);
        }
    }
    Ok(found)
}

fn place(offset: u64, size: u32, file: usize) -> Result<Range<usize>, FileError> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(size as usize);
    if end > file {
        return Err(FileError::Mp4("it ends before its last sample".into()));
    }
    Ok(start..end)
}

fn slice<'a>(bytes: &'a [u8], range: &Range<usize>) -> Result<&'a [u8], FileError> {
    bytes
        .get(range.clone())
        .ok_or(FileError::Mp4("a box does not fit".into()))
}

fn overlap() -> FileError {
    FileError::Mp4("its samples are more than the file holds".into())
}

fn ticks(count: u64, per_second: u32) -> Duration {
    let nanos = u128::from(count) * 1_000_000_000 / u128::from(per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
