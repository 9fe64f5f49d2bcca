//! Both stacks against one server, over real sockets: they have to see the same.

use std::time::Duration;

use super::{publish, watch};
use crate::client::dtls::SrtpChoice;
use crate::client::offer::{Feedback, VideoCodec};
use crate::client::peer::PeerState;
use crate::client::publisher::PublisherMedia;
use crate::client::viewer::{ViewerMedia, ViewerStats};
use crate::driver::plan::Snapshot;
use crate::driver::{PublisherConfig, Publishers, ViewerConfig, Viewers, clock};
use crate::reference::ReferenceServer;
use crate::source::VideoSource;
use crate::source::synthetic::VideoPlan;

#[test]
fn both_stacks_count_the_same_packets_of_the_same_server() {
    let server = ReferenceServer::start().expect("a free port");
    let url = server.url("whip");
    let publishers =
        Publishers::start(PublisherConfig::steady(vec![url], media(), SrtpChoice::Both)).expect("threads");
    until(
        || publishers.snapshot().expect("the driver runs"),
        |now| now.publishers.iter().all(|publisher| publisher.frames > 5),
    );
    let own = Viewers::start(viewers(&server)).expect("threads");
    let theirs = watch::Viewers::start(viewers(&server)).expect("a runtime");
    let started = |snapshot: &Snapshot| {
        snapshot
            .viewers
            .iter()
            .any(|viewer| viewer.video.frames.complete > 10 && viewer.audio.packets > 10)
    };
    until(|| own.snapshot().expect("the driver runs"), started);
    until(|| theirs.snapshot(), started);
    // One right after the other: less than a frame lies between them.
    let both = || [own.snapshot().expect("the driver runs"), theirs.snapshot()];
    let from = both();
    std::thread::park_timeout(Duration::from_secs(4));
    let to = both();
    let [ours, others] = [0, 1].map(|stack: usize| {
        let (from, to) = (&from[stack].viewers[0], &to[stack].viewers[0]);
        assert_eq!(to.state, PeerState::Connected);
        assert_eq!((to.video.lost, to.audio.lost), (0, 0), "{to:?}");
        assert!(to.first_keyframe_ms >= to.first_packet_ms && to.first_packet_ms.is_some());
        let unseen = |viewer: &ViewerStats| viewer.video.frames.broken + viewer.video.frames.undecodable;
        assert_eq!(unseen(from), unseen(to), "{to:?}");
        let counts = |viewer: &ViewerStats| {
            let frames = viewer.video.frames;
            [
                viewer.video.packets,
                viewer.audio.packets,
                frames.complete,
                frames.keyframes,
            ]
        };
        let (from, to) = (counts(from), counts(to));
        std::array::from_fn::<u64, 4, _>(|index| to[index] - from[index])
    });
    // The packets of a keyframe, some of audio, a frame or two.
    for (index, apart) in [40, 4, 2, 1].into_iter().enumerate() {
        assert!(
            ours[index].abs_diff(others[index]) <= apart,
            "{ours:?} {others:?}"
        );
    }
    assert!(ours[0] > 300 && ours[2] > 100, "{ours:?}");
}

#[test]
fn a_publisher_of_the_other_stack_is_seen_by_our_viewers() {
    let server = ReferenceServer::start().expect("a free port");
    let publishers = publish::Publishers::start(vec![server.url("whip")], None, media()).expect("a runtime");
    until(
        || publishers.snapshot(),
        |now| now.publishers.iter().all(|publisher| publisher.frames > 5),
    );
    let viewers = Viewers::start(viewers(&server)).expect("threads");
    let seen = until(
        || viewers.snapshot().expect("the driver runs"),
        |now| now.viewers.iter().any(|viewer| viewer.video.frames.complete > 30),
    );
    let viewer = &seen.viewers[0];
    assert_eq!((viewer.video.lost, viewer.video.frames.broken), (0, 0));
    assert!(
        viewer.audio.packets > 20 && viewer.latency_p50.is_some(),
        "{viewer:?}"
    );
    let published = publishers.snapshot();
    assert!(
        published.publishers[0].keyframe_requests >= 1,
        "the server asked for one"
    );
}

#[test]
fn what_the_other_stack_cannot_do_is_said() {
    let simulcast = PublisherMedia {
        simulcast: true,
        ..media()
    };
    assert!(publish::Publishers::start(vec!["http://127.0.0.1:9/x".into()], None, simulcast).is_err());
    let gone = {
        let server = ReferenceServer::start().expect("a free port");
        viewers(&server)
    };
    let viewers = watch::Viewers::start(gone).expect("a runtime");
    let failed = until(
        || viewers.snapshot(),
        |now| {
            now.viewers
                .iter()
                .any(|viewer| matches!(viewer.state, PeerState::Failed(_)))
        },
    );
    let reason = format!("{:?}", failed.viewers[0].state);
    assert!(reason.contains("cannot reach http://127.0.0.1"), "{reason}");
}

fn media() -> PublisherMedia {
    PublisherMedia {
        video: Some(VideoSource::Synthetic(VideoPlan {
            codec: VideoCodec::Vp8,
            bitrate: 1_000_000,
            fps: 30.0,
            keyframe_interval: 1.0,
        })),
        audio: true,
        audio_file: None,
        simulcast: false,
        obs_like: false,
        loss: 0.0,
    }
}

fn viewers(server: &ReferenceServer) -> ViewerConfig {
    ViewerConfig {
        arrivals: ViewerConfig::ramp(&server.url("whep"), 1, 0.0),
        token: None,
        media: ViewerMedia {
            video: vec![VideoCodec::Vp8],
            audio: true,
            rtx: true,
            feedback: Feedback::TransportCc,
        },
        srtp: SrtpChoice::Both,
    }
}

/// Looks at snapshots until one satisfies `met`; fails after half a minute.
fn until(take: impl Fn() -> Snapshot, met: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let deadline = clock::now().instant + Duration::from_secs(30);
    loop {
        let now = take();
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
