//! The publisher's doctor: looks at what comes in and says what is wrong with it, and what to do, in words for the
//! one who publishes.
//!
//! Packets are only counted as they come; once a second [`Doctor::examine`] draws the conclusions.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::doctor_clock::ClockRecord;
use crate::core::ids::{Rid, SeqNo};
use crate::core::media::{Codec, MediaKind, PublisherMedia};
use crate::core::rtp::h264;
use crate::core::statistics::{Finding, FindingCode, LayerReport};

/// A finding counts as over when nothing showed it for so long: a keyframe may come every ten seconds only.
const HOLD: Duration = Duration::from_secs(15);
/// A viewer may have to wait so long for a picture, and a lost one to be repaired.
const MAX_KEYFRAME_INTERVAL: Duration = Duration::from_secs(4);
/// Encoders round to whole pictures.
const KEYFRAME_SLACK: Duration = Duration::from_millis(250);
/// Two pictures out of order within a second are no accident.
const REORDERED: u32 = 2;
/// A picture that is shown earlier than one sent before it, by less than this, was reordered by the encoder; by more,
/// the clock jumped. In RTP ticks of video: 1 s.
const MAX_REORDER: u64 = 90_000;
/// Media that was announced gets so long to come.
const PATIENCE: Duration = Duration::from_secs(5);
const LAYER_PATIENCE: Duration = Duration::from_secs(10);
/// Loss is judged over so many seconds.
const LOSS_WINDOW: usize = 10;
/// More than this share lost is visible where nothing is sent again, and costs latency where it is.
const MAX_LOSS: f64 = 0.02;
/// Fewer packets say nothing about a share of 2 %.
const LOSS_SAMPLE: u64 = 300;
/// Bitrates are judged over so many seconds, the first of which a browser spends finding out what its line carries.
const SWING_WINDOW: usize = 30;
const RAMP_UP: Duration = Duration::from_secs(20);
/// Between the quiet and the busy seconds of the window.
const MAX_SWING: u64 = 4;
/// Below this, swings harm nobody.
const SWING_FLOOR: u64 = 500_000;
/// Audio packets before the sound is judged.
const AUDIO_SAMPLE: u32 = 100;

#[derive(Debug, Default)]
pub struct Doctor {
    layers: HashMap<(usize, u8), LayerRecord>,
    clocks: HashMap<(usize, u8), ClockRecord>,
    audio: AudioRecord,
    first_video: Option<Instant>,
    losses: VecDeque<(u64, u64)>,
    bitrates: VecDeque<u64>,
    found: Vec<Found>,
}

/// One packet, as far as the doctor looks.
#[derive(Clone, Copy, Debug)]
pub struct Specimen<'a> {
    /// Track and layer.
    pub key: (usize, u8),
    pub codec: Codec,
    /// The highest sequence number before it; `None` at the start of a sequence.
    pub highest: Option<SeqNo>,
    pub seq: SeqNo,
    pub timestamp: u64,
    /// A keyframe's first packet, or one of its slices or parameter sets.
    pub keyframe: bool,
    pub payload: &'a [u8],
}

/// What is known beside the packets.
pub struct Chart<'a> {
    pub media: &'a PublisherMedia,
    /// Each layer's last second, with its track and index.
    pub layers: &'a [((usize, u8), LayerReport)],
    /// Packets expected and lost on the line in this second.
    pub expected: u64,
    pub missing: u64,
    pub answers_pli: Option<bool>,
}

#[derive(Debug, Default)]
struct LayerRecord {
    newest: Option<u64>,
    /// Pictures sent after one that is shown later, since the last examination.
    reordered: u32,
    last_reordered: Option<u64>,
    keyframe: Option<Keyframe>,
    /// Keyframes without parameter sets since the last examination.
    bare_keyframes: u32,
    profile: Option<[u8; 3]>,
    silent_since: Option<Instant>,
}

/// The H.264 keyframe that is coming in.
#[derive(Debug)]
struct Keyframe {
    timestamp: u64,
    whole: bool,
    idr: bool,
    sps: bool,
    pps: bool,
}

#[derive(Debug, Default)]
struct AudioRecord {
    last: Option<Instant>,
    packets: u32,
    /// Since the last examination.
    recent: u32,
    stereo: u32,
    wide: u32,
}

#[derive(Debug)]
struct Found {
    code: FindingCode,
    layer: Option<Rid>,
    advice: String,
    first_seen: Instant,
    last_seen: Instant,
}

