//! What a viewer's way has room for, worked out from its estimate: for the layer selector, the pacer and probes.

use std::time::{Duration, Instant};

use super::pacer::Pacer;
use super::selector::Room;
use super::transport::{Numbering, Transport};
use crate::core::bwe::{Estimator, EstimatorConfig, Source};
use crate::core::ids::Bitrate;
use crate::core::media::{MediaKind, ViewerMedia};
use crate::core::route::Hub;

/// How viewers are adapted to.
#[derive(Clone, Copy, Debug)]
pub struct AdaptationLimits {
    /// What a viewer's way is taken to carry until it tells. `None`: nobody is adapted to.
    pub start: Option<Bitrate>,
}

impl Default for AdaptationLimits {
    fn default() -> Self {
        Self {
            start: Some(Bitrate(2_000_000)),
        }
    }
}

/// Between two looks at the estimate, at the least and as a rule.
const INTERVAL: Duration = Duration::from_millis(50);
/// But so soon after feedback.
const HURRY: Duration = Duration::from_millis(5);
/// A viewer that agreed to give feedback and gives none for so long is one without.
const SILENT: Duration = Duration::from_secs(3);
/// Of the estimate, this is for media; the rest is for what was not foreseen.
const SHARE: f64 = 0.95;
/// More of it goes to retransmissions where packets get lost, up to this share.
const MAX_REPAIR: f64 = 0.15;
/// A keyframe may be sent faster than the way carries on average, since its queue holds some.
const BURST_PACE: f64 = 2.5;
/// Where a queue showed lately what the way carries, there is no more than that.
const KNOWN: Duration = Duration::from_secs(20);
/// A little more, since the estimate is a little less.
const KNOWN_PACE: f64 = 1.1;
/// Unless the estimate has grown so much since.
const OUTGROWN: f64 = 1.3;
/// What waits, waits no longer than this.
const PATIENCE: Duration = Duration::from_millis(300);
/// But where there is a queue already, what is sent sooner would be lost.
const QUEUE_PATIENCE: Duration = Duration::from_millis(800);
/// Losses that were noticed within this time of a full queue are the queue's.
const AFTERMATH: Duration = Duration::from_secs(2);
/// Where single keyframes are all that is sent, one may take as long as this.
pub const KEYFRAME_TIME: Duration = Duration::from_millis(1500);
/// Packets that wait on the way for longer than this are a queue.
const QUEUE: Duration = Duration::from_millis(50);
/// And this is more than a keyframe's.
const LONG_QUEUE: Duration = Duration::from_millis(120);
/// An estimate that fell is news for so long.
const FALL: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub struct Adaptation {
    next: Instant,
    /// It agreed to give feedback.
    agreed: bool,
    limits: AdaptationLimits,
    began: Option<Instant>,
    last: Bitrate,
    lately: f64,
    fell: Option<Instant>,
    audio: Bitrate,
    repair: f64,
    congested: Option<Congestion>,
    /// The way is full, so far as that can be seen from here: what a receiver that estimates itself says of its way is no
    /// sign of a queue.
    full: bool,
    pub probe: Option<Probe>,
}

/// More was sent than the way carries.
#[derive(Clone, Copy, Debug)]
struct Congestion {
    at: Instant,
    /// It still queues.
    lasts: bool,
    /// The estimate then.
    carried: Bitrate,
}

/// What stored packets may be sent at.
#[derive(Clone, Copy, Debug)]
pub struct RunUpPace {
    pub keyframe: Bitrate,
    /// What follows it, for as long as it takes.
    pub rest: Bitrate,
    /// And where the viewer waits for it.
    pub hurried: Bitrate,
}

/// A probe that is being sent.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    pub began: Instant,
    /// The viewer's bytes at the beginning.
    pub from: u64,
    /// Which of the latest packets is to be repeated next.
    pub back: u16,
}

impl Adaptation {
    /// With what is to go with it for each packet.
    pub fn new(media: &ViewerMedia, limits: AdaptationLimits, now: Instant) -> (Self, Transport) {
        let video = media.tracks.iter().find(|track| track.kind == MediaKind::Video);
        let agreed = video.is_some_and(|track| {
            let told = |feedback: crate::core::media::Feedback| feedback.transport_cc || feedback.remb;
            track.codecs.iter().any(|codec| told(codec.feedback))
        });
        let defaults = EstimatorConfig::default();
        let start = limits.start.unwrap_or(defaults.start);
        let agreed = agreed && limits.start.is_some();
        let mut ids = media.tracks.iter().map(|track| track.extensions);
        let numbering = match agreed {
            // Who counts on the numbers gets them, whatever we make of it.
            _ if ids.any(|ids| ids.transport_cc.is_some()) => Numbering::Written,
            true => Numbering::Silent,
            false => Numbering::Off,
        };
        let estimator = Estimator::new(now, EstimatorConfig { start, ..defaults });
        let adaptation = Self {
            next: now,
            agreed,
            limits,
            began: None,
            last: start,
            lately: 0.0,
            fell: None,
            audio: Bitrate(0),
            repair: 0.0,
            congested: None,
            full: false,
            probe: None,
        };
        (adaptation, Transport::new(estimator, numbering, now))
    }

    /// What there is to begin with.
    pub fn guess(&self) -> Option<Room> {
        let video = self.limits.start.filter(|_| self.agreed)?;
        Some(Room {
            video,
            measured: false,
            congested: false,
            queueing: false,
            explorable: true,
        })
    }

