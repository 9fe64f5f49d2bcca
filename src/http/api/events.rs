//! What happens, as it happens: `GET /api/v1/events`, for operators.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::response::sse;
use futures_util::Stream as Events;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use utoipa::{IntoParams, ToSchema};

use super::contract::{Finding, ProblemJson, Session, Stream, rfc3339};
use super::operator::Operator;
use super::paging;
use crate::control::{Control, Event, Farewell, SessionFilter, SessionRole, SessionView, What};
use crate::core::ids::StreamName;
use crate::core::statistics::MediaReport;
use crate::http::problem::Problem;
use crate::http::router::App;
use crate::http::sse::stream_response;
use crate::metrics;

/// How often `statistics` and `sessions` come.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(1);
/// Streams in one `statistics`; the API's lists have the others.
const MAX_STREAMS: usize = 500;
/// Sessions in one `sessions`: what somebody can look at.
const MAX_SESSIONS: usize = 100;

/// Something that happened. The same to readers of `/api/v1/events`, as `data`, and to webhooks, as body.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct EventJson {
    /// Counts from 1 since the server started, without holes.
    number: u64,
    /// RFC 3339, UTC.
    #[schema(format = DateTime)]
    at: String,
    #[serde(flatten)]
    event: Happened,
}

/// By `event`.
#[derive(Clone, Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[schema(as = EventDetails)]
pub(in crate::http) enum Happened {
    /// A publisher connected to a stream that had none.
    StreamStarted { stream: String, session: String },
    /// The publisher is gone. `reason` is for people.
    StreamStopped {
        stream: String,
        session: String,
        reason: String,
    },
    /// `session` publishes now, in place of `previous`.
    StreamTakenOver {
        stream: String,
        session: String,
        previous: String,
    },
    /// `viewers` is how many the stream has from now on, with those that still connect.
    ViewerJoined {
        stream: String,
        session: String,
        viewers: usize,
    },
    ViewerLeft {
        stream: String,
        session: String,
        viewers: usize,
        reason: String,
    },
    /// Something is wrong with what a publisher sends; told once per session, kind and layer.
    Finding {
        stream: String,
        session: String,
        finding: Finding,
    },
    /// New sessions are refused, or sent to `redirect`.
    Draining { redirect: Option<String> },
    /// New sessions are taken again.
    DrainEnded,
}

impl Happened {
    fn name(&self) -> &'static str {
        match self {
            Self::StreamStarted { .. } => "stream-started",
            Self::StreamStopped { .. } => "stream-stopped",
            Self::StreamTakenOver { .. } => "stream-taken-over",
            Self::ViewerJoined { .. } => "viewer-joined",
            Self::ViewerLeft { .. } => "viewer-left",
            Self::Finding { .. } => "finding",
            Self::Draining { .. } => "draining",
            Self::DrainEnded => "drain-ended",
        }
    }

    fn stream(&self) -> Option<&str> {
        match self {
            Self::StreamStarted { stream, .. }
            | Self::StreamStopped { stream, .. }
            | Self::StreamTakenOver { stream, .. }
            | Self::ViewerJoined { stream, .. }
            | Self::ViewerLeft { stream, .. }
            | Self::Finding { stream, .. } => Some(stream),
            Self::Draining { .. } | Self::DrainEnded => None,
        }
    }
}

/// Every name there is.
pub(crate) const NAMES: [&str; 8] = [
    "stream-started",
    "stream-stopped",
    "stream-taken-over",
    "viewer-joined",
    "viewer-left",
    "finding",
    "draining",
    "drain-ended",
];
const STATISTICS: &str = "statistics";
const SESSIONS: &str = "sessions";

impl EventJson {
    pub fn new(event: &Event) -> Self {
        let what = match event.what.clone() {
            What::StreamStarted { stream, session } => Happened::StreamStarted {
                stream: stream.to_string(),
                session: session.public(),
            },
            What::StreamStopped {
                stream,
                session,
                reason,
            } => Happened::StreamStopped {
                stream: stream.to_string(),
                session: session.public(),
                reason: reason.to_string(),
            },
            What::StreamTakenOver {
                stream,
                session,
                previous,
            } => Happened::StreamTakenOver {
                stream: stream.to_string(),
                session: session.public(),
                previous: previous.public(),
            },
            What::ViewerJoined {
                stream,
                session,
                viewers,
            } => Happened::ViewerJoined {
                stream: stream.to_string(),
                session: session.public(),
                viewers,
            },
            What::ViewerLeft {
                stream,
                session,
                viewers,
                reason,
            } => Happened::ViewerLeft {
                stream: stream.to_string(),
                session: session.public(),
                viewers,
                reason: reason.to_string(),
            },
            What::Found {
                stream,
                session,
                finding,
            } => Happened::Finding {
                stream: stream.to_string(),
                session: session.public(),
                finding: Finding::new(&finding),
            },
            What::Draining { redirect } => Happened::Draining { redirect },
            What::DrainEnded => Happened::DrainEnded,
        };
        Self {
            number: event.number,
            at: rfc3339(event.at),
            event: what,
        }
    }

