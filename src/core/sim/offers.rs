//! Offers of real clients, with a test client's credentials in them; and what the client itself takes from its
//! offer: payload types, SSRCs, extension ids.

use std::fmt::Write;

use crate::core::media::{DtlsRole, MediaKind};
use crate::core::peer::testing::TestClient;

pub const CHROMIUM_SENDS: &str = include_str!("../../../tests/offers/chromium-156-sendonly.sdp");
pub const CHROMIUM_WATCHES: &str = include_str!("../../../tests/offers/chromium-156-recvonly.sdp");
pub const CHROMIUM_SIMULCAST: &str = include_str!("../../../tests/offers/chromium-156-simulcast.sdp");
pub const OBS_SIMULCAST: &str = include_str!("../../../tests/offers/obs-32.2-simulcast-3.sdp");
pub const OBS_SENDS: &str = include_str!("../../../tests/offers/obs-32.2-h264-opus.sdp");
pub const FFMPEG_SENDS: &str = include_str!("../../../tests/offers/ffmpeg-9.0-h264-opus.sdp");

/// One payload type of an offer.
#[derive(Clone, Debug)]
pub struct Format {
    pub kind: MediaKind,
    pub pt: u8,
    /// As in the rtpmap, in capitals.
    pub codec: String,
    /// The payload type this one repeats packets of.
    pub repeats: Option<u8>,
}

/// What a client knows from its own offer.
#[derive(Clone, Debug, Default)]
pub struct Offered {
    pub formats: Vec<Format>,
    /// (kind, media SSRC, retransmission SSRC)
    pub ssrcs: Vec<(MediaKind, u32, Option<u32>)>,
    /// (kind, id, URI)
    pub extensions: Vec<(MediaKind, u8, String)>,
}

impl Offered {
    pub fn format(&self, codec: &str) -> Option<&Format> {
        self.formats.iter().find(|format| format.codec == codec)
    }

    pub fn by_pt(&self, pt: u8) -> Option<&Format> {
        self.formats.iter().find(|format| format.pt == pt)
    }

    pub fn rtx_of(&self, pt: u8) -> Option<u8> {
        self.formats
            .iter()
            .find(|format| format.repeats == Some(pt))
            .map(|format| format.pt)
    }

    pub fn ssrc(&self, kind: MediaKind) -> Option<(u32, Option<u32>)> {
        self.ssrcs
            .iter()
            .find(|entry| entry.0 == kind)
            .map(|entry| (entry.1, entry.2))
    }

    pub fn extension(&self, kind: MediaKind, ending: &str) -> Option<u8> {
        let mut entries = self.extensions.iter();
        entries
            .find(|entry| entry.0 == kind && entry.2.ends_with(ending))
            .map(|entry| entry.1)
    }

    pub fn read(offer: &str) -> Self {
        let mut offered = Self::default();
        for section in offer.split("\nm=").skip(1) {
            let kind = if section.starts_with("audio") {
                MediaKind::Audio
            } else {
                MediaKind::Video
            };
            let lines = || section.lines().filter_map(|line| line.trim().strip_prefix("a="));
            let after = |prefix: &'static str| lines().filter_map(move |line| line.strip_prefix(prefix));
            for (pt, map) in after("rtpmap:").filter_map(|line| line.split_once(' ')) {
                let Ok(pt) = pt.parse() else { continue };
                let codec = map.split('/').next().unwrap_or_default().to_uppercase();
                offered.formats.push(Format {
                    kind,
                    pt,
                    codec,
                    repeats: None,
                });
            }
            for (pt, parameters) in after("fmtp:").filter_map(|line| line.split_once(' ')) {
                let apt = parameters
                    .strip_prefix("apt=")
                    .and_then(|apt| apt.trim().parse().ok());
                let pt = pt.parse::<u8>().ok();
                if let Some(format) = offered.formats.iter_mut().find(|format| Some(format.pt) == pt) {
                    format.repeats = format.repeats.or(apt);
                }
            }
            for (id, uri) in after("extmap:").filter_map(|line| line.split_once(' ')) {
                let id = id.split('/').next().and_then(|id| id.parse().ok());
                offered
                    .extensions
                    .extend(id.map(|id| (kind, id, uri.trim().to_owned())));
            }
            let mut pair = after("ssrc-group:FID ")
                .next()
                .into_iter()
                .flat_map(str::split_whitespace);
            let first = after("ssrc:")
                .next()
                .and_then(|line| line.split_whitespace().next());
            let media = pair.next().or(first).and_then(|text| text.parse().ok());
            let rtx = pair.next().and_then(|text| text.parse().ok());
            offered.ssrcs.extend(media.map(|media| (kind, media, rtx)));
        }
        offered
    }
}

