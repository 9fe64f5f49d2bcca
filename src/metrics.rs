//! What is measured for Prometheus, under names that stand here and nowhere else.
//!
//! Two kinds: what is counted as it happens ([`Metrics`]), and what is looked up when somebody asks ([`scrape`]).
//! Labels have few values: only streams have names that others choose, and of those at most [`MAX_STREAMS`] are told
//! apart, the most watched ones.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::control::{Control, SessionRole, SessionState};
use crate::core::statistics::{FindingCode, MediaReport};
use crate::worker::counters::{Drop, Snapshot};

/// As the text's content type says (OpenMetrics 1.0).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Streams with series of their own.
const MAX_STREAMS: usize = 100;
/// Seconds from the POST to a step of a join: good ones take less than half a second.
const JOIN_BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 15.0];
/// A viewer with more loss than this has a bad line.
const LOSSY: f32 = 0.02;

type Labels = Vec<(&'static str, String)>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct JoinLabels {
    role: &'static str,
    step: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RoleLabels {
    role: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EndLabels {
    role: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PictureLabels {
    result: &'static str,
}

/// What is counted as it happens.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    accepted: Family<RoleLabels, Counter>,
    ended: Family<EndLabels, Counter>,
    joins: Family<JoinLabels, Histogram>,
    pictures: Family<PictureLabels, Counter>,
    pub webhooks_delivered: Counter,
    pub webhooks_failed: Counter,
    pub webhooks_dead: Counter,
}

/// A step of a join, after the POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    FirstCheck,
    Connected,
    FirstPacket,
    FirstKeyframe,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("shibuki");
        let accepted = Family::default();
        registry.register(
            "sessions_accepted",
            "Offers that were answered with a session",
            accepted.clone(),
        );
        let ended = Family::default();
        registry.register("sessions_ended", "Sessions that are over", ended.clone());
        let new: fn() -> Histogram = || Histogram::new(JOIN_BUCKETS);
        let joins = Family::new_with_constructor(new);
        registry.register_with_unit(
            "join",
            "From the POST to each step of a join",
            Unit::Seconds,
            joins.clone(),
        );
        let pictures = Family::default();
        registry.register(
            "pictures",
            "Pictures of streams that were decoded, or could not be",
            pictures.clone(),
        );
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let webhooks_delivered = counter("webhook_events_delivered", "Events that webhooks took");
        let webhooks_failed = counter("webhook_tries_failed", "Tries to tell a webhook that failed");
        let webhooks_dead = counter("webhook_events_dead", "Events that were given up");
        Self {
            registry,
            accepted,
            ended,
            joins,
            pictures,
            webhooks_delivered,
            webhooks_failed,
            webhooks_dead,
        }
    }
}

impl Metrics {
    pub fn accepted(&self, role: SessionRole) {
        self.accepted
            .get_or_create(&RoleLabels {
                role: role_name(role),
            })
            .inc();
    }

    /// `reason` is one of few.
    pub fn ended(&self, role: SessionRole, reason: &'static str) {
        let role = role_name(role);
        self.ended.get_or_create(&EndLabels { role, reason }).inc();
    }

    pub fn picture(&self, made: bool) {
        let result = if made { "made" } else { "failed" };
        self.pictures.get_or_create(&PictureLabels { result }).inc();
    }

    pub fn joined(&self, role: SessionRole, step: Step, after: Duration) {
        let step = match step {
            Step::FirstCheck => "first_check",
            Step::Connected => "connected",
            Step::FirstPacket => "first_packet",
            Step::FirstKeyframe => "first_keyframe",
        };
        let role = role_name(role);
        let labels = JoinLabels { role, step };
        self.joins.get_or_create(&labels).observe(after.as_secs_f64());
    }
}

fn role_name(role: SessionRole) -> &'static str {
    match role {
        SessionRole::Publisher => "publisher",
        SessionRole::Viewer => "viewer",
    }
}

/// All viewers together, by their workers' latest reports.
#[derive(Debug, Default)]
pub struct Viewers {
    /// bit/s.
    pub bitrate: u64,
    /// Those that lose more than [`LOSSY`].
    pub lossy: u64,
    /// Those whose line carries sound alone.
    pub paused: u64,
    /// Payloads kept for retransmission and instant start.
    pub stored_bytes: usize,
    loss: f64,
    losses: u32,
    round_trips: Duration,
    measured: u32,
}

