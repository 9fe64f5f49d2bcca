//! Going down, and saying so.

use super::network::Conditions;
use super::publisher::PublisherSpec;
use super::viewer::ViewerSpec;
use super::world::{Id, World, seconds};
use crate::control::Refused;

#[test]
fn everybody_is_told_goodbye() {
    let mut world = World::new(90, 2);
    let mut clients = vec![world.publish("a", PublisherSpec::chromium(), 0)];
    clients.push(world.publish("b", PublisherSpec::ffmpeg(), 1));
    for n in 0..6 {
        clients.push(world.watch(["a", "b", "c"][n % 3], ViewerSpec::chromium(), n % 2));
    }
    for client in &clients {
        world.connect(*client);
    }
    world.run_for(seconds(2));
    world.control.shut_down();
    world.take_posted();
    world.run_for(seconds(1));
    for Id(client) in clients {
        assert!(world.clients[client].test.is_closed(), "client {client}");
    }
    assert_eq!(world.control.session_count(), 0);
    assert!(world.engines.iter().all(|engine| engine.session_count() == 0));
    let way = Conditions::delay(10);
    let late = world.try_watch("a", ViewerSpec::chromium(), 0, way, way);
    assert!(matches!(late, Err(Refused::Busy { .. })));
}

#[test]
fn a_client_that_says_goodbye_is_forgotten_at_once() {
    let mut world = World::new(91, 2);
    let publisher = world.publish("a", PublisherSpec::chromium(), 0);
    let viewer = world.watch("a", ViewerSpec::chromium(), 1);
    world.connect(publisher);
    world.connect(viewer);
    world.run_for(seconds(1));
    for (client, left) in [(viewer, 1), (publisher, 0)] {
        let now = world.now;
        world.client_mut(client).test.close(now);
        world.run_for(seconds(1));
        assert_eq!(world.control.session_count(), left);
    }
    assert!(world.control.streams().is_empty());
    assert!(world.engines.iter().all(|engine| engine.session_count() == 0));
}