/// What the offer leaves to the client in DTLS.
pub fn dtls_role(offer: &str) -> DtlsRole {
    if offer.contains("a=setup:passive") {
        DtlsRole::Server
    } else {
        DtlsRole::Client
    }
}

/// The offer with this client's credentials and fingerprint, and with SSRCs of its own: `salt` is added to each.
pub fn adapt(offer: &str, client: &TestClient, salt: u32) -> String {
    let ssrcs: Vec<u32> = Offered::read(offer)
        .ssrcs
        .iter()
        .flat_map(|entry| [Some(entry.1), entry.2])
        .flatten()
        .collect();
    let mut text = String::new();
    for line in offer.lines().map(str::trim_end) {
        if line.starts_with("a=ice-ufrag:") {
            let _ = write!(text, "a=ice-ufrag:{}", client.local_ice().ufrag);
        } else if line.starts_with("a=ice-pwd:") {
            let _ = write!(text, "a=ice-pwd:{}", client.local_ice().pwd);
        } else if line.starts_with("a=fingerprint:") {
            let digest: Vec<String> = client
                .fingerprint()
                .digest
                .iter()
                .map(|byte| format!("{byte:02X}"))
                .collect();
            let _ = write!(text, "a=fingerprint:sha-256 {}", digest.join(":"));
        } else if line.starts_with("a=ssrc") {
            let words = line.split(' ').map(|word| {
                let (prefix, number) = word.rsplit_once(':').unwrap_or(("", word));
                match number.parse::<u32>() {
                    Ok(ssrc) if ssrcs.contains(&ssrc) => {
                        let colon = if prefix.is_empty() { "" } else { ":" };
                        format!("{prefix}{colon}{}", ssrc.wrapping_add(salt))
                    }
                    _ => word.to_owned(),
                }
            });
            text.push_str(&words.collect::<Vec<_>>().join(" "));
        } else {
            text.push_str(line);
        }
        text.push_str("\r\n");
    }
    text
}

/// The offer without its section of this kind.
pub fn without(offer: &str, kind: MediaKind) -> String {
    let name = match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    };
    let mut parts = offer.split("\nm=");
    let session = parts.next().unwrap_or_default();
    let mut kept = Vec::new();
    let mut mids = Vec::new();
    for section in parts.filter(|section| !section.starts_with(name)) {
        mids.extend(
            section
                .lines()
                .filter_map(|line| line.trim().strip_prefix("a=mid:")),
        );
        kept.push(section.trim_end());
    }
    let session: Vec<String> = session
        .lines()
        .filter(|line| !line.starts_with("a=group:LS"))
        .map(|line| match line.strip_prefix("a=group:BUNDLE") {
            Some(_) => format!("a=group:BUNDLE {}", mids.join(" ")),
            None => line.trim_end().to_owned(),
        })
        .collect();
    format!("{}\nm={}\n", session.join("\n"), kept.join("\nm="))
}

/// Without the payload types of one codec and their retransmissions.
pub fn without_codec(offer: &str, codec: &str) -> String {
    let offered = Offered::read(offer);
    let of_codec = |pt: u8| offered.by_pt(pt).is_some_and(|format| format.codec == codec);
    let gone: Vec<String> = offered
        .formats
        .iter()
        .filter(|format| format.codec == codec || format.repeats.is_some_and(of_codec))
        .map(|format| format.pt.to_string())
        .collect();
    let is_gone = |pt: &str| gone.iter().any(|other| other == pt);
    let mut lines = Vec::new();
    for line in offer.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            let words = line
                .split(' ')
                .enumerate()
                .filter(|(at, word)| *at < 3 || !is_gone(word));
            lines.push(words.map(|(_, word)| word).collect::<Vec<_>>().join(" "));
            continue;
        }
        let about = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"]
            .iter()
            .find_map(|prefix| line.strip_prefix(prefix));
        if !about.and_then(|rest| rest.split(' ').next()).is_some_and(is_gone) {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n") + "\n"
}
