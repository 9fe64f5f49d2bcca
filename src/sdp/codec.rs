//! Which payload formats pass through here, and when two of them are the same.

use crate::core::media::{Codec, NegotiatedCodec};

/// Longer or more than any client's: not worth a place in the answer.
const MAX_PARAMETER: usize = 64;
const MAX_PARAMETERS: usize = 16;

/// The entry of `codecs` to carry `codec` with, or `None`.
///
/// H.264: the same packetization-mode and profile family if there is one, else the same packetization-mode, else any;
/// a profile-level-id never decides against a viewer, for OBS always claims `42e01f` whatever it encodes. H.265: the
/// same profile, else any. VP9 and AV1: the same profile only, for a decoder of another cannot make anything of it.
pub fn match_codec(codecs: &[NegotiatedCodec], codec: Codec) -> Option<&NegotiatedCodec> {
    // `max_by_key` takes the last of equals; reversed, that is the one offered first.
    codecs
        .iter()
        .rev()
        .filter_map(|entry| Some((likeness(entry.codec, codec)?, entry)))
        .max_by_key(|(likeness, _)| *likeness)
        .map(|(_, entry)| entry)
}

/// How well `offered` carries `wanted`: more is better, `None` is not at all.
fn likeness(offered: Codec, wanted: Codec) -> Option<u8> {
    match (offered, wanted) {
        (
            Codec::H264 {
                packetization_mode: mode,
                profile,
            },
            Codec::H264 {
                packetization_mode: wanted_mode,
                profile: wanted_profile,
            },
        ) => {
            let same_mode = mode == wanted_mode;
            let same_family = H264Family::of(profile) == H264Family::of(wanted_profile);
            Some(match (same_mode, same_family) {
                (true, true) => 3,
                (true, false) => 2,
                (false, true) => 1,
                (false, false) => 0,
            })
        }
        (Codec::H265 { profile_id }, Codec::H265 { profile_id: wanted }) => {
            Some(u8::from(profile_id == wanted))
        }
        (offered, wanted) => (offered == wanted).then_some(0),
    }
}

/// The profiles that profile_idc and the constraint flags together name (RFC 6184 §8.1, table 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum H264Family {
    ConstrainedBaseline,
    Baseline,
    Main,
    Extended,
    ConstrainedHigh,
    High,
    Other(u8),
}

impl H264Family {
    fn of([profile_idc, constraints, _level]: [u8; 3]) -> Self {
        let set = |flag: u8| constraints & (0x80 >> flag) != 0;
        match profile_idc {
            0x42 if set(1) => Self::ConstrainedBaseline,
            0x4d if set(0) => Self::ConstrainedBaseline,
            0x58 if set(0) && set(1) => Self::ConstrainedBaseline,
            0x42 => Self::Baseline,
            0x58 if set(0) => Self::Baseline,
            0x4d => Self::Main,
            0x58 => Self::Extended,
            0x64 if set(4) && set(5) => Self::ConstrainedHigh,
            0x64 => Self::High,
            other => Self::Other(other),
        }
    }
}

/// The codec that an rtpmap (`name/clock`) and its fmtp stand for, where we pass it through.
pub(super) fn identify(name: &str, clock_rate: u32, fmtp: Option<&str>) -> Option<Codec> {
    let parameter = |key: &str| fmtp.and_then(|text| parameter(text, key));
    let number = |key: &str, default: u8| match parameter(key) {
        Some(text) => text.parse::<u8>().ok(),
        None => Some(default),
    };
    let codec = match name.to_ascii_uppercase().as_str() {
        "H264" => {
            let packetization_mode = number("packetization-mode", 0)?;
            // Mode 2 interleaves NAL units: no WebRTC client sends it.
            if packetization_mode > 1 {
                return None;
            }
            let profile = match parameter("profile-level-id") {
                Some(text) => hex3(text)?,
                None => [0x42, 0x00, 0x0a],
            };
            Codec::H264 {
                packetization_mode,
                profile,
            }
        }
        "H265" => Codec::H265 {
            profile_id: number("profile-id", 1)?,
        },
        "VP8" => Codec::Vp8,
        "VP9" => match number("profile-id", 0)? {
            profile_id @ (0 | 2) => Codec::Vp9 { profile_id },
            _ => return None,
        },
        "AV1" => match number("profile", 0)? {
            0 => Codec::Av1 { profile: 0 },
            _ => return None,
        },
        "OPUS" => Codec::Opus,
        _ => return None,
    };
    (codec.clock_rate() == clock_rate).then_some(codec)
}

