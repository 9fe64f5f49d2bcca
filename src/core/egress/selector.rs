//! Which layer a viewer is to get: what it asks for, as far as its way carries it. That it gets it without a break is
//! the track's business ([`EgressTrack`](super::EgressTrack)).

use std::time::{Duration, Instant};

use crate::core::ids::Bitrate;
use crate::core::media::LayerChoice;
use crate::core::route::{Lane, Layer, Rung};
use crate::core::rtp::LayerBounds;

/// A rung is gone up to where there is so much more room than it takes: bitrates vary.
const HEADROOM: f64 = 1.1;
/// A rung may take so much more than there is room for before it is left: bitrates vary here too.
const SLACK: f64 = 1.05;
const LAST_SLACK: f64 = 1.2;
/// Of the rungs above, those are tried at once that take no more than this many times the room there is known to be.
const LEAP: f64 = 2.0;
/// Between one change and the next one up.
const SETTLE: Duration = Duration::from_secs(1);
/// Between a step down and the next, unless that much more is sent than there is room for.
const DRAIN: Duration = Duration::from_millis(700);
const FAR: f64 = 2.0;
/// So much more is sent than there is room for that it stops at once, ...
const HOLD: f64 = 1.3;
/// ... and then the picture stands until the next keyframe is there: one that takes this long is worth a better layer.
const SHORT_KEYFRAME: f64 = 0.08;
/// Who has to come down again so soon after going up went up by mistake.
const MISTAKE: Duration = Duration::from_secs(10);
/// After a mistake it is so long until the next try, twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Where nothing can be sent to find out with, the next rung is simply tried this often.
const TRIAL: Duration = Duration::from_secs(8);

/// What a viewer's way has room for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// For video, without what audio and retransmissions take.
    pub video: Bitrate,
    /// The viewer said so; otherwise it is a guess to begin with.
    pub measured: bool,
    /// What is sent now is more than the way carries.
    pub congested: bool,
    /// Packets wait on the way, be it only for a moment.
    pub queueing: bool,
    /// Whether more can be found out by sending more ([`Advice::wanted`]).
    pub explorable: bool,
}

/// What [`LayerSelector::adapt`] finds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Advice {
    /// A better rung needs so much room for video; whether there is so much is to be found out.
    pub wanted: Option<Bitrate>,
    /// What is sent is so much more than there is room for that it should stop at once.
    pub hold: bool,
}

#[derive(Debug)]
pub struct LayerSelector {
    choice: LayerChoice,
    target: Option<Rung>,
    /// The lane's revision that the target was worked out for.
    revision: Option<u32>,
    /// `None`: nobody says what the way carries.
    room: Option<Room>,
    /// Not even the smallest rung fits.
    paused: bool,
    changed: Option<Instant>,
    raised: Option<Instant>,
    wait: Duration,
    /// No way up before.
    not_before: Option<Instant>,
}

impl LayerSelector {
    pub fn new(choice: LayerChoice) -> Self {
        Self {
            choice,
            target: None,
            revision: None,
            room: None,
            paused: false,
            changed: None,
            raised: None,
            wait: Duration::ZERO,
            not_before: None,
        }
    }

    /// What there is room for to begin with.
    pub fn expect(&mut self, room: Option<Room>) {
        self.room = room;
    }

    /// The viewer wants something else; counts from the next [`update`](Self::update) on.
    pub fn choose(&mut self, choice: LayerChoice) {
        self.choice = choice;
        self.revision = None;
        self.target = None;
        self.paused = false;
        self.raised = None;
    }

    /// The layer to send; `None` while there is none.
    #[inline]
    pub fn target(&self) -> Option<u8> {
        self.target.map(|rung| rung.layer)
    }

    /// The target with the spatial and temporal layers to be sent of it.
    #[inline]
    pub fn rung(&self) -> Option<&Rung> {
        self.target.as_ref()
    }

    /// Video has to stand back: what there is room for is less than the target takes.
    #[inline]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// The target is a better one than before, for there is more room.
    pub fn is_rise(&self) -> bool {
        self.raised.is_some()
    }