impl Viewers {
    pub fn sum(control: &Control) -> Self {
        let mut sum = Self::default();
        for report in control.worker_reports() {
            sum.stored_bytes += report.stored_bytes;
            for session in report.sessions.values() {
                let MediaReport::Viewer(viewer) = &session.media else {
                    continue;
                };
                sum.bitrate += viewer.bitrate.0;
                sum.paused += u64::from(viewer.video_paused);
                if let Some(loss) = viewer.loss {
                    sum.lossy += u64::from(loss > LOSSY);
                    sum.loss += f64::from(loss);
                    sum.losses += 1;
                }
                if let Some(rtt) = viewer.rtt {
                    sum.round_trips += rtt;
                    sum.measured += 1;
                }
            }
        }
        sum
    }

    pub fn mean_round_trip(&self) -> Option<Duration> {
        self.round_trips.checked_div(self.measured)
    }

    /// 0 to 1.
    pub fn mean_loss(&self) -> Option<f64> {
        (self.losses > 0).then(|| self.loss / f64::from(self.losses))
    }
}

/// This process, as Linux tells it; elsewhere there is nothing.
#[derive(Debug, Default)]
pub struct Process {
    pub resident_bytes: Option<u64>,
    pub cpu_seconds: Option<f64>,
}

impl Process {
    pub fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| {
            let kilobytes = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
            kilobytes.parse::<u64>().ok()
        });
        // After the name in parentheses, the 12th and 13th field are hundredths of a second (proc(5)).
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let spent = stat.rsplit_once(") ").and_then(|(_, rest)| {
            let mut fields = rest.split(' ').skip(11);
            let mut ticks = || fields.next()?.parse::<f64>().ok();
            Some((ticks()? + ticks()?) / 100.0)
        });
        Self {
            resident_bytes: resident.map(|kilobytes| kilobytes * 1024),
            cpu_seconds: spent,
        }
    }
}

/// Everything, as text.
pub fn scrape(control: &Control) -> String {
    let mut text = String::with_capacity(32 * 1024);
    let now = now(control);
    for registry in [&control.metrics().registry, &now] {
        // Writing to a string does not fail.
        let _ = encode(&mut text, registry);
        let len = text.strip_suffix("# EOF\n").map_or(text.len(), str::len);
        text.truncate(len);
    }
    text.push_str("# EOF\n");
    text
}

/// What is looked up.
fn now(control: &Control) -> Registry {
    let mut registry = Registry::with_prefix("shibuki");
    let mut gather = Gather(&mut registry);
    gather.gauge(
        "build",
        "1, with the version",
        vec![("version", env!("CARGO_PKG_VERSION").into())],
        1.0,
    );
    gather.sessions(control);
    gather.streams(control);
    gather.viewers(control);
    gather.workers(&control.worker_counters());
    gather.process();
    registry
}

/// Puts values into a registry made for one scrape; series of one name must come one after the other.
struct Gather<'a>(&'a mut Registry);