    pub fn name(&self) -> &'static str {
        self.event.name()
    }
}

/// The name and the JSON of an event, for webhooks.
pub(crate) fn encode(event: &Event) -> (&'static str, String) {
    let json = EventJson::new(event);
    (json.name(), serde_json::to_string(&json).unwrap_or_default())
}

/// The state of all streams, once a second: `data` of the event `statistics`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatisticsJson {
    #[schema(format = DateTime)]
    at: String,
    sessions: usize,
    /// No new sessions are taken.
    draining: bool,
    /// At most 500, by name.
    streams: Vec<Stream>,
    server: ServerJson,
}

/// The server as a whole; the same values as `/metrics` has. What grows only is a total since the start.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ServerJson {
    /// Processor time of the process, in seconds; null where the system does not tell.
    cpu_seconds: Option<f64>,
    /// Memory of the process, in bytes; null where the system does not tell.
    memory_bytes: Option<u64>,
    datagrams_sent: u64,
    /// What all viewers are sent now, in bit/s.
    viewers_bitrate: u64,
    /// Mean of the latest receiver reports, 0 to 1; null without any.
    viewers_loss: Option<f64>,
    /// Mean to viewers and back; null without any.
    viewers_round_trip_ms: Option<f64>,
}

/// Sessions as they are, once a second: `data` of the event `sessions`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionsJson {
    #[schema(format = DateTime)]
    at: String,
    /// How many there are of those asked for.
    total: usize,
    /// At most 100: publishers, then the viewers that fare worst.
    sessions: Vec<Session>,
}

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Only of this stream, beside those of no stream.
    stream: Option<String>,
    /// In `sessions` only this one, by its id.
    session: Option<String>,
    /// Only these, separated by commas. All if left out, but `statistics` and `sessions` only where they are named.
    names: Option<String>,
}

/// What happens, as server-sent events.
///
/// Each event's name is the `event` of its data; its data is an `EventJson` in one line. Three more: `statistics` and
/// `sessions`, once a second where they are asked for (`StatisticsJson`, `SessionsJson`), and `missed`
/// (`{"missed": n}`) to a reader that was too slow: ask for the lists again then. For operators.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", params(EventQuery), security((), ("key" = [])),
    responses(
        (status = 200, body = EventJson, content_type = "text/event-stream"),
        (status = 400, body = ProblemJson, content_type = "application/problem+json"),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "Too many event streams", body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn events(State(app): State<App>, _: Operator, uri: Uri) -> Result<Response, Problem> {
    let query: EventQuery = paging::query(&uri)?;
    let names: Vec<String> = query
        .names
        .iter()
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    let known = |name: &String| NAMES.contains(&name.as_str()) || name == STATISTICS || name == SESSIONS;
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let detail = format!(
            "there is no event {unknown:?}; there are {STATISTICS}, {SESSIONS}, {}",
            NAMES.join(", ")
        );
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let mut ticks = tokio::time::interval_at(Instant::now(), STATISTICS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let reader = Reader {
        events: app.control.listen(),
        farewell: app.control.farewell(),
        statistics: names.iter().any(|name| name == STATISTICS),
        sessions: names.iter().any(|name| name == SESSIONS),
        control: app.control.clone(),
        ticks,
        names,
        stream: query.stream,
        session: query.session,
        ready: VecDeque::new(),
        finished: false,
        _permit: app.event_stream()?,
    };
    Ok(stream_response(read(reader)))
}

fn read(reader: Reader) -> impl Events<Item = Result<sse::Event, Infallible>> {
    futures_util::stream::unfold(reader, async |mut reader| {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    })
}

struct Reader {
    events: broadcast::Receiver<Arc<Event>>,
    farewell: watch::Receiver<Farewell>,
    control: Control,
    ticks: Interval,
    statistics: bool,
    sessions: bool,
    names: Vec<String>,
    stream: Option<String>,
    session: Option<String>,
    ready: VecDeque<sse::Event>,
    finished: bool,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.finished {
                return None;
            }
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Ok(event) => self.take(&event),
                    Err(RecvError::Lagged(missed)) => self.push("missed", None, &serde_json::json!({"missed": missed})),
                    Err(RecvError::Closed) => return None,
                },
                Ok(()) = self.farewell.changed() => {
                    self.finished = *self.farewell.borrow_and_update() == Farewell::ComeBack;
                }
                _ = self.ticks.tick(), if self.statistics || self.sessions => self.look(),
            }
        }
    }

    fn look(&mut self) {
        if self.statistics {
            let statistics = statistics(&self.control, self.stream.as_deref());
            self.push(
                STATISTICS,
                None,
                &serde_json::to_value(statistics).unwrap_or_default(),
            );
        }
        if self.sessions {
            let sessions = sessions(&self.control, self.stream.as_deref(), self.session.as_deref());
            self.push(
                SESSIONS,
                None,
                &serde_json::to_value(sessions).unwrap_or_default(),
            );
        }
    }

    fn take(&mut self, event: &Event) {
        let json = EventJson::new(event);
        let of_another = match (&self.stream, json.event.stream()) {
            (Some(wanted), Some(stream)) => wanted != stream,
            _ => false,
        };
        if !of_another {
            let data = serde_json::to_value(&json).unwrap_or_default();
            self.push(json.name(), Some(json.number), &data);
        }
    }

    fn push(&mut self, name: &str, number: Option<u64>, data: &Value) {
        // Whoever misses something has to know.
        if name != "missed" && !self.names.is_empty() && !self.names.iter().any(|wanted| wanted == name) {
            return;
        }
        let event = crate::http::sse::event(name, data);
        self.ready.push_back(match number {
            Some(number) => event.id(number.to_string()),
            None => event,
        });
    }
}