    /// Whether it is time to look again; then it counts as looked.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + INTERVAL;
        }
        due
    }

    /// Feedback came: there may be news.
    pub fn hurry(&mut self, now: Instant) {
        let soonest = self.next + HURRY - INTERVAL;
        self.next = self.next.min(soonest.max(now));
    }

    /// What there is room for now; `None`: nobody knows, and the best there is goes out.
    pub fn room(
        &mut self,
        estimator: &mut Estimator,
        hub: &Hub,
        explorable: bool,
        now: Instant,
    ) -> Option<Room> {
        if let Some(congestion) = &mut self.congested {
            congestion.lasts = false;
        }
        if !self.agreed {
            return None;
        }
        estimator.tick(now);
        let estimate = estimator.estimate();
        let measured = matches!(estimate.source, Source::TransportCc | Source::Remb);
        if !measured {
            let plays = !hub.video.ladder().rungs().is_empty();
            let began = *self.began.get_or_insert(now);
            if !plays {
                self.began = None;
            }
            if now.saturating_duration_since(began) >= SILENT {
                return None;
            }
            return self.guess();
        }
        let bitrate = estimate.bitrate.0 as f64;
        if bitrate < self.lately * 0.95 {
            self.fell = Some(now);
            self.lately = bitrate;
        }
        // What it was lately, forgotten within seconds where it falls slowly.
        self.lately = (self.lately * 0.99).max(bitrate);
        self.last = estimate.bitrate;
        self.audio = hub
            .audio
            .ladder()
            .rungs()
            .first()
            .map_or(Bitrate(0), |rung| rung.bitrate);
        let fell = self
            .fell
            .is_some_and(|at| now.saturating_duration_since(at) < FALL);
        // A receiver that estimates itself says nothing of queues: its word is enough.
        let remb = estimate.source == Source::Remb;
        let congested = remb || fell || estimate.queue > LONG_QUEUE;
        let queueing = congested || estimate.queue > QUEUE;
        self.full = fell || estimate.queue > QUEUE;
        if queueing && !remb {
            self.congested = Some(Congestion {
                at: now,
                lasts: true,
                carried: estimate.bitrate,
            });
        }
        // What a full queue drops is not mended by more of the same.
        self.repair = match self.loses_at_random(now) {
            true => estimate.loss.clamp(0.0, MAX_REPAIR),
            false => 0.0,
        };
        let media = estimate.bitrate.0 as f64 * SHARE * (1.0 - self.repair);
        Some(Room {
            video: Bitrate((media as u64).saturating_sub(self.audio.0)),
            measured: true,
            congested,
            queueing,
            explorable,
        })
    }

    /// More was sent lately than the way carries.
    pub fn is_congested(&self) -> bool {
        self.congested.is_some_and(|congestion| congestion.lasts)
    }

    /// Losses are random ones, as far as is known, rather than a full queue's.
    pub fn loses_at_random(&self, now: Instant) -> bool {
        self.congested
            .is_none_or(|congestion| now.saturating_duration_since(congestion.at) > AFTERMATH)
    }

    /// What the estimate has to be for so much room for video.
    pub fn estimate_for(&self, video: Bitrate) -> Bitrate {
        let media = (video.0 + self.audio.0) as f64;
        Bitrate((media / (SHARE * (1.0 - self.repair))) as u64)
    }

    /// Sets the pace. `thin`: single keyframes are all there is room for.
    pub fn set_pace(&self, pacer: &mut Pacer, room: Option<Room>, thin: bool, now: Instant) {
        let Some(room) = room.filter(|room| room.measured) else {
            return pacer.set(None, PATIENCE, false);
        };
        let pace = |factor| Some(Bitrate((self.last.0 as f64 * factor) as u64));
        if thin {
            pacer.set(Some(room.video), KEYFRAME_TIME * 2, self.full);
        } else if self.full {
            pacer.set(pace(SHARE), QUEUE_PATIENCE, true);
        } else if self.is_known(now) {
            pacer.set(pace(KNOWN_PACE), QUEUE_PATIENCE, false);
        } else {
            pacer.set(pace(BURST_PACE), PATIENCE, false);
        }
    }

    /// A queue showed lately what the way carries.
    fn is_known(&self, now: Instant) -> bool {
        self.congested.is_some_and(|congestion| {
            let outgrown = self.last.0 as f64 > congestion.carried.0 as f64 * OUTGROWN;
            now.saturating_duration_since(congestion.at) < KNOWN && !outgrown
        })
    }

    /// What stored packets may be sent at; `None`: as fast as the server is set to.
    pub fn run_up_pace(&self, room: Option<Room>, now: Instant) -> Option<RunUpPace> {
        room.filter(|room| room.measured).map(|room| RunUpPace {
            keyframe: self.last,
            rest: room.video,
            hurried: match self.full || self.is_known(now) {
                true => room.video,
                false => Bitrate((self.last.0 as f64 * BURST_PACE) as u64),
            },
        })
    }

    /// Looks whether a probe may be sent to find out if there is so much room for video.
    pub fn explore(&mut self, estimator: &mut Estimator, video: Bitrate, bytes: u64, now: Instant) {
        let wanted = self.estimate_for(video);
        if self.probe.is_none() && estimator.probe(now, wanted).is_some() {
            self.probe = Some(Probe {
                began: now,
                from: bytes,
                back: 0,
            });
        }
    }
}
