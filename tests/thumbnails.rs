//! Pictures of streams: from what encoders really write, and from what no decoder should see.
//!
//! `pictures/` holds a keyframe each of 320 × 180, red on the left and blue on the right, from libvpx and x264.

mod support;

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use bytes::Bytes;
use image::Rgb;
use proptest::prelude::*;
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::packetizer::Payloader;
use shibuki::core::peer::testing::ClientOptions;
use shibuki::picture::{COMMAND, Coded, Maker, MakerError, PictureCodec};
use support::client::Client;
use support::server::Process;
use support::{DEADLINE, http, now};

const PAGE: &str = include_str!("offers/chromium-156-sendonly.sdp");
const VP8: &[u8] = include_bytes!("pictures/vp8.frame");
const H264_BASELINE: &[u8] = include_bytes!("pictures/h264-baseline.frame");
const H264_HIGH: &[u8] = include_bytes!("pictures/h264-high.frame");

/// Payload types and SSRC of Chromium's offer.
const PAGE_VP8: u8 = 96;
const PAGE_VP9: u8 = 98;
const PAGE_VIDEO: u32 = 1_112_358_891;
/// Of OBS's.
const OBS_H264: u8 = 96;
const OBS_VIDEO: u32 = 2_985_326_069;

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn detail(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        problem["detail"].as_str().unwrap().to_owned()
    }
}

fn get(server: &Process, path: &str, headers: &str) -> Answer {
    let mut stream = http::connect(server.at.http);
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: bytes[end + 4..].to_vec(),
        head,
    }
}

/// A publisher of single frames.
struct Publisher {
    client: Client,
    pt: u8,
    ssrc: u32,
    seq: u16,
    timestamp: u32,
}

impl Publisher {
    fn page(server: &Process, stream: &str, pt: u8) -> Self {
        let client = Client::offer(
            server.at,
            &format!("/whip/{stream}"),
            PAGE,
            ClientOptions::default(),
        );
        Self::new(client, pt, PAGE_VIDEO)
    }

    fn obs(server: &Process, stream: &str) -> Self {
        Self::new(Client::publish(server.at, stream), OBS_H264, OBS_VIDEO)
    }

    fn new(mut client: Client, pt: u8, ssrc: u32) -> Self {
        client.connect();
        Self {
            client,
            pt,
            ssrc,
            seq: 0,
            timestamp: 0,
        }
    }

    fn send(&mut self, payloads: &[Bytes]) {
        self.timestamp += 90_000;
        for (index, payload) in payloads.iter().enumerate() {
            self.seq += 1;
            let mut packet = support::forge::rtp(self.pt, self.seq, self.timestamp, self.ssrc, payload);
            if index + 1 < payloads.len() {
                packet[1] &= 0x7f;
            }
            let sealed = self.client.core.seal_rtp(&packet).unwrap();
            self.client.send(&sealed);
        }
        self.client.settle();
    }
}

fn vp8_packets(frame: &[u8]) -> Vec<Bytes> {
    let payloads = Vp8Payloader::default().payload(100, &Bytes::copy_from_slice(frame));
    payloads.unwrap()
}

fn h264_packets(frame: &[u8]) -> Vec<Bytes> {
    let payloads = H264Payloader::default().payload(300, &Bytes::copy_from_slice(frame));
    payloads.unwrap()
}

/// Asks until there is a picture: the control plane hears of a publisher a moment after it has connected.
#[track_caller]
fn picture(server: &Process, path: &str) -> Answer {
    let end = now() + DEADLINE;
    loop {
        let answer = get(server, path, "");
        if answer.status == 200 {
            return answer;
        }
        assert!(now() < end, "no picture: {}", answer.detail());
    }
}

#[track_caller]
fn is_red_and_blue(jpeg: &[u8], width: u32, height: u32) {
    let picture = image::load_from_memory_with_format(jpeg, image::ImageFormat::Jpeg)
        .unwrap()
        .into_rgb8();
    assert_eq!(picture.dimensions(), (width, height));
    let Rgb([red, _, blue]) = *picture.get_pixel(width / 4, height / 2);
    assert!(red > 180 && blue < 80, "left: {red} {blue}");
    let Rgb([red, _, blue]) = *picture.get_pixel(width * 3 / 4, height / 2);
    assert!(blue > 180 && red < 80, "right: {red} {blue}");
}

