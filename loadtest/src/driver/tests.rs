//! The clients against an independent stack, over real sockets.

use std::time::Duration;

use super::plan::{Leave, Snapshot};
use super::{Arrival, DriverError, Presence, PublisherConfig, Publishers, ViewerConfig, Viewers, clock};
use crate::client::behaviour::Behaviour;
use crate::client::dtls::SrtpChoice;
use crate::client::offer::{ALL_VIDEO, Feedback, VideoCodec};
use crate::client::peer::PeerState;
use crate::client::publisher::PublisherMedia;
use crate::client::viewer::ViewerMedia;
use crate::reference::ReferenceServer;
use crate::source::VideoSource;
use crate::source::synthetic::VideoPlan;

#[test]
fn a_stream_passes_an_independent_server() {
    let server = ReferenceServer::start().expect("a free port");
    let publishers = publish(&server, VideoCodec::Vp8, SrtpChoice::Both);
    until(
        || publishers.snapshot(),
        |now| now.publishers.iter().all(|publisher| publisher.frames > 5),
    );
    let viewers = watch(&server, 3, SrtpChoice::Both);
    let seen = until(
        || viewers.snapshot(),
        |now| now.viewers.len() == 3 && now.viewers.iter().all(|viewer| viewer.video.frames.complete > 30),
    );
    for viewer in &seen.viewers {
        assert_eq!(
            (viewer.state.clone(), viewer.video.lost, viewer.unauthentic),
            (PeerState::Connected, 0, 0)
        );
        assert!(viewer.audio.packets > 20, "{viewer:?}");
        assert!(viewer.first_keyframe_ms >= viewer.first_packet_ms && viewer.first_packet_ms.is_some());
    }
    assert!(!seen.latency.is_empty() && seen.latency.value_at_quantile(0.5) < 1_000_000);
}

#[test]
fn either_srtp_profile_can_be_forced() {
    use crate::client::srtp::Profile;
    for (choice, profile) in [
        (SrtpChoice::Cm, Profile::Cm128Sha1),
        (SrtpChoice::Gcm, Profile::Gcm128),
    ] {
        let server = ReferenceServer::start().expect("a free port");
        let publishers = publish(&server, VideoCodec::H264, choice);
        until(
            || publishers.snapshot(),
            |now| now.publishers.iter().all(|publisher| publisher.frames > 5),
        );
        let viewers = watch(&server, 1, choice);
        let seen = until(
            || viewers.snapshot(),
            |now| now.viewers.iter().any(|viewer| viewer.video.frames.complete > 10),
        );
        assert_eq!(seen.viewers[0].srtp, Some(profile));
    }
}

#[test]
fn viewers_leave_stall_and_read_late_as_told() {
    let server = ReferenceServer::start().expect("a free port");
    let publishers = publish(&server, VideoCodec::Vp8, SrtpChoice::Both);
    until(
        || publishers.snapshot(),
        |now| now.publishers.iter().all(|publisher| publisher.frames > 5),
    );
    let mut arrivals = ViewerConfig::ramp(&server.url("whep"), 4, 0.0);
    let short = Duration::from_millis(1500);
    arrivals[1].stay = Some(short);
    arrivals[2].behaviour = Behaviour::Stalled { after: short };
    arrivals[3].behaviour = Behaviour::Slow {
        every: Duration::from_millis(100),
    };
    let viewers = viewers_at(arrivals, SrtpChoice::Both);
    let later = |frames: u64| {
        until(
            || viewers.snapshot(),
            |now| now.viewers.len() == 4 && now.viewers[0].video.frames.complete > frames,
        )
    };
    // Two seconds in, and one more.
    let (first, second) = (later(60), later(90));
    let packets = |snapshot: &Snapshot, index: usize| snapshot.viewers[index].packets();
    assert_eq!(first.viewers[1].state, PeerState::Closed);
    assert!(
        (1400.0..2000.0).contains(&second.viewers[1].lived_ms),
        "{:?}",
        second.viewers[1]
    );
    assert!(packets(&first, 2) > 0 && packets(&first, 2) == packets(&second, 2));
    assert!(packets(&second, 3) > packets(&first, 3));
    assert_eq!(second.viewers[3].video.lost, 0, "late is not lost");
    assert!(!second.impaired_latency.is_empty());
}

