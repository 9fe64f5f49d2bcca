//! What is published and watched: for all who may watch it.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::contract::{ProblemJson, Stream, Streams};
use super::operator::Operator;
use super::paging::Page;
use super::{fresh, paging};
use crate::control::{SessionFilter, SessionRole};
use crate::core::ids::StreamName;
use crate::http::auth::{Credentials, Right};
use crate::http::problem::Problem;
use crate::http::router::App;

/// Which streams.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// Only those with a publisher (`true`), or without (`false`).
    publishing: Option<bool>,
    /// Only those whose name contains this.
    name: Option<String>,
}

/// The streams you may watch, by name.
#[utoipa::path(
    get, path = "/api/v1/streams", tag = "streams", params(StreamQuery, Page), security((), ("key" = [])),
    responses(
        (status = 200, body = Streams),
        (status = 400, body = ProblemJson, content_type = "application/problem+json"),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
        (status = 410, description = "What `after` names is gone: begin anew", body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<axum::response::Response, Problem> {
    let query: StreamQuery = paging::query(&uri)?;
    let page: Page = paging::query(&uri)?;
    let credentials = Credentials::of(&headers, &uri, None);
    let streams = app.control.streams();
    let visible = app
        .keys()
        .visible(streams, |stream| &stream.name, &credentials)
        .await?;
    let found = visible
        .into_iter()
        .filter(|stream| query.publishing.is_none_or(|wanted| wanted == stream.publishing))
        .filter(|stream| {
            let part = query.name.as_deref().unwrap_or_default();
            stream.name.as_str().contains(part)
        })
        .collect();
    let (piece, next) = page.of(found, |stream| stream.name.to_string())?;
    let views = piece
        .iter()
        .filter_map(|stream| app.control.stream_view(&stream.name));
    let streams = views.map(|view| Stream::new(&view)).collect();
    Ok(fresh(Streams { streams, next }))
}

/// One stream. Without the right to watch it, existing and missing streams look the same.
#[utoipa::path(
    get, path = "/api/v1/streams/{stream}", tag = "streams", security((), ("key" = [])),
    params(("stream" = String, Path, description = "The stream's name", example = "live")),
    responses(
        (status = 200, body = Stream),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<axum::response::Response, Problem> {
    let name: StreamName = name.parse().map_err(|_| missing())?;
    let credentials = Credentials::of(&headers, &uri, None);
    app.keys().require(Right::Watch, &name, &credentials).await?;
    let view = app.control.stream_view(&name).ok_or_else(missing)?;
    Ok(fresh(Stream::new(&view)))
}

/// What is to be different; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamChange {
    #[serde(default)]
    muted: MuteChange,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MuteChange {
    audio: Option<bool>,
    video: Option<bool>,
}

/// Mute a stream's sound or picture for all who watch, or end that. For operators.
///
/// It holds as long as anybody publishes or watches the stream.
#[utoipa::path(
    patch, path = "/api/v1/streams/{stream}", tag = "streams", security((), ("key" = [])),
    params(("stream" = String, Path, description = "The stream's name", example = "live")),
    request_body = StreamChange,
    responses(
        (status = 200, body = Stream),
        (status = 400, body = ProblemJson, content_type = "application/problem+json"),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn change(
    State(app): State<App>,
    _: Operator,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<axum::response::Response, Problem> {
    let change: StreamChange = serde_json::from_slice::<Map<String, Value>>(&body)
        .and_then(|object| serde_json::from_value(object.into()))
        .map_err(|why| Problem::new(StatusCode::BAD_REQUEST, format!("no change of a stream: {why}")))?;
    let name: StreamName = name.parse().map_err(|_| missing())?;
    let MuteChange { audio, video } = change.muted;
    let muted = app.control.mute(&name, audio, video).ok_or_else(missing)?;
    tracing::info!(stream = %name, ?muted, "muted by an operator");
    let view = app.control.stream_view(&name).ok_or_else(missing)?;
    Ok(fresh(Stream::new(&view)))
}

/// Whom else to end.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EndQuery {
    /// The viewers too. Otherwise they wait for the next publisher.
    viewers: Option<bool>,
}

/// End a stream: its publisher's session, and with `viewers=true` its viewers'. For operators.
///
/// A publisher with a valid key can come back: most encoders do so at once.
#[utoipa::path(
    delete, path = "/api/v1/streams/{stream}", tag = "streams", security((), ("key" = [])),
    params(("stream" = String, Path, description = "The stream's name", example = "live"), EndQuery),
    responses(
        (status = 204),
        (status = 400, body = ProblemJson, content_type = "application/problem+json"),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn end(
    State(app): State<App>,
    _: Operator,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let query: EndQuery = paging::query(&uri)?;
    let name: StreamName = name.parse().map_err(|_| missing())?;
    app.control.stream(&name).ok_or_else(missing)?;
    let role = match query.viewers {
        Some(true) => None,
        _ => Some(SessionRole::Publisher),
    };
    let filter = SessionFilter {
        stream: Some(name.clone()),
        role,
        ..SessionFilter::default()
    };
    let sessions = app.control.matching(&filter);
    tracing::info!(stream = %name, sessions = sessions.len(), "ended by an operator");
    for id in sessions {
        app.control.end(&id);
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn missing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such stream")
}
