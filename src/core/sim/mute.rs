//! An operator mutes a stream.

use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{World, ms, seconds};
use crate::core::media::MediaKind;

#[test]
fn what_is_muted_stops_and_comes_back_without_a_hole() {
    for (seed, spec) in [PublisherSpec::chromium(), PublisherSpec::obs()]
        .into_iter()
        .enumerate()
    {
        let mut world = World::new(960 + seed as u64, 2);
        let publisher = world.publish("a", spec, 0);
        world.connect(publisher);
        let viewer = world.watch("a", ViewerSpec::chromium(), 1);
        world.connect(viewer);
        world.run_for(seconds(3));
        let stream = "a".parse().unwrap();
        let mute = |world: &mut World, audio, video| {
            world
                .control
                .mute(&stream, Some(audio), Some(video))
                .expect("the stream is there");
            world.take_posted();
        };
        let newest = |world: &World, kind| world.viewer(viewer).of(kind).map(|seen| seen.at).max().unwrap();

        mute(&mut world, true, false);
        world.run_for(seconds(2));
        assert!(world.now - newest(&world, MediaKind::Audio) > ms(1900));
        assert!(world.now - newest(&world, MediaKind::Video) < ms(100));

        mute(&mut world, false, true);
        world.run_for(seconds(2));
        assert!(world.now - newest(&world, MediaKind::Audio) < ms(100));
        assert!(world.now - newest(&world, MediaKind::Video) > ms(1900));

        let nacks = world.viewer(viewer).nacks_sent;
        mute(&mut world, false, false);
        // OBS sends a keyframe every ten seconds and none when asked.
        world.run_for(seconds(11));
        assert!(world.now - newest(&world, MediaKind::Video) < ms(100));
        for kind in [MediaKind::Audio, MediaKind::Video] {
            assert_eq!(world.viewer(viewer).holes(kind), 0, "{kind:?}");
        }
        assert_eq!(world.viewer(viewer).nacks_sent, nacks);
        assert!(
            world
                .viewer(viewer)
                .frames()
                .iter()
                .all(|frame| frame.is_complete())
        );
    }
}
