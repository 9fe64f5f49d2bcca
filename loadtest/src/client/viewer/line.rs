//! What a viewer tells the server of its line.

use std::time::{Duration, Instant};

use super::Viewer;
use super::sources::Role;
use crate::client::answer::Answer;
use crate::client::offer::Feedback;
use crate::client::remb::Estimator;
use crate::client::rtp::{self, Header};
use crate::client::transport_cc::{self, Recorder};

pub(super) enum Teller {
    Nothing,
    TransportCc {
        /// Of the header extension.
        id: u8,
        recorder: Recorder,
        due: Option<Instant>,
        /// Since the last feedback.
        bytes: usize,
        interval: Duration,
    },
    Remb(Box<Estimator>),
}

impl Viewer {
    /// Whatever the packet is: RTX and probes tell of the line as well.
    pub(super) fn note_for_feedback(
        &mut self,
        now: Instant,
        received: u64,
        header: &Header,
        datagram: &[u8],
    ) {
        match &mut self.feedback {
            Teller::Nothing => {}
            Teller::TransportCc {
                id,
                recorder,
                due,
                bytes,
                interval,
            } => {
                *bytes += datagram.len();
                if let Some(seq) = rtp::extension(datagram, *id).and_then(|value| value.try_into().ok()) {
                    recorder.record(u16::from_be_bytes(seq), received);
                    due.get_or_insert(now + *interval);
                }
            }
            Teller::Remb(estimator) => {
                let video = self
                    .formats
                    .iter()
                    .any(|(pt, role)| *pt == header.pt && matches!(role, Role::Video(_)));
                if estimator.record(now, datagram.len(), video.then_some(header.timestamp)) {
                    // Told with the next report, which is now.
                    self.report_due = Some(now);
                }
            }
        }
    }
}

impl Teller {
    /// What was offered and taken.
    pub fn agreed(offered: Feedback, answer: &Answer) -> Self {
        let taken = || answer.media.iter().filter(|media| !media.rejected);
        let named =
            |wanted: &str| taken().any(|media| media.feedback.iter().any(|feedback| feedback == wanted));
        let extension = taken()
            .flat_map(|media| &media.extensions)
            .find(|(_, uri)| uri == transport_cc::URI)
            .map(|(id, _)| *id);
        match (offered, extension) {
            (Feedback::None, _) => Teller::Nothing,
            (Feedback::TransportCc, Some(id)) if named("transport-cc") => Teller::TransportCc {
                id,
                recorder: Recorder::default(),
                due: None,
                bytes: 0,
                interval: transport_cc::interval(0.0),
            },
            _ if named("goog-remb") => Teller::Remb(Box::default()),
            _ => Teller::Nothing,
        }
    }

    pub fn due(&self) -> Option<Instant> {
        match self {
            Teller::TransportCc { due, .. } => *due,
            _ => None,
        }
    }

    /// Appends transport-wide feedback if it is time; returns the number of packets.
    pub fn write_due(&mut self, now: Instant, out: &mut Vec<u8>, from: u32, media: u32) -> u64 {
        let Teller::TransportCc {
            recorder,
            due,
            bytes,
            interval,
            ..
        } = self
        else {
            return 0;
        };
        if due.is_none_or(|due| due > now) {
            return 0;
        }
        *due = None;
        let rate = std::mem::take(bytes) as f64 * 8.0 / interval.as_secs_f64();
        *interval = transport_cc::interval(rate);
        recorder.write_feedback(out, from, media)
    }

    pub fn estimate(&self) -> Option<u64> {
        match self {
            Teller::Remb(estimator) => estimator.estimate(),
            _ => None,
        }
    }
}
