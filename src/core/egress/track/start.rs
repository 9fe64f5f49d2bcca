//! When a medium starts, and goes over to another layer: with a new keyframe, or from the stored one on.

use std::time::{Duration, Instant};

use super::{EgressTrack, Phase, RunUpLimits, awaits_head};
use crate::core::ids::Bitrate;
use crate::core::media::MediaKind;
use crate::core::route::{Lane, Layer};

/// A stored keyframe up to this age is started from even if the publisher would send a new one when asked: the
/// run-up is short, and the publisher and all other viewers are spared a keyframe.
const FRESH_KEYFRAME: Duration = Duration::from_secs(1);
/// A publisher known to answer gets this long to send its keyframe, which is a picture and a round trip on most links;
/// then the stored one serves after all.
const ANSWER_DEADLINE: Duration = Duration::from_millis(120);
/// A viewer that cannot go on is restarted from the stored keyframe at most this often.
const RESTART_INTERVAL: Duration = Duration::from_secs(2);
/// The first time sooner: its start may have been lost as a whole, and what was before the first packet that a
/// player saw it cannot ask for.
const FIRST_RESTART: Duration = Duration::from_millis(200);
/// A publisher known to answer gets this long for a layer's keyframe before the stored one serves: until then the old
/// layer goes on, so there is no hurry.
const SWITCH_PATIENCE: Duration = Duration::from_secs(1);
/// Shorter where it is not known whether it answers.
const TRIAL_PATIENCE: Duration = Duration::from_millis(500);
/// A switch from the stored keyframe costs a run-up, which a viewer that cannot make up its mind gets at most this
/// often; the next keyframe serves it anyway.
const SWITCH_INTERVAL: Duration = Duration::from_millis(500);
/// And where the old layer has stopped, so that the picture stands still meanwhile.
const STALLED_PATIENCE: Duration = Duration::from_millis(150);
/// Where there is more room and the old layer plays, the better one of a deaf publisher can wait for its next keyframe
/// rather than be shown from the stored one on, in a hurry, from the past: so long, ...
const RISE_DEADLINE: Duration = Duration::from_secs(5);
/// ... unless that hurry is this short.
const SHORT_RUN_UP: Duration = Duration::from_millis(150);
/// It may come so much later than it should.
const NEXT_KEYFRAME: Duration = Duration::from_millis(200);
/// To catch up with live takes so many times a layer's bitrate.
const RUN_UP_TIMES: f64 = 2.5;
/// Pictures that temporal layers can be taken up at come several times a second where an encoder makes them at all.
/// Spatial layers mostly wait for a keyframe, so it is asked for at once.
const RISE_PATIENCE: Duration = Duration::from_millis(600);

impl EgressTrack {
    /// Starts, or goes over to the wanted layer, from the buffer where that is the quickest way to a picture. True
    /// when a keyframe of [`wanted_layer`](Self::wanted_layer) should be asked for.
    pub fn try_start(
        &mut self,
        lane: &Lane,
        answers_pli: Option<bool>,
        limits: RunUpLimits,
        now: Instant,
    ) -> bool {
        if self.spec.kind == MediaKind::Audio {
            return false;
        }
        self.update_layers(lane);
        let since = match self.phase {
            Phase::Waiting { since } => since,
            Phase::Live => return self.try_switch(lane, answers_pli, limits, now),
            Phase::RunUp { .. } => return false,
        };
        let Some(index) = self.selector.target() else {
            return true;
        };
        let (Some(layer), Some(key)) = (lane.layer(index), lane.key(index)) else {
            return true;
        };
        let Some(anchor) = layer.buffer.anchor() else {
            return true;
        };
        let age = now.saturating_duration_since(anchor.arrival);
        if awaits_head(&layer.buffer, anchor, now) {
            return false;
        }
        let waited = now.saturating_duration_since(since) >= ANSWER_DEADLINE;
        if age > FRESH_KEYFRAME && answers_pli == Some(true) && !waited {
            return true;
        }
        self.start_run_up(lane, key, false, limits, now);
        age > FRESH_KEYFRAME && answers_pli.is_none()
    }

