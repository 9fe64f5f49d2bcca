//! Keyframe requests towards one publisher: at most one per half second and layer however many viewers ask, and a
//! memory of whether asking helps at all. OBS and FFmpeg ignore PLI.

use std::time::{Duration, Instant};

/// Viewers may ask as often as they like; the publisher is asked at most this often.
pub const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// A keyframe this soon after a request counts as its answer: a long round trip and the next frame. Not longer, for a
/// publisher's own keyframe comes at some time too.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub struct KeyframeRequests {
    wanted: bool,
    last_request: Option<Instant>,
    last_keyframe: Option<Instant>,
    awaiting: bool,
    answered: u32,
    ignored: u32,
}

impl KeyframeRequests {
    /// A viewer needs a keyframe.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// A keyframe began.
    pub fn keyframe(&mut self, now: Instant) {
        if self.awaiting {
            let in_time = self
                .last_request
                .is_some_and(|at| now.saturating_duration_since(at) <= ANSWER_WITHIN);
            if in_time {
                self.answered += 1;
            } else {
                self.ignored += 1;
            }
        }
        self.awaiting = false;
        self.wanted = false;
        self.last_keyframe = Some(now);
    }

    /// True once when a request is to be sent now.
    pub fn poll(&mut self, now: Instant) -> bool {
        if self.awaiting
            && self
                .last_request
                .is_some_and(|at| now.duration_since(at) > ANSWER_WITHIN)
        {
            self.awaiting = false;
            self.ignored += 1;
        }
        if !self.wanted
            || self
                .last_request
                .is_some_and(|at| now.duration_since(at) < MIN_INTERVAL)
        {
            return false;
        }
        self.wanted = false;
        if self.awaiting {
            self.ignored += 1;
        }
        // The first keyframe comes unasked, so a request before it teaches nothing.
        self.awaiting = self.last_keyframe.is_some();
        self.last_request = Some(now);
        true
    }

    /// Whether the publisher answers: unknown until it was asked once.
    pub fn answers(&self) -> Option<bool> {
        match (self.answered, self.ignored) {
            (0, 0) => None,
            (answered, ignored) => Some(answered > ignored),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_wishes_becomes_one_request_per_half_second() {
        let start = origin();
        let mut requests = KeyframeRequests::default();
        requests.keyframe(start);
        let sent = (0..5000)
            .filter(|ms| {
                requests.want();
                requests.poll(start + Duration::from_millis(*ms))
            })
            .count();
        assert_eq!(sent, 10);
        assert_eq!(requests.answers(), Some(false));
    }

    #[test]
    fn a_keyframe_satisfies_the_wish_and_proves_that_asking_helps() {
        let start = origin();
        let mut requests = KeyframeRequests::default();
        requests.want();
        assert!(requests.poll(start));
        requests.keyframe(start + Duration::from_millis(80));
        assert_eq!(requests.answers(), None, "the first keyframe comes to everybody");
        requests.want();
        assert!(requests.poll(start + Duration::from_millis(700)));
        requests.want();
        requests.keyframe(start + Duration::from_millis(780));
        assert!(!requests.poll(start + Duration::from_millis(1300)));
        assert_eq!(requests.answers(), Some(true));
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }
}
