//! The SSRCs the server sends with.

use std::time::Instant;

use super::Viewer;
use crate::client::answer::Answer;
use crate::client::offer::VideoCodec;
use crate::client::rtcp::ReportBlock;
use crate::client::rtp::{Header, Unwrapper};

/// SSRCs a server may use towards one viewer before further ones are ignored.
const MAX_SOURCES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Video(VideoCodec),
    /// Retransmission of the codec.
    Rtx(VideoCodec),
    Audio,
}

/// One SSRC the server sends with.
pub(super) struct Source {
    pub ssrc: u32,
    pub role: Role,
    pub numbers: Unwrapper,
    /// The middle of the last sender report's NTP time, and when it came.
    pub last_sr: Option<(u32, Instant)>,
    /// Lost and expected at the last report, for the fraction in the next.
    pub reported: (u64, u64),
    pub first: u64,
}

/// What each payload type of the answer stands for.
pub(super) fn formats(answer: &Answer) -> Vec<(u8, Role)> {
    let mut formats = Vec::new();
    for media in answer.media.iter().filter(|media| !media.rejected) {
        let named = |pt: u8| {
            media
                .formats
                .iter()
                .find(|format| format.0 == pt)
                .map(|format| &format.1)
        };
        for (pt, name, _) in &media.formats {
            if let Some(codec) = VideoCodec::from_name(name) {
                formats.push((*pt, Role::Video(codec)));
            } else if name.eq_ignore_ascii_case("opus") {
                formats.push((*pt, Role::Audio));
            }
        }
        for (rtx, apt) in &media.rtx {
            if let Some(codec) = named(*apt).and_then(|name| VideoCodec::from_name(name)) {
                formats.push((*rtx, Role::Rtx(codec)));
            }
        }
    }
    formats
}

impl Viewer {
    pub(super) fn add_source(&mut self, header: &Header, number: u64) -> Option<Role> {
        let role = self
            .formats
            .iter()
            .find(|(pt, _)| *pt == header.pt)
            .map(|(_, role)| *role)?;
        // A server may go on under another SSRC when its publisher comes back.
        let same_kind = |other: Role| std::mem::discriminant(&other) == std::mem::discriminant(&role);
        if self.sources.iter().any(|source| same_kind(source.role)) {
            self.sources.retain(|source| !same_kind(source.role));
            match role {
                Role::Video(_) => self.video.restart(),
                Role::Audio => self.audio.restart(),
                Role::Rtx(_) => {}
            }
        }
        if self.sources.len() >= MAX_SOURCES {
            return None;
        }
        let mut numbers = Unwrapper::default();
        numbers.accept(number);
        self.sources.push(Source {
            ssrc: header.ssrc,
            role,
            numbers,
            last_sr: None,
            reported: (0, 0),
            first: number,
        });
        Some(role)
    }

    pub(super) fn source_of(&self, wanted: impl Fn(Role) -> bool) -> Option<u32> {
        self.sources
            .iter()
            .find(|source| wanted(source.role))
            .map(|source| source.ssrc)
    }
}

impl Source {
    pub fn report(&mut self, now: Instant, lost: u64) -> ReportBlock {
        let highest = self.numbers.highest().unwrap_or_default();
        let expected = highest.saturating_sub(self.first) + 1;
        let new_expected = expected.saturating_sub(self.reported.1).max(1);
        let new_lost = lost.saturating_sub(self.reported.0);
        self.reported = (lost, expected);
        let (last_sr, delay) = self.last_sr.map_or((0, 0), |(middle, at)| {
            (
                middle,
                (now.saturating_duration_since(at).as_secs_f64() * 65536.0) as u32,
            )
        });
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: (new_lost * 256 / new_expected).min(255) as u8,
            total_lost: lost.min(0x007f_ffff) as u32,
            highest_seq: highest as u32,
            jitter: 0,
            last_sr,
            delay_since_last_sr: delay,
        }
    }
}