    /// The spatial and temporal layers of it to send.
    pub fn bounds(&self) -> LayerBounds {
        let all = LayerBounds::ALL;
        let (spatial, temporal) = self
            .target
            .map_or((all, all), |rung| (rung.spatial, rung.temporal));
        LayerBounds {
            spatial: self.choice.max_spatial.unwrap_or(all).min(spatial),
            temporal: self.choice.max_temporal.unwrap_or(all).min(temporal),
        }
    }

    /// Works the target out anew where the layers have changed. Call before packets are forwarded.
    #[inline]
    pub fn update(&mut self, lane: &Lane) {
        if self.revision != Some(lane.revision()) {
            self.revision = Some(lane.revision());
            self.pick(lane);
        }
    }

    /// The best that is known to fit, or what is sent now if it is still there.
    fn pick(&mut self, lane: &Lane) {
        let rungs = self.candidates(lane);
        let found = match self.room {
            None => rungs.first(),
            Some(room) => {
                let current = self.target.and_then(|target| {
                    let same = |rung: &&Rung| rung.is_same(&target);
                    rungs.iter().find(same)
                });
                current.or_else(|| fitting(&rungs, room.video)).or(rungs.last())
            }
        };
        self.target = found.copied();
    }

    /// Takes in what there is room for, and goes up or down. Call some twenty times a second, and as soon as the room
    /// has become less.
    pub fn adapt(&mut self, lane: &Lane, room: Option<Room>, now: Instant) -> Advice {
        let first = self.room.is_none();
        self.room = room;
        let rungs = self.candidates(lane);
        let Some(room) = room else {
            self.paused = false;
            self.target = rungs.first().copied();
            return Advice::default();
        };
        let known = self
            .target
            .and_then(|target| rungs.iter().position(|rung| rung.is_same(&target)));
        let Some(at) = known.filter(|_| !first) else {
            self.target = fitting(&rungs, room.video).or(rungs.last()).copied();
            return Advice::default();
        };
        let Some(current) = rungs.get(at) else {
            return Advice::default();
        };
        self.target = Some(*current);
        let tight = |slack| current.bitrate.0 as f64 > room.video.0 as f64 * slack;
        // The last resort is left when it really does not fit.
        let slack = if at + 1 == rungs.len() { LAST_SLACK } else { SLACK };
        // What was sent before the last step down is still on the way.
        let settling = self
            .changed
            .is_some_and(|at| now.saturating_duration_since(at) < DRAIN && self.raised.is_none());
        if room.congested && !self.paused && tight(if settling { FAR } else { slack }) {
            return self.go_down(&rungs, at, room, now);
        }
        self.go_up(&rungs, at, room, now)
    }

    fn go_down(&mut self, rungs: &[Rung], at: usize, room: Room, now: Instant) -> Advice {
        let Some(current) = rungs.get(at) else {
            return Advice::default();
        };
        let below = rungs.get(at + 1..).unwrap_or_default();
        let hold = current.bitrate.0 as f64 > room.video.0 as f64 * HOLD;
        let found = fitting(below, room.video).filter(|rung| rung.bitrate < current.bitrate);
        let found = found.map(|found| match hold && found.layer != current.layer {
            true => quickest(below, room.video).unwrap_or(found),
            false => found,
        });
        // The last resort is the rung that takes least, if need be single pictures of it.
        let target = found.or_else(|| rungs.iter().min_by_key(|rung| rung.bitrate));
        let fits = |rung: &Rung| rung.bitrate.0 as f64 <= room.video.0 as f64 * LAST_SLACK;
        self.paused = !target.is_some_and(fits);
        self.target = target.copied();
        let mistake = self
            .raised
            .is_some_and(|at| now.saturating_duration_since(at) < MISTAKE);
        self.wait = match mistake {
            true => (self.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT),
            false => Duration::ZERO,
        };
        self.raised = None;
        self.changed = Some(now);
        self.not_before = Some(now + self.wait.max(SETTLE));
        Advice {
            wanted: None,
            hold: hold && self.target().is_some_and(|target| target != current.layer),
        }
    }

