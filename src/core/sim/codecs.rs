//! Streams of one medium, and viewers that lack the codec.

use super::network::Conditions;
use super::offers::{self, Offered};
use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{World, ms, seconds};
use crate::control::Refused;
use crate::core::ids::Ssrc;
use crate::core::media::MediaKind;
use crate::core::rtp;
use crate::sdp::Reject;

#[test]
fn sound_alone() {
    let mut world = World::new(50, 2);
    let offer = offers::without(offers::CHROMIUM_SENDS, MediaKind::Video);
    let spec = PublisherSpec {
        offer,
        video: None,
        ..PublisherSpec::chromium()
    };
    let publisher = world.publish("a", spec, 0);
    world.connect(publisher);
    for worker in [0, 1] {
        let viewer = world.watch("a", ViewerSpec::chromium(), worker);
        world.connect(viewer);
        world.run_for(seconds(2));
        assert!(world.viewer(viewer).audio().len() >= 95);
        assert!(world.viewer(viewer).video().is_empty());
        assert_eq!(world.viewer(viewer).holes(MediaKind::Audio), 0);
    }
    let unasked = world.publisher(publisher).asked.is_empty();
    assert!(unasked, "there is no video to ask for");
}

#[test]
fn pictures_alone() {
    let mut world = World::new(51, 2);
    let offer = offers::without(offers::OBS_SENDS, MediaKind::Audio);
    let publisher = world.publish(
        "a",
        PublisherSpec {
            offer,
            audio: false,
            ..PublisherSpec::obs()
        },
        0,
    );
    world.connect(publisher);
    for worker in [0, 1] {
        let viewer = world.watch("a", ViewerSpec::chromium(), worker);
        world.connect(viewer);
        world.run_for(seconds(2));
        assert!(world.viewer(viewer).frames().len() > 55);
        assert!(world.viewer(viewer).audio().is_empty());
    }
}

#[test]
fn a_viewer_without_the_codec_is_told_so_and_one_that_finds_out_later_hears_the_sound() {
    let mut world = World::new(52, 1);
    let offer = offers::without_codec(offers::CHROMIUM_WATCHES, "H264");
    let lacking = ViewerSpec {
        offer,
        ..ViewerSpec::chromium()
    };
    // Before anything is published, nobody knows.
    let early = world.watch("a", lacking.clone(), 0);
    world.connect(early);
    let publisher = world.publish("a", PublisherSpec::obs(), 0);
    world.connect(publisher);
    world.run_for(seconds(2));
    assert!(world.viewer(early).video().is_empty());
    assert!(world.viewer(early).audio().len() > 90);

    let pictures = ViewerSpec {
        offer: offers::without(&lacking.offer, MediaKind::Audio),
        ..ViewerSpec::chromium()
    };
    let way = Conditions::delay(10);
    let refused = world.try_watch("a", pictures, 0, way, way).unwrap_err();
    assert!(
        matches!(&refused, Refused::Sdp(Reject::CodecNotOffered(_))),
        "{refused:?}"
    );

    let sound = world.watch("a", lacking, 0);
    world.connect(sound);
    world.run_for(seconds(2));
    assert!(world.viewer(sound).video().is_empty());
    assert!(world.viewer(sound).audio().len() > 90);

    // The next publisher speaks what they have.
    let next = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(next);
    world.run_for(seconds(2));
    assert!(world.viewer(early).frames().len() > 50);
}

/// Encoders that switch within a session: viewers get the other payload type, and what they ask for again of before
/// is either as it was or not sent at all.
#[test]
fn a_publisher_changes_its_codec_in_the_middle() {
    let mut world = World::new(53, 2);
    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(publisher);
    let viewers = [0, 1].map(|worker| world.watch("a", ViewerSpec::without_rtx(), worker));
    for viewer in viewers {
        world.connect(viewer);
    }
    world.run_for(seconds(2));
    let offered = Offered::read(offers::CHROMIUM_SENDS);
    world.publisher_mut(publisher).change_codec("H264", &offered);
    for _ in 0..10 {
        world.run_for(ms(50));
        for viewer in viewers {
            let watched = world.viewer(viewer);
            let newest = watched.video().last().unwrap().seq;
            let mut compound = Vec::new();
            let ssrc = Ssrc(watched.ssrc(MediaKind::Video).unwrap());
            rtp::nack(
                &mut compound,
                Ssrc(1),
                ssrc,
                (newest - 60..newest).map(|seq| seq as u16),
            );
            world.send(viewer, &compound, true);
        }
    }
    world.run_for(seconds(1));
    for viewer in viewers {
        let video = world.viewer(viewer).video();
        assert_eq!(
            (video[0].codec.as_str(), video[video.len() - 1].codec.as_str()),
            ("VP8", "H264")
        );
        assert!(video.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
        assert!(
            world.viewer(viewer).duplicates > 100,
            "what was asked for came again"
        );
    }
}