/// The fmtp to answer with: for video what describes the format, not the limits or parameter sets of the other side;
/// for Opus all of it, `stereo=1` included, because players edit it in and look for it.
pub(super) fn answer_fmtp(codec: Codec, offered: &str) -> Option<String> {
    let kept: &[&str] = match codec {
        Codec::H264 { .. } => &[
            "level-asymmetry-allowed",
            "packetization-mode",
            "profile-level-id",
        ],
        Codec::H265 { .. } => &["profile-space", "profile-id", "tier-flag", "level-id", "tx-mode"],
        Codec::Vp8 => &[],
        Codec::Vp9 { .. } => &["profile-id"],
        Codec::Av1 { .. } => &["profile", "level-idx", "tier"],
        Codec::Opus => &[],
    };
    let parameters: Vec<&str> = offered
        .split(';')
        .map(str::trim)
        .filter(|entry| entry.len() <= MAX_PARAMETER && entry.bytes().all(|b| b.is_ascii_graphic()))
        .filter(|entry| match entry.split_once('=') {
            // Every parameter of Opus is a decimal number (RFC 7587 §7).
            Some((key, value)) if codec == Codec::Opus => {
                !key.is_empty() && (1..=9).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit())
            }
            Some((key, value)) => !value.is_empty() && kept.iter().any(|name| name.eq_ignore_ascii_case(key)),
            None => false,
        })
        .take(MAX_PARAMETERS)
        .collect();
    (!parameters.is_empty()).then(|| parameters.join(";"))
}

/// The value of `key` in `a=1;b=2` (names compared without case).
pub(super) fn parameter<'a>(fmtp: &'a str, key: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|entry| {
        let (name, value) = entry.split_once('=')?;
        name.trim().eq_ignore_ascii_case(key).then(|| value.trim())
    })
}

