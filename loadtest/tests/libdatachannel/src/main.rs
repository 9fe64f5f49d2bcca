//! Publishes an H.264 file in real time, over and over, with silence beside it, by WHIP: as OBS does, on the library
//! inside OBS. It offers before it has gathered (no candidates), never trickles, never answers a PLI, answers NACK on
//! the same SSRC, and ends with DELETE. What happens to the connection is printed, one line each.
//!
//! - `annexb.rs`: the file, cut into frames
//! - `peer.rs`: libdatachannel's C interface, no more of it than is needed here
//! - `whip.rs`: POST and DELETE

mod annexb;
mod peer;
mod whip;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use peer::{Peer, State};

const FRAMES_PER_SECOND: u32 = 30;
/// OBS sends Opus in packets of 20 ms.
const AUDIO_PERIOD: Duration = Duration::from_millis(20);
/// One such packet: full band, stereo, digital silence.
const SILENCE: &[u8] = &[0xfc, 0xff, 0xfe];

enum Event {
    State(State),
    Interrupted,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(path)) = (args.next(), args.next()) else {
        eprintln!("usage: libdatachannel-publisher WHIP-URL FILE.h264 [BEARER]");
        std::process::exit(2);
    };
    if let Err(error) = publish(&url, &path, args.next().as_deref()) {
        println!("error {error}");
        std::process::exit(1);
    }
}

fn publish(url: &str, path: &str, bearer: Option<&str>) -> Result<(), Box<dyn std::error::Error>> {
    let file = std::fs::read(path)?;
    let frames = annexb::frames(&file);
    if frames.is_empty() {
        return Err(format!("{path} holds no frames").into());
    }

    let (events, happened) = channel();
    let interrupted = events.clone();
    ctrlc::set_handler(move || drop(interrupted.send(Event::Interrupted)))?;
    let mut peer = Peer::new(move |state| drop(events.send(Event::State(state))))?;

    let posted = Instant::now();
    let session = whip::post(url, bearer, &peer.offer()?)?;
    println!("answer 201 after {} ms", posted.elapsed().as_millis());
    peer.accept(&session.answer)?;

    loop {
        match happened.recv_timeout(Duration::from_secs(10))? {
            Event::State(State::Connected) => break,
            Event::State(State::Connecting) => {}
            Event::State(state) => return Err(format!("{state:?} before it was connected").into()),
            Event::Interrupted => return Ok(whip::delete(&session, bearer)?),
        }
    }
    println!("connected after {} ms", posted.elapsed().as_millis());

    let started = Instant::now();
    let (mut video_sent, mut audio_sent) = (0_u32, 0_u32);
    loop {
        let video_due = started + Duration::from_secs(1) * video_sent / FRAMES_PER_SECOND;
        let audio_due = started + AUDIO_PERIOD * audio_sent;
        match happened.recv_timeout(video_due.min(audio_due).saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => unreachable!("the peer holds a sender"),
            Ok(Event::Interrupted) => {
                whip::delete(&session, bearer)?;
                println!("deleted");
                return Ok(());
            }
            Ok(Event::State(State::Connected | State::Connecting)) => continue,
            // OBS stops its output here and starts anew; what the test asks is when it got to know.
            Ok(Event::State(state)) => {
                println!("ended {state:?}");
                return Ok(());
            }
        }
        let now = Instant::now();
        if video_due <= now {
            peer.send_video(
                frames[video_sent as usize % frames.len()],
                video_sent.wrapping_mul(90_000 / FRAMES_PER_SECOND),
            );
            video_sent += 1;
        }
        if audio_due <= now {
            peer.send_audio(SILENCE, audio_sent.wrapping_mul(960));
            audio_sent += 1;
        }
    }
}