#[test]
fn a_publisher_that_vanishes_comes_back() {
    let server = ReferenceServer::start().expect("a free port");
    let away = Leave {
        after: Duration::from_secs(1),
        goodbye: false,
    };
    let presence = [
        Presence {
            from: Duration::ZERO,
            leave: Some(away),
        },
        Presence {
            from: Duration::from_millis(1300),
            leave: None,
        },
    ];
    let publishers = Publishers::start(PublisherConfig {
        presence: presence.into(),
        ..steady(&server, VideoCodec::Vp8, SrtpChoice::Both)
    })
    .expect("threads");
    let seen = until(
        || publishers.snapshot(),
        |now| now.publishers.len() == 2 && now.publishers[1].frames > 10,
    );
    assert_eq!(seen.publishers[0].state, PeerState::Closed);
    assert_eq!(seen.publishers[1].state, PeerState::Connected);
}

#[test]
fn a_publisher_tries_again_until_there_is_a_server() {
    let url = {
        let gone = ReferenceServer::start().expect("a free port");
        gone.url("whip")
    };
    let media = steady_media(VideoCodec::Vp8);
    let publishers = Publishers::start(PublisherConfig {
        retry: Some(Duration::from_millis(100)),
        ..PublisherConfig::steady(vec![url], media, SrtpChoice::Both)
    })
    .expect("threads");
    let state = |wanted: fn(&PeerState) -> bool| {
        until(
            || publishers.snapshot(),
            |now| now.publishers.iter().any(|publisher| wanted(&publisher.state)),
        );
    };
    // Refused, and a moment later under way again.
    state(|state| matches!(state, PeerState::Failed(_)));
    state(|state| matches!(state, PeerState::Offered));
    state(|state| matches!(state, PeerState::Failed(_)));
}

#[test]
fn refusals_and_absence_are_told_plainly() {
    let server = ReferenceServer::start().expect("a free port");
    let reason = |viewers: Viewers| {
        let failed = until(
            || viewers.snapshot(),
            |now| {
                now.viewers
                    .iter()
                    .any(|viewer| matches!(viewer.state, PeerState::Failed(_)))
            },
        );
        format!("{:?}", failed.viewers[0].state)
    };
    let refused = reason(watch(&server, 1, SrtpChoice::Both));
    assert!(
        refused.contains("422") && refused.contains("nobody publishes"),
        "{refused}"
    );
    drop(server);
    let absent = reason(viewers_of("http://127.0.0.1:9/whep/live", 1, SrtpChoice::Both));
    assert!(
        absent.contains("cannot reach http://127.0.0.1:9/whep/live"),
        "{absent}"
    );
    let nonsense = reason(viewers_of("not a url", 1, SrtpChoice::Both));
    assert!(nonsense.contains("no URL"), "{nonsense}");
}

fn publish(server: &ReferenceServer, codec: VideoCodec, srtp: SrtpChoice) -> Publishers {
    Publishers::start(steady(server, codec, srtp)).expect("threads")
}

fn steady(server: &ReferenceServer, codec: VideoCodec, srtp: SrtpChoice) -> PublisherConfig {
    PublisherConfig::steady(vec![server.url("whip")], steady_media(codec), srtp)
}

fn steady_media(codec: VideoCodec) -> PublisherMedia {
    let video = VideoPlan {
        codec,
        bitrate: 1_000_000,
        fps: 30.0,
        keyframe_interval: 1.0,
    };
    PublisherMedia {
        video: Some(VideoSource::Synthetic(video)),
        audio: true,
        audio_file: None,
        simulcast: false,
        obs_like: false,
        loss: 0.0,
    }
}

fn watch(server: &ReferenceServer, count: usize, srtp: SrtpChoice) -> Viewers {
    viewers_of(&server.url("whep"), count, srtp)
}

fn viewers_of(url: &str, count: usize, srtp: SrtpChoice) -> Viewers {
    viewers_at(ViewerConfig::ramp(url, count, 0.0), srtp)
}

fn viewers_at(arrivals: Vec<Arrival>, srtp: SrtpChoice) -> Viewers {
    let media = ViewerMedia {
        video: ALL_VIDEO.to_vec(),
        audio: true,
        rtx: true,
        feedback: Feedback::TransportCc,
    };
    Viewers::start(ViewerConfig {
        arrivals,
        token: None,
        media,
        srtp,
    })
    .expect("threads")
}

/// Looks at snapshots until one satisfies `met`; fails after half a minute.
fn until(take: impl Fn() -> Result<Snapshot, DriverError>, met: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let deadline = clock::now().instant + Duration::from_secs(30);
    loop {
        let now = take().expect("the driver runs");
        if met(&now) {
            return now;
        }
        assert!(
            clock::now().instant < deadline,
            "{:#?} {:#?}",
            now.viewers,
            now.publishers
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