    fn go_up(&mut self, rungs: &[Rung], at: usize, room: Room, now: Instant) -> Advice {
        let stood = |since: Option<Instant>, long| {
            since.is_none_or(|since: Instant| now.saturating_duration_since(since) >= long)
        };
        if self.raised.is_some() && stood(self.raised, MISTAKE) {
            self.wait = Duration::ZERO;
        }
        if self.not_before.is_some_and(|at| now < at) || !stood(self.changed, SETTLE) || room.queueing {
            return Advice::default();
        }
        // Paused, the rung itself is what is missing.
        let above = rungs
            .get(..if self.paused { at + 1 } else { at })
            .unwrap_or_default();
        let need = |rung: &Rung| (rung.bitrate.0 as f64 * HEADROOM) as u64;
        let sure = above.iter().find(|rung| need(rung) <= room.video.0);
        let trial = || {
            let due = !room.explorable && stood(self.changed, TRIAL);
            above.last().filter(|_| due)
        };
        if let Some(rung) = sure.or_else(trial) {
            self.target = Some(*rung);
            self.paused = false;
            self.raised = Some(now);
            self.changed = Some(now);
            return Advice::default();
        }
        let reach = (room.video.0 as f64 * LEAP) as u64;
        let wanted = above
            .iter()
            .find(|rung| need(rung) <= reach)
            .or(above.last())
            .map(|rung| Bitrate(need(rung)));
        Advice { wanted, hold: false }
    }

    /// What the viewer's choice leaves of the ladder, the best first.
    fn candidates(&self, lane: &Lane) -> Vec<Rung> {
        let mut rungs = self.chosen(lane);
        let (spatial, temporal) = (self.choice.max_spatial, self.choice.max_temporal);
        if spatial.is_some() || temporal.is_some() {
            for rung in &mut rungs {
                *rung = lane.within(*rung, spatial, temporal);
            }
            // What differed beyond the bounds alone is the same now.
            rungs.dedup_by(|later, earlier| later.is_same(earlier));
        }
        rungs
    }

    /// Rungs of the layers that are wanted.
    fn chosen(&self, lane: &Lane) -> Vec<Rung> {
        let choice = &self.choice;
        let all = lane.ladder().rungs();
        let named = choice.rid.as_ref().and_then(|rid| {
            let mut layers = lane.ranked();
            layers.find(|(_, layer)| layer.rid.as_ref() == Some(rid))
        });
        if let Some((index, _)) = named {
            return all.iter().filter(|rung| rung.layer == index).copied().collect();
        }
        let Some(max) = choice.max_height else {
            return all.to_vec();
        };
        let height = |rung: &&Rung| rung.size.is_some_and(|(_, height)| height <= max);
        let within: Vec<Rung> = all.iter().filter(height).copied().collect();
        if !within.is_empty() {
            return within;
        }
        // All are higher: the smallest. A layer of unknown height is the last resort.
        let index = smallest(lane).map(|(index, _)| index);
        all.iter()
            .filter(|rung| Some(rung.layer) == index)
            .copied()
            .collect()
    }
}

fn fitting(rungs: &[Rung], room: Bitrate) -> Option<&Rung> {
    rungs.iter().find(|rung| rung.bitrate <= room)
}

/// Of those that fit, the best whose keyframe takes no time to speak of, or else that whose keyframe takes least.
fn quickest(rungs: &[Rung], room: Bitrate) -> Option<&Rung> {
    let mut fitting = rungs.iter().filter(|rung| rung.bitrate <= room);
    let least = fitting.clone().min_by_key(|rung| rung.keyframe);
    let short = |rung: &&Rung| f64::from(rung.keyframe) * 8.0 <= room.0 as f64 * SHORT_KEYFRAME;
    fitting.find(short).or(least)
}

fn smallest(lane: &Lane) -> Option<(u8, &Layer)> {
    let known = lane.ranked().rfind(|(_, layer)| layer.size.is_some());
    known.or_else(|| lane.ranked().next())
}
