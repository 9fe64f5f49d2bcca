//! Server-sent events for a session's own client (draft-ietf-wish-whep §4.9.1): `POST /session/{id}/sse` with the names
//! of events, then `GET` what its `Location` says. Announced by a `Link` header on the `201`: a viewer's, and a
//! publisher's where a web page publishes. Other publishers' clients may do the same with `{its session's URL}/sse`; they are
//! not told, because encoders take every `Link` for an ICE server.
//!
//! | event | data | for |
//! | --- | --- | --- |
//! | `active`, `inactive` | `{}`: the stream has a publisher, or none | viewers |
//! | `viewercount` | `{"viewercount": n}`, at most once a second | both |
//! | `layers` | `{"<mediaId>": [{rid, width, height, bitrate, …}]}`: when layers come, go or change by much | viewers |
//! | `reconnect` | `{"url": …}`: POST there again; the session ends soon | both |
//! | `layerchange` | `{"rid", "width", "height"}`: the layer you get | viewers; ours |
//! | `videopaused`, `videoresumed` | `{}`: your link is too thin for any picture, or no longer | viewers; ours |
//! | `findings` | `{"findings": […]}`: what was found wrong with what you send | publishers; ours |
//!
//! A reader gets the present state first, and then what changes. Nothing queues up for one that is slow: it gets the
//! state as it is when it reads on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use futures_util::Stream;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::api::Finding;
use super::endpoint::has_content_type;
use super::problem::Problem;
use super::router::App;
use super::session::{find, permitted};
use crate::control::{Farewell, Listener, SessionNews, SessionRole, StreamState, SubscriptionId};
use crate::core::ids::SessionId;

const JSON: &str = "application/json";
const ACCEPT_POST: (HeaderName, HeaderValue) = (
    HeaderName::from_static("accept-post"),
    HeaderValue::from_static(JSON),
);
/// A comment that keeps the way open, and shows us that a reader is gone.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Event streams open at once. Each holds a connection; the rest of them is for requests.
pub(super) const MAX_STREAMS: usize = 512;

const VIEWERS: [&str; 8] = [
    "active",
    "inactive",
    "layers",
    "reconnect",
    "viewercount",
    "layerchange",
    "videopaused",
    "videoresumed",
];
const PUBLISHERS: [&str; 3] = ["findings", "reconnect", "viewercount"];

/// The `Link` header's value for a viewer's `201`.
pub(super) fn link(session: &SessionId) -> String {
    format!("{}; events=\"{}\"", publisher_link(session), VIEWERS.join(","))
}

/// The same for a publisher's: without the events' names, for OBS splits the header at every comma.
pub(super) fn publisher_link(session: &SessionId) -> String {
    let session = session.to_url();
    format!("</session/{session}/sse>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"")
}

pub(super) fn resource() -> MethodRouter<App> {
    axum::routing::post(subscribe).options(options)
}

pub(super) fn subscription() -> MethodRouter<App> {
    axum::routing::get(read).delete(end)
}

async fn options() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [ACCEPT_POST])
}