    /// The old layer goes on until the wanted one's keyframe comes ([`forward`](Self::forward)). Where none comes
    /// for the asking, the stored one serves.
    fn try_switch(
        &mut self,
        lane: &Lane,
        answers_pli: Option<bool>,
        limits: RunUpLimits,
        now: Instant,
    ) -> bool {
        let (Some(from), Some(target)) = (self.key, self.selector.target()) else {
            return false;
        };
        if from.layer == target {
            self.switching = None;
            self.deferred = None;
            if self.thin.is_some() {
                return answers_pli != Some(false) && self.lacks_single_keyframe(lane, target, now);
            }
            return self.needs_keyframe_to_rise(now);
        }
        let since = match self.switching {
            Some((layer, since)) if layer == target => since,
            _ => now,
        };
        self.switching = Some((target, since));
        let (Some(layer), Some(key)) = (lane.layer(target), lane.key(target)) else {
            return false;
        };
        let stalled = lane.layer(from.layer).is_none_or(Layer::is_stalled);
        let patience = match answers_pli {
            Some(false) => Duration::ZERO,
            _ if stalled || self.held => STALLED_PATIENCE,
            None => TRIAL_PATIENCE,
            Some(true) => SWITCH_PATIENCE,
        };
        self.deferred = None;
        if answers_pli == Some(false)
            && self.selector.is_rise()
            && !stalled
            && self.may_wait_for_keyframe(layer, since, now)
        {
            self.deferred = Some(Bitrate((layer.bitrate(now).0 as f64 * RUN_UP_TIMES) as u64));
            return false;
        }
        let lately = self
            .started
            .is_some_and(|at| now.saturating_duration_since(at) < SWITCH_INTERVAL);
        if let Some(anchor) = layer.buffer.anchor()
            && !lately
            && now.saturating_duration_since(since) >= patience
            && !awaits_head(&layer.buffer, anchor, now)
        {
            self.start_run_up(lane, key, self.selector.is_rise() || self.held, limits, now);
            return false;
        }
        true
    }

    /// The layer that plays goes on, and a better one's next keyframe is worth waiting for: what is stored shows the
    /// past, in a hurry, until it has caught up.
    fn may_wait_for_keyframe(&self, layer: &Layer, since: Instant, now: Instant) -> bool {
        if layer.buffer.anchor().is_none() {
            return true;
        }
        let bits = layer.buffer.bytes_since_anchor() as f64 * 8.0;
        let spare = self.pace.map_or(f64::INFINITY, |pace| {
            (pace.rest.0 as f64 - layer.bitrate(now).0 as f64).max(1.0)
        });
        let takes = bits / spare;
        let waited = now.saturating_duration_since(since);
        let left = match layer.next_keyframe() {
            Some(next) => next.saturating_duration_since(now).max(NEXT_KEYFRAME),
            None => RISE_DEADLINE.saturating_sub(waited),
        };
        takes > SHORT_RUN_UP.as_secs_f64() && (waited + left <= RISE_DEADLINE || takes > left.as_secs_f64())
    }

    /// A better layer waits for its keyframe: could stored pictures be sent so fast, it need not.
    pub fn deferred(&self) -> Option<Bitrate> {
        self.deferred
    }

    /// Whether the layers that are wanted will not come without a keyframe.
    fn needs_keyframe_to_rise(&mut self, now: Instant) -> bool {
        if self.rewriter.lacks_spatial() {
            return true;
        }
        if !self.rewriter.lacks_temporal() {
            return false;
        }
        let since = *self.rising.get_or_insert(now);
        now.saturating_duration_since(since) >= RISE_PATIENCE
    }

    /// The viewer's decoder is stuck and the publisher does not answer: once more from the stored keyframe, if it was
    /// not just now.
    pub fn restart(&mut self, lane: &Lane, limits: RunUpLimits, now: Instant) -> bool {
        let interval = if self.restarts == 0 {
            FIRST_RESTART
        } else {
            RESTART_INTERVAL
        };
        let too_soon = self
            .started
            .is_some_and(|at| now.saturating_duration_since(at) < interval);
        if let (Some(key), false, Phase::Live) = (self.key, too_soon, self.phase) {
            self.restarts += 1;
            self.start_run_up(lane, key, false, limits, now);
        }
        self.is_running_up()
    }
}
