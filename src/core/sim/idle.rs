//! Viewers of nothing cost next to nothing.

use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{World, ms, seconds};
use crate::core::machine::Machine;
use crate::core::media::MediaKind;

#[test]
fn while_nothing_is_published_nothing_ticks() {
    let mut world = World::new(500, 1);
    for _ in 0..5 {
        let viewer = world.watch("a", ViewerSpec::chromium(), 0);
        world.connect(viewer);
    }
    world.run_for(seconds(1));
    assert!(world.engines[0].patience() > ms(0));
    let next = world.engines[0].poll_timeout().expect("they may fall silent");
    assert!(next > world.now + seconds(10), "{:?}", next - world.now);

    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(publisher);
    assert_eq!(world.engines[0].patience(), ms(0));
    world.run_for(seconds(2));
    assert_eq!(
        world
            .viewer(crate::core::sim::world::Id(0))
            .holes(MediaKind::Video),
        0
    );
    let next = world.engines[0].poll_timeout().expect("a publisher");
    assert!(next <= world.now + ms(35));

    world.client_mut(publisher).vanished = true;
    world.run_for(seconds(60));
    assert!(world.engines[0].patience() > ms(0), "the publisher is gone");
}

#[test]
fn a_session_that_may_come_any_moment_is_waited_for() {
    let mut world = World::new(501, 2);
    let viewer = world.watch("a", ViewerSpec::chromium(), 0);
    assert_eq!(
        world.engines[0].patience(),
        ms(0),
        "either may get its first check"
    );
    assert_eq!(world.engines[1].patience(), ms(0));
    world.connect(viewer);
    world.run_for(seconds(1));
    assert!(world.engines[0].patience() > ms(0));
    assert!(world.engines[1].patience() > ms(0));

    // One that never comes is forgotten.
    let absent = world.watch("a", ViewerSpec::chromium(), 0);
    world.client_mut(absent).vanished = true;
    assert_eq!(world.engines[0].patience(), ms(0));
    world.run_for(seconds(60));
    assert!(world.engines[0].patience() > ms(0));
}