async fn subscribe(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Problem> {
    let (id, info) = permitted(&app, &id, &headers, &uri).await?;
    let names = names(&headers, &body, info.role)?;
    let subscription = app.control.subscribe(id, &info, names);
    let location = format!("/session/{}/sse/{}", id.to_url(), subscription.to_url());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

fn names(headers: &HeaderMap, body: &[u8], role: SessionRole) -> Result<Vec<String>, Problem> {
    if !has_content_type(headers, JSON) {
        let (name, value) = ACCEPT_POST;
        let detail = format!("events are chosen with {JSON}, a list of their names");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).with_header(name, value));
    }
    let refuse = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let mut names: Vec<String> =
        serde_json::from_slice(body).map_err(|why| refuse(format!("no list of names: {why}")))?;
    let known: &[&str] = match role {
        SessionRole::Viewer => &VIEWERS,
        SessionRole::Publisher => &PUBLISHERS,
    };
    if names.is_empty() || !names.iter().all(|name| known.contains(&name.as_str())) {
        return Err(refuse(format!("the events are {}", known.join(", "))));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// An `EventSource` sends no key: the URL is one.
async fn read(
    State(app): State<App>,
    Path((session, subscription)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (session, id) = named(&app, &session, &subscription)?;
    let permit = app.event_stream()?;
    let mid = app.control.video_mid(&session).unwrap_or_else(|| "0".into());
    let listener = app.control.read_events(session, id).ok_or_else(missing)?;
    Ok(stream_response(events(listener, mid, permit)))
}

async fn end(
    State(app): State<App>,
    Path((session, subscription)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (session, id) = named(&app, &session, &subscription)?;
    match app.control.unsubscribe(session, id) {
        true => Ok(StatusCode::OK),
        false => Err(missing()),
    }
}

fn named(app: &App, session: &str, subscription: &str) -> Result<(SessionId, SubscriptionId), Problem> {
    let (session, _) = find(app, session)?;
    let id = SubscriptionId::parse(subscription).ok_or_else(missing)?;
    Ok((session, id))
}

fn missing() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "there is no such subscription, or it has ended",
    )
}

/// Headers beside the stream itself: no cache keeps it, no proxy holds it back.
pub(super) fn stream_response(
    stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let sse = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    (headers, sse).into_response()
}

/// One event as the wire has it: a line of data.
pub(super) fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

fn events(
    listener: Listener,
    mid: String,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let reader = Reader {
        told: Told::default(),
        mid,
        ready: VecDeque::new(),
        began: false,
        finished: false,
        listener,
        _permit: permit,
    };
    futures_util::stream::unfold(reader, async |mut reader| {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    })
}

struct Reader {
    listener: Listener,
    /// The video's name in the viewer's offer.
    mid: String,
    told: Told,
    ready: VecDeque<(&'static str, Value)>,
    began: bool,
    finished: bool,
    _permit: OwnedSemaphorePermit,
}

/// What the client knows.
#[derive(Default)]
struct Told {
    stream: Option<StreamState>,
    news: SessionNews,
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((name, data)) = self.ready.pop_front() {
                if self.listener.names.iter().any(|wanted| wanted == name) {
                    return Some(event(name, &data));
                }
            }
            if self.finished {
                return None;
            }
            if !std::mem::replace(&mut self.began, true) {
                self.tell_stream();
                self.tell_news();
                self.tell_farewell();
                continue;
            }
            let listener = &mut self.listener;
            tokio::select! {
                biased;
                Ok(()) = listener.farewell.changed() => self.tell_farewell(),
                _ = &mut listener.ended => self.finished = true,
                Ok(()) = listener.stream.changed() => self.tell_stream(),
                Ok(()) = listener.session.changed() => self.tell_news(),
            }
        }
    }

    fn tell_stream(&mut self) {
        let state = self.listener.stream.borrow_and_update().clone();
        let (known, first) = match self.told.stream.take() {
            Some(known) => (known, false),
            None => (StreamState::default(), true),
        };
        let events = &mut self.ready;
        if known.publisher != state.publisher {
            if known.publisher.is_some() {
                events.push_back(("inactive", json!({})));
            }
            if state.publisher.is_some() {
                events.push_back(("active", json!({})));
            }
        } else if first {
            events.push_back(("inactive", json!({})));
        }
        if first || known.viewers != state.viewers {
            events.push_back(("viewercount", json!({"viewercount": state.viewers})));
        }
        if known.layers != state.layers {
            let layers: Vec<Value> = state.layers.iter().map(layer_json).collect();
            events.push_back(("layers", json!({ self.mid.as_str(): layers })));
        }
        self.told.stream = Some(state);
    }

    fn tell_news(&mut self) {
        let news = self.listener.session.borrow_and_update().clone();
        let known = std::mem::take(&mut self.told.news);
        let events = &mut self.ready;
        if let Some(layer) = news.layer.as_ref().filter(|_| known.layer != news.layer) {
            let rid = layer.rid.as_ref().map(|rid| rid.as_str());
            let (width, height) = layer.size.unzip();
            events.push_back((
                "layerchange",
                json!({"rid": rid, "width": width, "height": height}),
            ));
        }
        match (known.video_paused, news.video_paused) {
            (false, true) => events.push_back(("videopaused", json!({}))),
            (true, false) => events.push_back(("videoresumed", json!({}))),
            _ => {}
        }
        let same =
            known.findings.len() == news.findings.len()
                && known.findings.iter().zip(&news.findings).all(|(old, new)| {
                    (old.code, &old.layer, old.active) == (new.code, &new.layer, new.active)
                });
        if !same {
            let findings: Vec<Finding> = news.findings.iter().map(Finding::new).collect();
            events.push_back(("findings", json!({ "findings": findings })));
        }
        self.told.news = news;
    }

    fn tell_farewell(&mut self) {
        let base = match &*self.listener.farewell.borrow_and_update() {
            Farewell::None => return,
            Farewell::Elsewhere(server) => server.clone(),
            Farewell::ComeBack => {
                self.finished = true;
                String::new()
            }
        };
        let endpoint = match self.listener.role {
            SessionRole::Viewer => "whep",
            SessionRole::Publisher => "whip",
        };
        let url = format!("{base}/{endpoint}/{}", self.listener.stream_name);
        self.ready.push_back(("reconnect", json!({ "url": url })));
    }
}

/// As the draft has it, with the highest of the layers within an encoding: those below it are needed to decode it.
fn layer_json(layer: &crate::control::LiveLayer) -> Value {
    let (width, height) = layer.size.unzip();
    json!({
        "rid": layer.rid,
        "spatialLayerId": layer.top.0,
        "temporalLayerId": layer.top.1,
        "bitrate": layer.bitrate,
        "targetBitrate": layer.bitrate,
        "width": width,
        "height": height,
    })
}