impl Doctor {
    pub fn packet(&mut self, now: Instant, specimen: &Specimen<'_>) {
        let is_newest = specimen.highest.is_none_or(|highest| specimen.seq > highest);
        if is_newest {
            let clock = self.clocks.entry(specimen.key).or_default();
            clock.packet(now, specimen.timestamp, specimen.codec.clock_rate());
        }
        if specimen.codec.kind() == MediaKind::Audio {
            self.audio.packet(now, specimen.payload);
            return;
        }
        self.first_video.get_or_insert(now);
        let record = self.layers.entry(specimen.key).or_default();
        if is_newest {
            record.order(specimen.timestamp);
        }
        if let Codec::H264 { .. } = specimen.codec {
            record.h264(specimen);
        }
    }

    /// Once a second. What was found so far, in the order of its finding; times count from `since`.
    pub fn examine(&mut self, now: Instant, since: Instant, chart: &Chart<'_>) -> Vec<Finding> {
        self.examine_pictures(now, chart);
        self.examine_keyframes(now, chart);
        self.examine_audio(now, chart);
        self.examine_loss(now, chart);
        self.examine_bitrate(now, chart);
        self.examine_layers(now, chart);
        self.examine_clocks(now, chart);
        let after = |at: Instant| at.saturating_duration_since(since);
        let found = self.found.iter().map(|found| Finding {
            code: found.code,
            layer: found.layer.clone(),
            advice: found.advice.clone(),
            first_seen: after(found.first_seen),
            last_seen: after(found.last_seen),
            active: now.saturating_duration_since(found.last_seen) < HOLD,
        });
        found.collect()
    }

    fn examine_pictures(&mut self, now: Instant, chart: &Chart<'_>) {
        for (key, layer) in chart.layers {
            let Some(record) = self.layers.get_mut(key) else {
                continue;
            };
            let reordered = std::mem::take(&mut record.reordered);
            let bare = std::mem::take(&mut record.bare_keyframes);
            let profile = record.profile.and_then(unplayable);
            if reordered >= REORDERED {
                self.find(now, FindingCode::BFrames, layer.rid.as_ref(), B_FRAMES.into());
            }
            if bare > 0 {
                let code = FindingCode::MissingParameterSets;
                self.find(now, code, layer.rid.as_ref(), PARAMETER_SETS.into());
            }
            if let Some(name) = profile {
                let advice = format!(
                    "The picture is H.264 {name}, which browsers do not play. Choose profile baseline, main or high, \
                     8 bit and 4:2:0 (OBS: Settings → Output → Profile, and Settings → Advanced → Color Format NV12)."
                );
                self.find(now, FindingCode::Profile, layer.rid.as_ref(), advice);
            }
        }
    }

    fn examine_keyframes(&mut self, now: Instant, chart: &Chart<'_>) {
        if chart.answers_pli != Some(false) {
            return;
        }
        for (_, layer) in chart.layers {
            let longest = layer
                .keyframe_interval
                .max(layer.keyframe_age)
                .unwrap_or_default();
            if layer.kind == MediaKind::Video && longest > MAX_KEYFRAME_INTERVAL + KEYFRAME_SLACK {
                let advice = format!(
                    "A keyframe comes only every {:.1} s, and none when asked for: after a loss viewers wait so long. \
                     Set the keyframe interval to 1 or 2 s (OBS: Settings → Output → Keyframe Interval; \
                     FFmpeg: -g, in pictures).",
                    longest.as_secs_f64()
                );
                self.find(now, FindingCode::KeyframeInterval, layer.rid.as_ref(), advice);
            }
        }
    }

    fn examine_audio(&mut self, now: Instant, chart: &Chart<'_>) {
        let audio = std::mem::take(&mut self.audio);
        self.audio = AudioRecord {
            last: audio.last,
            packets: audio.packets,
            ..AudioRecord::default()
        };
        let silence = audio
            .last
            .or(self.first_video)
            .map(|at| now.saturating_duration_since(at));
        if self.first_video.is_some() && silence.is_some_and(|silence| silence >= PATIENCE) {
            let offered = chart
                .media
                .tracks
                .iter()
                .any(|track| track.kind == MediaKind::Audio);
            let advice = match offered {
                true => {
                    "Sound was announced, but none comes. Check that the audio source is chosen and not muted \
                         (OBS: Settings → Output → Streaming → Audio Track)."
                }
                false => {
                    "There is no sound in this stream. If there should be, add an audio source, as Opus at 48 kHz."
                }
            };
            self.find(now, FindingCode::NoAudio, None, advice.into());
        }
        if audio.packets < AUDIO_SAMPLE || audio.recent == 0 {
            return;
        }
        if audio.stereo == 0 {
            let advice = "The sound is mono. If it should be stereo, choose two channels (OBS: Settings → Audio → \
                          Channels: Stereo; in a browser, the offer needs stereo=1).";
            self.find(now, FindingCode::MonoAudio, None, advice.into());
        }
        if audio.wide == 0 {
            let advice = "The sound has the bandwidth of a telephone, 8 kHz at most. Give it 64 kbit/s or more, \
                          sampled at 48 kHz (OBS: Settings → Audio → Sample Rate).";
            self.find(now, FindingCode::NarrowAudio, None, advice.into());
        }
    }

