//! Several workers: who has what, and what crosses between them.

use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{World, ms, seconds};
use crate::core::media::MediaKind;

#[test]
fn a_stream_crosses_once_per_worker_and_only_while_somebody_watches() {
    let mut world = World::new(60, 3);
    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(publisher);
    world.run_for(seconds(1));
    assert_eq!(world.messages.get(&(0, "Media")), None, "nobody watches");

    let viewers = [1, 1, 1].map(|worker| world.watch("a", ViewerSpec::chromium(), worker));
    for viewer in viewers {
        world.connect(viewer);
    }
    world.run_for(seconds(2));
    assert_eq!(world.messages[&(1, "Subscribe")], 1);
    for viewer in &viewers[..2] {
        let session = world.client(*viewer).session;
        assert!(world.control.end(&session));
    }
    world.run_for(seconds(1));
    assert!(world.client(viewers[0]).test.is_closed());
    assert_eq!(world.messages.get(&(1, "Unsubscribe")), None, "one is left");
    assert!(world.now - world.viewer(viewers[2]).seen.last().unwrap().at < ms(100));

    world.client_mut(viewers[2]).vanished = true;
    world.run_for(seconds(32));
    assert_eq!(world.messages[&(1, "Unsubscribe")], 1);
    let media = world.messages[&(0, "Media")];
    world.run_for(seconds(2));
    assert_eq!(world.messages[&(0, "Media")], media, "nothing crosses any more");
    assert_eq!(world.engines[1].session_count(), 0);

    let again = world.watch("a", ViewerSpec::chromium(), 1);
    world.connect(again);
    world.run_for(seconds(2));
    assert_eq!(world.viewer(again).holes(MediaKind::Video), 0);
    assert!(world.viewer(again).frames().len() > 50);
}

#[test]
fn many_streams_do_not_mix() {
    let mut world = World::new(61, 2);
    let streams = ["a", "b", "c", "d"];
    let publishers: Vec<_> = streams
        .iter()
        .enumerate()
        .map(|(n, stream)| world.publish(stream, PublisherSpec::chromium(), n % 2))
        .collect();
    for publisher in &publishers {
        world.connect(*publisher);
    }
    let viewers: Vec<_> = (0..8)
        .map(|n| world.watch(streams[n % 4], ViewerSpec::chromium(), n / 4))
        .collect();
    for viewer in &viewers {
        world.connect(*viewer);
    }
    world.run_for(seconds(2));
    for (n, viewer) in viewers.iter().enumerate() {
        let seen = &world.viewer(*viewer).seen;
        assert!(seen.len() > 250);
        assert!(
            seen.iter()
                .all(|seen| usize::from(seen.label.source) == publishers[n % 4].0)
        );
    }
}

/// The client's network address changes and the kernel's hash sends the new one to another worker.
#[test]
fn media_follows_a_client_to_an_address_of_another_worker() {
    let mut world = World::new(62, 2);
    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(publisher);
    let viewer = world.watch("a", ViewerSpec::chromium(), 1);
    world.connect(viewer);
    world.run_for(seconds(2));
    for (who, worker) in [(viewer, 0), (publisher, 1)] {
        world.move_client(who, worker);
        let at = world.now;
        // A browser checks at once when its network changes.
        let check = world.client(who).test.check().encode();
        world.send_raw(who, &check);
        world.run_for(seconds(4));
        let seen = world.viewer(viewer).video();
        let gap = seen
            .windows(2)
            .filter(|pair| pair[1].at > at)
            .map(|pair| pair[1].at - pair[0].at)
            .max()
            .unwrap();
        assert!(gap < ms(300), "{gap:?} without a picture");
        assert!(world.now - seen.last().unwrap().at < ms(100));
        let frames = world.viewer(viewer).frames();
        let rest = frames
            .iter()
            .filter(|frame| frame.first_at > at + ms(300))
            .rev()
            .skip(2);
        assert!(rest.into_iter().all(|frame| frame.is_complete()));
    }
    assert!(world.engines[0].counters().handed_over > 0, "the viewer's");
    assert!(world.engines[1].counters().handed_over > 100, "the publisher's");
    // Feedback from there is heard, too.
    let asked = world.publisher(publisher).asked.len();
    super::keyframes::ask(&mut world, viewer);
    world.run_for(seconds(1));
    assert!(world.publisher(publisher).asked.len() > asked);
}