fn hex3(text: &str) -> Option<[u8; 3]> {
    if text.len() != 6 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let [_, a, b, c] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
    Some([a, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::PayloadType;
    use crate::core::media::Feedback;

    fn h264(packetization_mode: u8, profile: [u8; 3]) -> Codec {
        Codec::H264 {
            packetization_mode,
            profile,
        }
    }

    /// A list with payload types 1, 2, 3, … in this order.
    fn list(codecs: &[Codec]) -> Vec<NegotiatedCodec> {
        codecs
            .iter()
            .zip(1..)
            .map(|(codec, pt)| NegotiatedCodec {
                pt: PayloadType(pt),
                codec: *codec,
                rtx: None,
                red: None,
                feedback: Feedback::default(),
            })
            .collect()
    }

    fn chosen(codecs: &[Codec], wanted: Codec) -> Option<u8> {
        match_codec(&list(codecs), wanted).map(|entry| entry.pt.0)
    }

    #[test]
    fn h264_prefers_mode_and_family_then_mode_then_anything() {
        let baseline1 = h264(1, [0x42, 0x00, 0x1f]);
        let constrained0 = h264(0, [0x42, 0xe0, 0x1f]);
        let constrained1 = h264(1, [0x42, 0xe0, 0x1f]);
        let wanted = h264(1, [0x42, 0xc0, 0x28]);
        assert_eq!(chosen(&[baseline1, constrained0, constrained1], wanted), Some(3));
        assert_eq!(chosen(&[constrained0, baseline1], wanted), Some(2));
        assert_eq!(chosen(&[h264(0, [0x64, 0, 0x28]), constrained0], wanted), Some(2));
        assert_eq!(chosen(&[Codec::Vp8, h264(0, [0x64, 0, 0x28])], wanted), Some(2));
    }

    #[test]
    fn equally_good_entries_go_to_the_one_offered_first() {
        let high = h264(1, [0x64, 0x00, 0x28]);
        assert_eq!(
            chosen(&[h264(1, [0x42, 0, 0x1f]), h264(1, [0x4d, 0, 0x1f])], high),
            Some(1)
        );
    }

    #[test]
    fn vp9_and_av1_demand_the_same_profile() {
        assert_eq!(
            chosen(&[Codec::Vp9 { profile_id: 2 }], Codec::Vp9 { profile_id: 0 }),
            None
        );
        let both = [Codec::Vp9 { profile_id: 2 }, Codec::Vp9 { profile_id: 0 }];
        assert_eq!(chosen(&both, Codec::Vp9 { profile_id: 0 }), Some(2));
        assert_eq!(
            chosen(&[Codec::Av1 { profile: 0 }], Codec::Av1 { profile: 1 }),
            None
        );
    }

    #[test]
    fn h265_takes_another_profile_rather_than_none() {
        let both = [Codec::H265 { profile_id: 2 }, Codec::H265 { profile_id: 1 }];
        assert_eq!(chosen(&both, Codec::H265 { profile_id: 1 }), Some(2));
        assert_eq!(chosen(&both[..1], Codec::H265 { profile_id: 1 }), Some(1));
    }

    #[test]
    fn codecs_are_known_by_name_without_case_and_by_clock_rate() {
        assert_eq!(identify("OPUS", 48_000, None), Some(Codec::Opus));
        assert_eq!(identify("opus", 16_000, None), None);
        assert_eq!(identify("vp8", 90_000, None), Some(Codec::Vp8));
        assert_eq!(identify("red", 90_000, None), None);
        assert_eq!(identify("H264", 90_000, None), Some(h264(0, [0x42, 0x00, 0x0a])));
        let fmtp = "level-asymmetry-allowed=1; Packetization-Mode=1 ;profile-level-id=42E01F";
        assert_eq!(
            identify("H264", 90_000, Some(fmtp)),
            Some(h264(1, [0x42, 0xe0, 0x1f]))
        );
        assert_eq!(identify("H264", 90_000, Some("packetization-mode=2")), None);
        assert_eq!(
            identify("VP9", 90_000, Some("profile-id=2")),
            Some(Codec::Vp9 { profile_id: 2 })
        );
        assert_eq!(identify("VP9", 90_000, Some("profile-id=1")), None);
        assert_eq!(
            identify("AV1", 90_000, Some("level-idx=5;profile=1;tier=0")),
            None
        );
        assert_eq!(
            identify("H265", 90_000, Some("profile-id=2")),
            Some(Codec::H265 { profile_id: 2 })
        );
    }

    #[test]
    fn answers_keep_what_names_the_format_and_leave_out_parameter_sets() {
        let fmtp = "packetization-mode=1;sprop-parameter-sets=Z0LAHt==,aM4=;profile-level-id=42c01e;level-asymmetry-allowed=1";
        assert_eq!(
            answer_fmtp(h264(1, [0x42, 0xc0, 0x1e]), fmtp).as_deref(),
            Some("packetization-mode=1;profile-level-id=42c01e;level-asymmetry-allowed=1")
        );
        assert_eq!(answer_fmtp(Codec::Vp8, "max-fs=12288;max-fr=60"), None);
        let opus = "minptime=10;stereo=1;sprop-stereo=1;useinbandfec=1";
        assert_eq!(answer_fmtp(Codec::Opus, opus).as_deref(), Some(opus));
    }
}
