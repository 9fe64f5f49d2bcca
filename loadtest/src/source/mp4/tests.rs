use proptest::prelude::*;

use super::super::file::is_keyframe;
use super::*;

const FILES: [(&str, &[u8]); 7] = [
    ("h264-opus", include_bytes!("../../../tests/mp4/h264-opus.mp4")),
    (
        "fragmented",
        include_bytes!("../../../tests/mp4/h264-opus-fragmented.mp4"),
    ),
    (
        "absolute",
        include_bytes!("../../../tests/mp4/h264-opus-fragmented-absolute.mp4"),
    ),
    ("h265-aac", include_bytes!("../../../tests/mp4/h265-aac.mp4")),
    ("av1", include_bytes!("../../../tests/mp4/av1.mp4")),
    ("vp9", include_bytes!("../../../tests/mp4/vp9.mp4")),
    ("opus", include_bytes!("../../../tests/mp4/opus.mp4")),
];

fn file(name: &str) -> &'static [u8] {
    let found = FILES.iter().find(|(known, _)| *known == name);
    found.expect("a file of that name").1
}

fn video(name: &str) -> VideoFile {
    let movie = parse(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    movie.video.expect("a video")
}

/// Types of the NAL units of a frame in Annex B.
fn units(frame: &FileFrame, h265: bool) -> Vec<u8> {
    let starts = frame.data.windows(4).enumerate();
    let starts = starts.filter(|(_, window)| *window == [0, 0, 0, 1]);
    let first = starts.map(|(at, _)| frame.data[at + 4]);
    first
        .map(|byte| if h265 { byte >> 1 & 0x3f } else { byte & 0x1f })
        .collect()
}

#[test]
fn frames_come_in_decoding_order_with_the_times_they_are_shown() {
    for name in ["h264-opus", "h265-aac"] {
        let video = video(name);
        let millis = |time: fn(&FileFrame) -> Duration| -> Vec<u64> {
            video
                .frames
                .iter()
                .map(|frame| time(frame).as_millis() as u64)
                .collect()
        };
        let mut shown = millis(|frame| frame.shown);
        let every = (0..15).map(|index| index * 100).collect::<Vec<u64>>();
        assert_eq!(millis(|frame| frame.at), every, "{name} is sent evenly");
        assert!(!shown.is_sorted(), "{name} has B-frames");
        assert_eq!(shown[0], 0);
        shown.sort_unstable();
        assert_eq!(shown, every, "{name}: each is shown once");
        assert_eq!(
            video.frames.iter().filter(|frame| frame.keyframe).count(),
            2,
            "{name}"
        );
    }
}

#[test]
fn parameter_sets_stand_before_each_keyframe() {
    for (name, h265, sets) in [
        ("h264-opus", false, &[7, 8][..]),
        ("h265-aac", true, &[32, 33, 34]),
    ] {
        for frame in video(name).frames {
            let kinds = units(&frame, h265);
            assert_eq!(kinds.starts_with(sets), frame.keyframe, "{name}: {kinds:?}");
        }
    }
    for (name, codec) in [("av1", VideoCodec::Av1), ("vp9", VideoCodec::Vp9)] {
        let video = video(name);
        assert_eq!((video.codec, video.frames.len()), (codec, 15));
        for frame in video.frames {
            assert_eq!(is_keyframe(codec, &frame.data), frame.keyframe, "{name}");
        }
    }
}

#[test]
fn fragments_hold_the_same_as_a_plain_file() {
    let list = |name: &str| -> Vec<_> {
        let frames = video(name).frames.into_iter();
        frames
            .map(|frame| {
                (
                    frame.at.as_millis(),
                    frame.shown.as_millis(),
                    frame.keyframe,
                    frame.data,
                )
            })
            .collect()
    };
    assert_eq!(list("fragmented"), list("h264-opus"));
    assert_eq!(list("absolute"), list("h264-opus"));
}

#[test]
fn sound_and_picture_begin_again_together() {
    for name in ["h264-opus", "fragmented", "absolute"] {
        let movie = parse(file(name)).expect("a movie");
        let (Some(video), Sound::Opus(audio)) = (movie.video, movie.sound) else {
            panic!("{name} has both");
        };
        let samples: u64 = audio.packets.iter().map(|(samples, _)| u64::from(*samples)).sum();
        assert_eq!(video.length, ticks(samples, 48_000), "{name}");
        assert_eq!(video.length.as_millis(), 1500, "{name}");
    }
}

#[test]
fn sound_that_webrtc_does_not_carry_is_named() {
    let movie = parse(file("h265-aac")).expect("a movie");
    assert!(matches!(movie.sound, Sound::Other(codec) if codec == "mp4a"));
    let alone = parse(file("opus")).expect("a movie");
    assert!(alone.video.is_none() && matches!(alone.sound, Sound::Opus(_)));
}

#[test]
fn broken_files_say_what_is_wrong() {
    let whole = file("h264-opus");
    let reason = |bytes: &[u8]| {
        parse(bytes)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert_eq!(
        reason(&whole[..whole.len() - 1]),
        "broken MP4: it ends inside its box moov"
    );
    let unindexed = reason(&whole[..top_level(whole).expect("boxes")[0].1.end]);
    assert!(unindexed.contains("no index (moov)"), "{unindexed}");
    let mut renamed = whole.to_vec();
    // The name stands among the brands at the file's head too.
    let at = renamed
        .windows(4)
        .rposition(|window| window == b"avc1")
        .expect("an entry");
    renamed[at..at + 4].copy_from_slice(b"mjpg");
    assert!(reason(&renamed).contains("\"mjpg\""), "{}", reason(&renamed));
}

#[test]
fn a_run_that_claims_millions_of_samples_is_refused_before_they_are_made() {
    let mut bytes = file("fragmented").to_vec();
    let at = find(&bytes, b"trun").expect("a run") + 4;
    bytes[at + 2] = 0;
    bytes[at + 4..at + 8].copy_from_slice(&16_000_000u32.to_be_bytes());
    let memory = allocation_counter::measure(|| {
        let said = parse(&bytes).expect_err("more samples than bytes").to_string();
        assert!(said.contains("claims 16000000 samples"), "{said}");
    });
    assert!(memory.bytes_max < 1 << 20, "{memory:?}");
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// What can happen to a file.
#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    /// Sizes, counts and offsets are words.
    Word(prop::sample::Index, u32),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Double(prop::sample::Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let word = prop_oneof![
        prop::sample::select(vec![
            0,
            1,
            7,
            8,
            16,
            0x00ff_ffff,
            0x0100_0000,
            0x7fff_ffff,
            0x8000_0000,
            u32::MAX
        ]),
        any::<u32>(),
    ];
    prop_oneof![
        3 => (any::<prop::sample::Index>(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        4 => (any::<prop::sample::Index>(), word).prop_map(|(at, word)| Damage::Word(at, word)),
        1 => any::<prop::sample::Index>().prop_map(Damage::Cut),
        1 => (any::<prop::sample::Index>(), 1..64usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        1 => (any::<prop::sample::Index>(), 1..64usize).prop_map(|(at, len)| Damage::Double(at, len)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let len = bytes.len().max(1);
    match damage {
        Damage::Flip(at, bit) => {
            if let Some(byte) = bytes.get_mut(at.index(len)) {
                *byte ^= 1 << bit;
            }
        }
        Damage::Word(at, word) => {
            if let Some(four) = bytes.get_mut(at.index(len)..).and_then(|rest| rest.get_mut(..4)) {
                four.copy_from_slice(&word.to_be_bytes());
            }
        }
        Damage::Cut(at) => bytes.truncate(at.index(len)),
        Damage::Remove(at, count) => {
            let at = at.index(len).min(bytes.len());
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Damage::Double(at, count) => {
            let at = at.index(len).min(bytes.len());
            let part = bytes[at..(at + count).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_makes_it_panic_or_take_memory(
        which in 0..FILES.len(),
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        let mut bytes = FILES[which].1.to_vec();
        let len = bytes.len();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        let memory = allocation_counter::measure(|| {
            if let Ok(Movie { video: Some(video), .. }) = parse(&bytes) {
                let held: usize = video.frames.iter().map(|frame| frame.data.len()).sum();
                assert!(held <= MAX_GROWTH * bytes.len());
            }
        });
        prop_assert!(memory.bytes_max < 100 * len as u64 + (1 << 20), "{memory:?}");
    }
}