fn statistics(control: &Control, only: Option<&str>) -> StatisticsJson {
    let streams = control.streams();
    let wanted = streams
        .iter()
        .filter(|stream| only.is_none_or(|name| name == stream.name.as_str()));
    let views = wanted
        .take(MAX_STREAMS)
        .filter_map(|stream| control.stream_view(&stream.name));
    StatisticsJson {
        at: rfc3339(control.now()),
        sessions: control.session_count(),
        draining: control.draining().is_some(),
        streams: views.map(|view| Stream::new(&view)).collect(),
        server: ServerJson::new(control),
    }
}

impl ServerJson {
    fn new(control: &Control) -> Self {
        let viewers = metrics::Viewers::sum(control);
        let process = metrics::Process::read();
        let counters = control.worker_counters();
        Self {
            cpu_seconds: process.cpu_seconds,
            memory_bytes: process.resident_bytes,
            datagrams_sent: counters.iter().map(|counters| counters.datagrams_out).sum(),
            viewers_bitrate: viewers.bitrate,
            viewers_loss: viewers.mean_loss(),
            viewers_round_trip_ms: viewers.mean_round_trip().map(|trip| trip.as_secs_f64() * 1000.0),
        }
    }
}

/// A stream's name that cannot be one has no sessions, and neither has a session that is over.
fn sessions(control: &Control, stream: Option<&str>, session: Option<&str>) -> SessionsJson {
    let stream: Option<Option<StreamName>> = stream.map(|name| name.parse().ok());
    let ids = match (session, stream) {
        (Some(session), _) => control.by_public(session).into_iter().collect(),
        (None, Some(None)) => Vec::new(),
        (None, stream) => control.matching(&SessionFilter {
            stream: stream.flatten(),
            ..SessionFilter::default()
        }),
    };
    let mut views: Vec<_> = ids.into_iter().filter_map(|id| control.view(id)).collect();
    let total = views.len();
    // Stable: among equals the oldest comes first, as the lists have them.
    views.sort_by(|a, b| trouble(b).total_cmp(&trouble(a)));
    SessionsJson {
        at: rfc3339(control.now()),
        total,
        sessions: views.iter().take(MAX_SESSIONS).map(Session::new).collect(),
    }
}

/// Publishers first, then viewers by what they miss.
fn trouble(view: &SessionView) -> f32 {
    match (view.role, view.report.as_ref().map(|report| &report.media)) {
        (SessionRole::Publisher, _) => f32::INFINITY,
        (_, Some(MediaReport::Viewer(viewer))) => {
            f32::from(u8::from(viewer.video_paused)) + viewer.loss.unwrap_or_default()
        }
        _ => 0.0,
    }
}
