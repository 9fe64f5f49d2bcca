//! The publisher's doctor: each finding where it is, and none where all is well.

use std::time::Duration;

use super::network::Conditions;
use super::publisher::{PublisherSpec, VideoSpec};
use super::world::{Id, World, ms, seconds};
use crate::core::statistics::FindingCode;

fn found(world: &World, id: Id) -> Vec<(FindingCode, Option<String>)> {
    let view = world
        .control
        .view(world.client(id).session)
        .expect("the session lives");
    let diagnoses = view.diagnoses().into_iter().filter(|finding| finding.active);
    diagnoses.map(|finding| (finding.code, finding.layer)).collect()
}

/// What is found after so long. The test's sound has one byte of Opus that says: mono, and its H.264 has no PPS.
fn after(world: &mut World, publisher: Id, wait: Duration) -> Vec<FindingCode> {
    world.run_for(wait);
    let of_the_test = [
        FindingCode::MonoAudio,
        FindingCode::NarrowAudio,
        FindingCode::MissingParameterSets,
    ];
    let codes = found(world, publisher).into_iter().map(|(code, _)| code);
    codes.filter(|code| !of_the_test.contains(code)).collect()
}

fn published(seed: u64, spec: PublisherSpec, up: Conditions) -> (World, Id) {
    let mut world = World::new(seed, 1);
    let publisher = world.publish_over("a", spec, 0, up, Conditions::delay(10));
    world.connect(publisher);
    (world, publisher)
}

#[test]
fn a_sound_publisher_is_found_sound() {
    for (seed, spec) in [
        PublisherSpec::chromium(),
        PublisherSpec::chromium_simulcast(),
        PublisherSpec {
            video: Some(VideoSpec {
                codec: "H264",
                gop: seconds(2),
                ..VideoSpec::default()
            }),
            ..PublisherSpec::obs()
        },
    ]
    .into_iter()
    .enumerate()
    {
        let jittery = Conditions {
            jitter: ms(40),
            loss: 0.005,
            ..Conditions::delay(30)
        };
        let (mut world, publisher) = published(920 + seed as u64, spec, jittery);
        let codes = after(&mut world, publisher, seconds(70));
        assert!(codes.is_empty(), "{seed}: {codes:?}");
    }
}

#[test]
fn rare_keyframes_of_a_deaf_publisher_are_found() {
    let (mut world, publisher) = published(930, PublisherSpec::obs(), Conditions::delay(10));
    assert!(after(&mut world, publisher, seconds(4)).is_empty());
    assert_eq!(
        after(&mut world, publisher, seconds(8)),
        [FindingCode::KeyframeInterval]
    );
    // One that answers when asked may send them as rarely as it likes.
    let rare = PublisherSpec {
        video: Some(VideoSpec {
            gop: seconds(60),
            ..VideoSpec::default()
        }),
        ..PublisherSpec::chromium()
    };
    let (mut world, publisher) = published(931, rare, Conditions::delay(10));
    assert!(after(&mut world, publisher, seconds(20)).is_empty());
}

#[test]
fn an_uplink_that_loses_is_found_and_forgotten_when_it_is_over() {
    let lossy = Conditions {
        loss: 0.06,
        ..Conditions::delay(20)
    };
    let (mut world, publisher) = published(940, PublisherSpec::chromium(), lossy);
    assert_eq!(
        after(&mut world, publisher, seconds(12)),
        [FindingCode::UplinkLoss]
    );
    world.client_mut(publisher).up.conditions = Conditions::delay(20);
    assert!(after(&mut world, publisher, seconds(40)).is_empty());
    let view = world.control.view(world.client(publisher).session).unwrap();
    assert!(
        view.diagnoses()
            .iter()
            .any(|found| found.code == FindingCode::UplinkLoss && !found.active)
    );
}

#[test]
fn silence_is_found_whether_announced_or_not() {
    let silent = PublisherSpec {
        audio: false,
        ..PublisherSpec::chromium()
    };
    let (mut world, publisher) = published(950, silent, Conditions::delay(10));
    assert_eq!(after(&mut world, publisher, seconds(8)), [FindingCode::NoAudio]);
}
