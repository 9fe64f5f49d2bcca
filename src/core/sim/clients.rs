//! Every client in the book, by its own offer: publishes, or watches.

use super::offers::{self, Offered};
use super::publisher::{PublisherSpec, VideoSpec};
use super::viewer::ViewerSpec;
use super::world::{World, ms, seconds};
use crate::core::media::MediaKind;

macro_rules! offer {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../../tests/offers/", $name, ".sdp")),
        )
    };
}

const PUBLISHERS: [(&str, &str); 7] = [
    offer!("aiortc-1.16-sendonly"),
    offer!("chromium-156-sendonly"),
    offer!("ffmpeg-9.0-h264-opus"),
    offer!("gstreamer-1.28-whipclientsink"),
    offer!("gstreamer-1.28-whipsink"),
    offer!("obs-30.2-h264-opus"),
    offer!("obs-32.2-h264-opus"),
];

const VIEWERS: [(&str, &str); 6] = [
    offer!("aiortc-1.16-recvonly"),
    offer!("chromium-156-recvonly"),
    offer!("firefox-153-recvonly"),
    offer!("firefox-153-recvonly-h264"),
    offer!("gstreamer-1.28-whepsrc"),
    offer!("wrtc-0.10-recvonly"),
];

#[test]
fn whoever_publishes_is_watched() {
    for (n, (name, offer)) in PUBLISHERS.into_iter().enumerate() {
        let offered = Offered::read(offer);
        let Some(codec) = ["H264", "VP8"]
            .into_iter()
            .find(|codec| offered.format(codec).is_some())
        else {
            panic!("{name} offers neither H.264 nor VP8");
        };
        let audio = offered.format("OPUS").is_some();
        let video = VideoSpec {
            codec,
            ..VideoSpec::default()
        };
        let spec = PublisherSpec {
            offer: offer.to_owned(),
            video: Some(video),
            audio,
            ..PublisherSpec::obs()
        };
        let mut world = World::new(300 + n as u64, 1);
        let publisher = world.publish("a", spec, 0);
        world.connect(publisher);
        let viewer = world.watch("a", ViewerSpec::chromium(), 0);
        world.connect(viewer);
        world.run_for(seconds(2));
        let watched = world.viewer(viewer);
        assert!(
            watched.frames().len() > 50,
            "{name}: {} pictures",
            watched.frames().len()
        );
        assert_eq!(audio, watched.audio().len() > 80, "{name}");
        assert_eq!(watched.holes(MediaKind::Video), 0, "{name}");
    }
}

#[test]
fn whoever_watches_sees() {
    for (n, (name, offer)) in VIEWERS.into_iter().enumerate() {
        let offered = Offered::read(offer);
        let publisher = if offered.format("H264").is_some() {
            PublisherSpec::obs()
        } else {
            PublisherSpec::chromium()
        };
        let mut world = World::new(320 + n as u64, 1);
        let publisher = world.publish("a", publisher, 0);
        world.connect(publisher);
        world.run_for(seconds(1));
        let viewer = world.watch(
            "a",
            ViewerSpec {
                offer: offer.to_owned(),
                nacks: true,
                ..ViewerSpec::chromium()
            },
            0,
        );
        world.connect(viewer);
        world.run_for(seconds(2));
        let watched = world.viewer(viewer);
        if offered
            .formats
            .iter()
            .any(|format| format.kind == MediaKind::Video)
        {
            let frames = watched.frames();
            assert!(frames.len() > 60, "{name}: {} pictures", frames.len());
            assert!(frames[0].label.keyframe && frames[0].is_complete(), "{name}");
        }
        if offered.format("OPUS").is_some() {
            assert!(
                watched.audio().len() > 90,
                "{name}: {} packets of sound",
                watched.audio().len()
            );
        }
        assert!(world.now - watched.seen.last().unwrap().at < ms(50), "{name}");
    }
}

/// What the offers are made into has to be a client's own, or the tests above prove nothing.
#[test]
fn an_adapted_offer_keeps_everything_but_the_credentials() {
    let offered = Offered::read(offers::CHROMIUM_SENDS);
    assert_eq!(offered.format("VP8").map(|format| format.pt), Some(96));
    assert_eq!(offered.rtx_of(96), Some(97));
    assert_eq!(
        offered.ssrc(MediaKind::Video),
        Some((1_112_358_891, Some(941_944_848)))
    );
    assert_eq!(offered.extension(MediaKind::Video, "sdes:mid"), Some(9));
    let without = Offered::read(&offers::without_codec(offers::CHROMIUM_WATCHES, "H264"));
    assert!(without.format("H264").is_none() && without.format("VP8").is_some());
    let sound = Offered::read(&offers::without(offers::CHROMIUM_SENDS, MediaKind::Video));
    assert!(sound.formats.iter().all(|format| format.kind == MediaKind::Audio));
}
