//! ICE restarts and changes of network while media flows.

use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{Id, World, ms, seconds};

#[test]
fn an_ice_restart_costs_viewers_nothing() {
    for (seed, workers, worker) in [(70, 1, 0), (71, 2, 1)] {
        let (mut world, publisher, viewer) = watched(seed, workers, worker);
        for who in [viewer, publisher] {
            let etag = world.client(who).etag.clone();
            world.restart_ice(who);
            assert_ne!(world.client(who).etag, etag);
            let info = world.control.session(&world.client(who).session).unwrap();
            assert_eq!(info.etag, world.client(who).etag, "the old one is gone");
            world.run_for(seconds(20));
            assert!(longest_gap(&world, viewer) < ms(150));
        }
        // The new credentials carry consent: 40 s later both still live.
        assert!(!world.client(viewer).test.is_closed() && !world.client(publisher).test.is_closed());
        assert_eq!(world.client(viewer).test.failure(), None);
    }
}

#[test]
fn an_ice_restart_from_another_network_moves_the_media() {
    for (seed, workers, worker) in [(72, 1, 0), (73, 2, 1)] {
        let (mut world, _, viewer) = watched(seed, workers, 0);
        world.move_client(viewer, worker);
        world.restart_ice(viewer);
        world.run_for(seconds(20));
        assert!(longest_gap(&world, viewer) < seconds(1));
        assert!(world.now - world.viewer(viewer).seen.last().unwrap().at < ms(100));
    }
}

#[test]
fn a_restart_during_the_handshake_is_no_obstacle() {
    let mut world = World::new(74, 1);
    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(publisher);
    for pause in [0, 5, 15, 25, 35] {
        let viewer = world.watch("a", ViewerSpec::chromium(), 0);
        world.run_for(ms(pause));
        world.restart_ice(viewer);
        world.connect(viewer);
        world.run_for(seconds(1));
        assert!(world.viewer(viewer).frames().len() > 20, "after {pause} ms");
    }
}

#[test]
fn a_phone_that_changes_networks_nominates_its_new_address() {
    let (mut world, _, viewer) = watched(75, 1, 0);
    world.move_client(viewer, 0);
    let check = world.client(viewer).test.check();
    assert!(check.use_candidate);
    world.send_raw(viewer, &check.encode());
    world.run_for(seconds(5));
    assert!(longest_gap(&world, viewer) < ms(300));
}

/// Without credentials an address is nobody's: media does not go there, and nothing is answered.
#[test]
fn nobody_takes_a_session_by_pretending() {
    let (mut world, publisher, viewer) = watched(76, 1, 0);
    let home = world.client(viewer).address;
    let mut check = world.client(viewer).test.check();
    check.pwd = "a password that it is not".to_owned();
    let elsewhere = world.move_client(viewer, 0);
    world.send_raw(viewer, &check.encode());
    world.client_mut(viewer).test.stop_checks();
    // What is on its way already still arrives.
    world.run_for(ms(20));
    let before = world.viewer(viewer).seen.len();
    world.run_for(ms(500));
    assert_eq!(
        world.viewer(viewer).seen.len(),
        before,
        "nothing is sent to {elsewhere}"
    );
    world.move_back(viewer, home);
    world.run_for(seconds(1));
    assert!(world.viewer(viewer).seen.len() > before + 100);
    assert!(!world.client(publisher).test.is_closed());
}

fn watched(seed: u64, workers: u16, worker: usize) -> (World, Id, Id) {
    let mut world = World::new(seed, workers);
    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    world.connect(publisher);
    let viewer = world.watch("a", ViewerSpec::chromium(), worker);
    world.connect(viewer);
    world.run_for(seconds(2));
    (world, publisher, viewer)
}

fn longest_gap(world: &World, viewer: Id) -> std::time::Duration {
    let seen = world.viewer(viewer).video();
    seen.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap()
}