    fn examine_loss(&mut self, now: Instant, chart: &Chart<'_>) {
        push(&mut self.losses, (chart.expected, chart.missing), LOSS_WINDOW);
        let expected: u64 = self.losses.iter().map(|(expected, _)| expected).sum();
        let missing: u64 = self.losses.iter().map(|(_, missing)| missing).sum();
        let share = missing as f64 / expected.max(1) as f64;
        if expected >= LOSS_SAMPLE && share > MAX_LOSS {
            let advice = format!(
                "{:.0} % of the packets are lost on their way here. Lower the bitrate, use a cable instead of Wi-Fi, \
                 or find out what else uses the line.",
                share * 100.0
            );
            self.find(now, FindingCode::UplinkLoss, None, advice);
        }
    }

    fn examine_bitrate(&mut self, now: Instant, chart: &Chart<'_>) {
        let ramped_up = self
            .first_video
            .is_some_and(|at| now.saturating_duration_since(at) >= RAMP_UP);
        if !ramped_up {
            return;
        }
        let video = chart
            .layers
            .iter()
            .filter(|(_, layer)| layer.kind == MediaKind::Video);
        push(
            &mut self.bitrates,
            video.map(|(_, layer)| layer.bitrate.0).sum(),
            SWING_WINDOW,
        );
        if self.bitrates.len() < SWING_WINDOW {
            return;
        }
        // Keyframes make single seconds heavier than others: three together are judged.
        let (front, back) = self.bitrates.as_slices();
        let seconds = [front, back].concat();
        let mut smooth: Vec<u64> = seconds
            .windows(3)
            .map(|three| three.iter().sum::<u64>() / 3)
            .collect();
        smooth.sort_unstable();
        let at = |tenth: usize| smooth.get(smooth.len() * tenth / 10).copied().unwrap_or_default();
        let (low, high) = (at(1), at(9));
        if high > SWING_FLOOR && high > MAX_SWING * low {
            let advice = format!(
                "The bitrate swings between {} and {} kbit/s: viewers whose line carries the mean lose packets at the \
                 peaks. Use constant bitrate (OBS: Settings → Output → Rate Control: CBR).",
                low / 1000,
                high / 1000
            );
            self.find(now, FindingCode::BitrateSwings, None, advice);
        }
    }

    fn examine_layers(&mut self, now: Instant, chart: &Chart<'_>) {
        let Some(first) = self.first_video else { return };
        if now.saturating_duration_since(first) < LAYER_PATIENCE {
            return;
        }
        for (index, track) in chart.media.tracks.iter().enumerate() {
            for (place, rid) in track.rids.iter().enumerate() {
                let key = (index, u8::try_from(place).unwrap_or(u8::MAX));
                let sends = chart
                    .layers
                    .iter()
                    .any(|(of, layer)| *of == key && layer.bitrate.0 > 0);
                let record = self.layers.entry(key).or_default();
                if sends {
                    record.silent_since = None;
                    continue;
                }
                let never = record.newest.is_none();
                let since = *record.silent_since.get_or_insert(if never { first } else { now });
                if now.saturating_duration_since(since) < LAYER_PATIENCE {
                    continue;
                }
                let advice = format!(
                    "Layer {} was announced, but {}. Either the line or the processor does not manage it: lower the \
                     bitrate or the size, or announce fewer layers.",
                    rid.as_str(),
                    if never { "never came" } else { "has stopped" }
                );
                self.find(now, FindingCode::MissingLayer, Some(rid), advice);
            }
        }
    }

    fn examine_clocks(&mut self, now: Instant, chart: &Chart<'_>) {
        for (key, clock) in &mut self.clocks {
            let Some(jump) = clock.examine() else { continue };
            let layer = chart
                .layers
                .iter()
                .find(|(of, _)| of == key)
                .map(|(_, layer)| layer);
            let (kind, rid) = match layer {
                Some(layer) if layer.kind == MediaKind::Audio => ("sound", None),
                Some(layer) => ("picture", layer.rid.clone()),
                None => continue,
            };
            let advice = if jump > 0.0 {
                format!(
                    "The time stamps of the {kind} jumped forward by {jump:.1} s: players stutter or lose sync there. \
                     Sources that pause or loop do that, and a computer's clock that is set while it streams."
                )
            } else {
                format!(
                    "The {kind} is {:.1} s later than before: its time stamps jumped back, as with sources that loop, \
                     or the line holds everything back, as when the bitrate is more than it carries.",
                    -jump
                )
            };
            find(&mut self.found, now, FindingCode::ClockJump, rid.as_ref(), advice);
        }
    }

