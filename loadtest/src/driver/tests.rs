//! The clients against an independent stack, over real sockets.

use std::time::Duration;

use super::plan::Snapshot;
use super::{DriverError, PublisherConfig, Publishers, ViewerConfig, Viewers, clock};
use crate::client::dtls::SrtpChoice;
use crate::client::offer::{ALL_VIDEO, VideoCodec};
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
    let video = VideoPlan {
        codec,
        bitrate: 1_000_000,
        fps: 30.0,
        keyframe_interval: 1.0,
    };
    let media = PublisherMedia {
        video: Some(VideoSource::Synthetic(video)),
        audio: true,
        audio_file: None,
        simulcast: false,
        obs_like: false,
        loss: 0.0,
    };
    Publishers::start(PublisherConfig::steady(vec![server.url("whip")], media, srtp)).expect("threads")
}

fn watch(server: &ReferenceServer, count: usize, srtp: SrtpChoice) -> Viewers {
    viewers_of(&server.url("whep"), count, srtp)
}

fn viewers_of(url: &str, count: usize, srtp: SrtpChoice) -> Viewers {
    let media = ViewerMedia {
        video: ALL_VIDEO.to_vec(),
        audio: true,
        rtx: true,
    };
    let arrivals = ViewerConfig::ramp(url, count, 0.0);
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