impl Gather<'_> {
    fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Family::<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }

    fn gauge(&mut self, name: &str, help: &str, labels: Labels, value: f64) {
        self.gauges(name, help, [(labels, value)]);
    }

    fn sessions(&mut self, control: &Control) {
        let counts = control.session_counts();
        let values = counts.into_iter().map(|((role, state), count)| {
            let state = match state {
                SessionState::Accepted => "accepted",
                SessionState::Connecting => "connecting",
                SessionState::Connected => "connected",
            };
            let labels = vec![("role", role_name(role).into()), ("state", state.into())];
            (labels, count as f64)
        });
        self.gauges("sessions", "Sessions there are", values);
    }

    fn streams(&mut self, control: &Control) {
        let mut streams = control.streams();
        let live = streams.iter().filter(|stream| stream.publishing).count();
        let waiting = streams.len() - live;
        let counts = [("live", live), ("waiting", waiting)];
        let values = counts.map(|(state, count)| (vec![("state", state.to_owned())], count as f64));
        self.gauges(
            "streams",
            "Streams with a publisher, and those that viewers wait for",
            values,
        );

        streams.sort_by_key(|stream| std::cmp::Reverse(stream.viewers));
        streams.truncate(MAX_STREAMS);
        let views: Vec<_> = streams
            .iter()
            .filter_map(|stream| control.stream_view(&stream.name))
            .collect();
        let labels = |name: &crate::core::ids::StreamName| vec![("stream", name.to_string())];
        let of_publishers = |value: fn(&crate::core::statistics::PublisherReport) -> f64| {
            let values =
                views.iter().filter_map(
                    move |view| match &view.publisher.as_ref()?.report.as_ref()?.media {
                        MediaReport::Publisher(report) => Some((labels(&view.info.name), value(report))),
                        _ => None,
                    },
                );
            values.collect::<Vec<_>>()
        };
        self.gauges(
            "stream_viewers",
            "Viewers of the most watched streams",
            views
                .iter()
                .map(|view| (labels(&view.info.name), view.info.viewers as f64)),
        );
        self.gauges(
            "stream_bitrate_bits_per_second",
            "What the publisher sends",
            of_publishers(|report| report.bitrate.0 as f64),
        );
        self.gauges(
            "stream_loss_ratio",
            "Share of the publisher's packets lost on their way here",
            of_publishers(|report| f64::from(report.loss)),
        );
        self.gauges(
            "stream_keyframe_interval_seconds",
            "Between the latest keyframes of the slowest layer",
            of_publishers(|report| {
                let intervals = report.layers.iter().filter_map(|layer| layer.keyframe_interval);
                intervals.max().unwrap_or_default().as_secs_f64()
            }),
        );
        let active = |code: FindingCode| {
            let all = views.iter().filter_map(|view| view.publisher.as_ref());
            all.flat_map(|publisher| publisher.diagnoses())
                .filter(|finding| finding.active && finding.code == code)
                .count()
        };
        let values =
            FindingCode::ALL.map(|code| (vec![("code", code.name().to_owned())], active(code) as f64));
        self.gauges("findings", "What is wrong with publishers now", values);
    }

    fn viewers(&mut self, control: &Control) {
        let viewers = Viewers::sum(control);
        let none = Labels::new;
        let mean = viewers.mean_round_trip().unwrap_or_default().as_secs_f64();
        for (name, help, value) in [
            (
                "viewers_lossy",
                "Viewers that lose more than 2 % of their packets",
                viewers.lossy as f64,
            ),
            (
                "viewers_video_paused",
                "Viewers whose line carries sound alone",
                viewers.paused as f64,
            ),
            (
                "viewers_bitrate_bits_per_second",
                "What all viewers are sent",
                viewers.bitrate as f64,
            ),
            ("viewers_round_trip_mean_seconds", "To viewers and back", mean),
            (
                "stored_bytes",
                "Payloads kept for retransmission and instant start",
                viewers.stored_bytes as f64,
            ),
        ] {
            self.gauge(name, help, none(), value);
        }
    }

    fn counters(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    /// Each name once, with the worker as label.
    fn workers(&mut self, all: &[Snapshot]) {
        type Read = fn(&Snapshot) -> u64;
        let label = |index: usize| ("worker", index.to_string());
        let counters: [(&str, &str, Read); 9] = [
            ("datagrams_received", "Datagrams received", |c| c.datagrams_in),
            ("datagrams_sent", "Datagrams the kernel took", |c| c.datagrams_out),
            ("received_bytes", "Bytes received", |c| c.bytes_in),
            ("sent_bytes", "Bytes the kernel took", |c| c.bytes_out),
            ("receive_calls", "System calls that receive", |c| c.receive_calls),
            ("send_calls", "System calls that send", |c| c.send_calls),
            (
                "messages",
                "Messages from other workers and the control plane",
                |c| c.messages_in,
            ),
            ("turns", "Turns of the loop", |c| c.turns),
            ("busy_turns", "Turns that hit a limit", |c| c.busy_turns),
        ];
        for (name, help, read) in counters {
            let values = all
                .iter()
                .enumerate()
                .map(|(index, counts)| (vec![label(index)], read(counts)));
            self.counters(name, help, values);
        }
        let drops = all.iter().enumerate().flat_map(|(index, counts)| {
            Drop::ALL.map(|reason| {
                (
                    vec![label(index), ("reason", reason.name().to_owned())],
                    counts.drops(reason),
                )
            })
        });
        self.counters("drops", "Datagrams and messages that were not delivered", drops);
        let longest = all
            .iter()
            .enumerate()
            .map(|(index, counts)| (vec![label(index)], counts.longest_turn.as_secs_f64()));
        self.gauges(
            "longest_turn_seconds",
            "The longest turn since the last scrape",
            longest,
        );
    }

    fn process(&mut self) {
        let process = Process::read();
        if let Some(resident) = process.resident_bytes {
            let help = "Memory of the process";
            self.gauge(
                "process_resident_memory_bytes",
                help,
                Labels::new(),
                resident as f64,
            );
        }
        if let Some(spent) = process.cpu_seconds {
            let seconds = Counter::<f64, std::sync::atomic::AtomicU64>::default();
            seconds.inc_by(spent);
            let help = "Processor time of the process";
            self.0
                .register_with_unit("process_cpu", help, Unit::Seconds, seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_declared_once_however_many_workers_there_are() {
        let mut registry = Registry::with_prefix("shibuki");
        Gather(&mut registry).workers(&[Snapshot::default(); 3]);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let mut types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        types.sort_unstable();
        assert!(
            types.len() == 11 && types.windows(2).all(|pair| pair[0] != pair[1]),
            "{types:?}"
        );
        assert!(text.contains("shibuki_turns_total{worker=\"2\"} 0"), "{text}");
    }
}