    fn find(&mut self, now: Instant, code: FindingCode, layer: Option<&Rid>, advice: String) {
        find(&mut self.found, now, code, layer, advice);
    }
}

const B_FRAMES: &str = "The picture has B-frames: pictures come in another order than they are shown, and browsers \
                        stutter. Turn them off (OBS: Settings → Output → Max B-frames: 0, or x264 option bframes=0, or \
                        Tune: zerolatency; FFmpeg: -bf 0).";
const PARAMETER_SETS: &str = "Keyframes come without SPS and PPS, so whoever joins later sees nothing. Have the encoder \
                              repeat them with each keyframe (x264: repeat-headers=1; GStreamer: h264parse \
                              config-interval=-1; FFmpeg: -bsf:v dump_extra).";

/// Bounded: codes times layers.
fn find(found: &mut Vec<Found>, now: Instant, code: FindingCode, layer: Option<&Rid>, advice: String) {
    match found
        .iter_mut()
        .find(|known| known.code == code && known.layer.as_ref() == layer)
    {
        Some(known) => {
            known.last_seen = now;
            known.advice = advice;
        }
        None => found.push(Found {
            code,
            layer: layer.cloned(),
            advice,
            first_seen: now,
            last_seen: now,
        }),
    }
}

/// The name of an H.264 profile that browsers do not play, by profile_idc (H.264 annex A).
fn unplayable([profile, ..]: [u8; 3]) -> Option<&'static str> {
    match profile {
        66 | 77 | 100 => None,
        88 => Some("Extended profile"),
        110 => Some("High 10 profile (10 bit)"),
        122 => Some("High 4:2:2 profile"),
        244 => Some("High 4:4:4 profile"),
        44 => Some("CAVLC 4:4:4 profile"),
        _ => Some("of an unusual profile"),
    }
}

fn push<T>(window: &mut VecDeque<T>, value: T, len: usize) {
    if window.len() == len {
        window.pop_front();
    }
    window.push_back(value);
}

impl LayerRecord {
    fn order(&mut self, timestamp: u64) {
        match self.newest {
            Some(newest) if timestamp < newest => {
                if newest - timestamp < MAX_REORDER && self.last_reordered != Some(timestamp) {
                    self.last_reordered = Some(timestamp);
                    self.reordered += 1;
                }
                if newest - timestamp >= MAX_REORDER {
                    self.newest = Some(timestamp);
                }
            }
            _ => self.newest = Some(timestamp),
        }
    }

    fn h264(&mut self, specimen: &Specimen<'_>) {
        let follows = specimen
            .highest
            .is_none_or(|highest| specimen.seq.0 == highest.0 + 1);
        let coming = self
            .keyframe
            .as_ref()
            .is_some_and(|keyframe| keyframe.timestamp == specimen.timestamp);
        if !coming {
            // The keyframe before is complete.
            if let Some(keyframe) = self.keyframe.take()
                && keyframe.whole
                && follows
                && keyframe.idr
                && !(keyframe.sps && keyframe.pps)
            {
                self.bare_keyframes += 1;
            }
            if !specimen.keyframe {
                return;
            }
            self.keyframe = Some(Keyframe {
                timestamp: specimen.timestamp,
                whole: true,
                idr: false,
                sps: false,
                pps: false,
            });
        }
        let Some(keyframe) = &mut self.keyframe else {
            return;
        };
        let contents = h264::contents(specimen.payload);
        keyframe.whole &= follows;
        keyframe.idr |= contents.is_idr;
        keyframe.sps |= contents.has_sps;
        keyframe.pps |= contents.has_pps;
        self.profile = contents.profile.or(self.profile);
    }
}

impl AudioRecord {
    /// By the first byte of an Opus packet (RFC 6716 §3.1).
    fn packet(&mut self, now: Instant, payload: &[u8]) {
        self.last = Some(now);
        // Two bytes or less stand for silence (DTX).
        let [toc, _, _, ..] = *payload else { return };
        self.packets = self.packets.saturating_add(1);
        self.recent += 1;
        self.stereo += u32::from(toc & 0x04 != 0);
        // SILK below 12 and CELT 16 to 23 carry 8 kHz at most.
        self.wide += u32::from(matches!(toc >> 3, 12..=15 | 24..));
    }
}