#[test]
fn a_stream_shows_its_keyframe() {
    let server = Process::start();
    let mut publishers = [
        ("vp8", Publisher::page(&server, "vp8", PAGE_VP8), vp8_packets(VP8)),
        (
            "baseline",
            Publisher::obs(&server, "baseline"),
            h264_packets(H264_BASELINE),
        ),
        ("high", Publisher::obs(&server, "high"), h264_packets(H264_HIGH)),
    ];
    for (stream, publisher, packets) in &mut publishers {
        assert!(packets.len() > 1, "{stream}: more than one packet");
        publisher.send(packets);
        let path = format!("/api/v1/streams/{stream}/thumbnail.jpg");
        let answer = picture(&server, &path);
        is_red_and_blue(&answer.body, 320, 180);
        assert_eq!(answer.header("content-type"), Some("image/jpeg"));
        assert_eq!(answer.header("cache-control"), Some("private, max-age=2"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let tag = answer.header("etag").unwrap().to_owned();
        let unchanged = get(&server, &path, &format!("If-None-Match: \"other\", {tag}\r\n"));
        assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
        assert_eq!(unchanged.header("etag"), Some(&*tag));
        assert_eq!(get(&server, &path, "If-None-Match: \"other\"\r\n").status, 200);
        // The next size that is not smaller, and none larger than the video.
        for (size, width, height) in [
            ("16", 160, 90),
            ("160", 160, 90),
            ("161", 320, 180),
            ("1280", 320, 180),
        ] {
            is_red_and_blue(
                &picture(&server, &format!("{path}?size={size}")).body,
                width,
                height,
            );
        }
        for bad in ["size=15", "size=1281", "size=x", "size=-1"] {
            assert_eq!(get(&server, &format!("{path}?{bad}"), "").status, 400, "{bad}");
        }
    }
    let metrics = String::from_utf8(get(&server, "/metrics", "").body).unwrap();
    // Three streams in three sizes, however often they were asked for.
    assert!(
        metrics.contains("shibuki_pictures_total{result=\"made\"} 9\n"),
        "{metrics}"
    );
}

#[test]
fn without_a_picture_it_says_why() {
    let mut server = Process::start();
    let ask =
        |server: &Process, stream: &str| get(server, &format!("/api/v1/streams/{stream}/thumbnail.jpg"), "");
    for name in ["none", ".no-name"] {
        let answer = ask(&server, name);
        assert_eq!(
            (answer.status, answer.detail().as_str()),
            (404, "there is no such stream")
        );
    }
    let mut other = Publisher::page(&server, "other", PAGE_VP9);
    // A VP9 keyframe's first packet, as far as its descriptor goes.
    other.send(&[Bytes::from_static(&[0x0c, 0x82, 0x49, 0x83, 0x42, 0x00])]);
    let end = now() + DEADLINE;
    loop {
        let answer = ask(&server, "other");
        if answer.status == 404 && answer.detail().contains("VP9") {
            break;
        }
        assert!(now() < end, "{}", answer.detail());
    }

    let mut publisher = Publisher::page(&server, "late", PAGE_VP8);
    publisher
        .client
        .run_until("the stream", |_| ask(&server, "late").status != 404);
    let answer = ask(&server, "late");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    assert!(answer.detail().contains("no whole keyframe"));
    // Broken ones: one that a decoder refuses, one that is not whole.
    let mut broken = VP8.to_vec();
    broken.truncate(60);
    broken[40..].fill(0xff);
    publisher.send(&vp8_packets(&broken[..12]));
    let end = now() + DEADLINE;
    while !ask(&server, "late").detail().contains("cannot be decoded") {
        assert!(now() < end, "{}", ask(&server, "late").detail());
    }
    server.is_sound();
    // And now a good one; muted, it is nobody's business.
    publisher.send(&vp8_packets(VP8));
    is_red_and_blue(
        &picture(&server, "/api/v1/streams/late/thumbnail.jpg").body,
        320,
        180,
    );
    let mute = br#"{"muted":{"video":true}}"#;
    assert_eq!(
        http::request(server.at.http, "PATCH", "/api/v1/streams/late", "", mute).status,
        200
    );
    let answer = ask(&server, "late");
    assert_eq!(
        (answer.status, answer.detail().as_str()),
        (404, "the stream's video is muted")
    );
    server.is_sound();
}

#[test]
fn a_decoder_can_do_nothing_else() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_shibuki"))
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let proc = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    let end = now() + DEADLINE;
    // It waits for its input, locked in.
    while !proc("status").contains("Seccomp:\t2") {
        assert!(now() < end, "{}", proc("status"));
        std::thread::yield_now();
    }
    assert!(proc("status").contains("NoNewPrivs:\t1"));
    let limits = proc("limits");
    for line in [
        "Max cpu time              2  ",
        "Max open files            3  ",
        "Max file size             0  ",
    ] {
        assert!(limits.contains(line), "{limits}");
    }
    child.stdin.take().unwrap().write_all(b"no picture").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

/// A keyframe with a few bytes changed, cut or repeated.
fn damaged() -> impl Strategy<Value = (PictureCodec, Vec<u8>)> {
    let frames = [
        (PictureCodec::Vp8, VP8),
        (PictureCodec::H264, H264_BASELINE),
        (PictureCodec::H264, H264_HIGH),
    ];
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12);
    let damage = (0..3usize, changes, any::<prop::sample::Index>(), 0..4u8);
    damage.prop_map(move |(which, changes, at, kind)| {
        let (codec, frame) = frames[which];
        let mut data = frame.to_vec();
        for (index, byte) in changes {
            let index = index.index(data.len());
            data[index] = byte;
        }
        let at = at.index(data.len());
        match kind {
            0 => data.truncate(at + 1),
            1 => data.extend_from_within(at..),
            2 => data.splice(at..at, [0, 0, 0, 1, 0x67, 0xff]).for_each(drop),
            _ => {}
        }
        (codec, data)
    })
}

#[test]
fn whatever_a_decoder_is_given_it_ends_and_nobody_else_notices() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let maker = Maker::new(Some(env!("CARGO_BIN_EXE_shibuki").into()));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(150)
    });
    runner
        .run(&damaged(), |(codec, data)| {
            let made = runtime.block_on(maker.jpeg(&Coded { codec, data }, 320));
            let bounded = match &made {
                Ok(jpeg) => image::load_from_memory_with_format(jpeg, image::ImageFormat::Jpeg).is_ok(),
                Err(why) => matches!(why, MakerError::Undecodable | MakerError::TooLong),
            };
            prop_assert!(bounded, "{:?}", made.map(|jpeg| jpeg.len()));
            Ok(())
        })
        .unwrap();
    // It still does its work.
    let coded = Coded {
        codec: PictureCodec::Vp8,
        data: VP8.to_vec(),
    };
    is_red_and_blue(&runtime.block_on(maker.jpeg(&coded, 320)).unwrap(), 320, 180);
}
