//! Each publisher and viewer, for operators.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::contract::{ProblemJson, Role, Session, Sessions, State as SessionState};
use super::operator::Operator;
use super::paging::Page;
use super::{fresh, paging};
use crate::control::SessionFilter;
use crate::core::ids::SessionId;
use crate::http::layer;
use crate::http::problem::Problem;
use crate::http::router::App;

/// Which sessions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SessionQuery {
    /// Only of this stream.
    stream: Option<String>,
    /// Only publishers, or only viewers.
    role: Option<Role>,
    /// Only those that are so far.
    state: Option<SessionState>,
}

/// All sessions, the oldest first.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "sessions", params(SessionQuery, Page), security((), ("key" = [])),
    responses(
        (status = 200, body = Sessions),
        (status = 400, body = ProblemJson, content_type = "application/problem+json"),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
        (status = 410, description = "What `after` names is gone: begin anew", body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(app): State<App>, _: Operator, uri: Uri) -> Result<Response, Problem> {
    let query: SessionQuery = paging::query(&uri)?;
    let page: Page = paging::query(&uri)?;
    let stream = query.stream.map(|name| name.parse()).transpose();
    let filter = SessionFilter {
        stream: stream.map_err(|why: crate::core::ids::StreamNameError| {
            Problem::new(StatusCode::BAD_REQUEST, why.to_string())
        })?,
        role: query.role.map(Into::into),
        state: query.state.map(Into::into),
    };
    let found = app.control.matching(&filter);
    let (piece, next) = page.of(found, |id| id.public())?;
    let views = piece.into_iter().filter_map(|id| app.control.view(id));
    let sessions = views.map(|view| Session::new(&view)).collect();
    Ok(fresh(Sessions { sessions, next }))
}

/// One session.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}", tag = "sessions", security((), ("key" = [])),
    params(("id" = String, Path, description = "16 hexadecimal digits, as the list has them")),
    responses(
        (status = 200, body = Session),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn one(
    State(app): State<App>,
    _: Operator,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let id = find(&app, &name)?;
    let view = app.control.view(id).ok_or_else(missing)?;
    Ok(fresh(Session::new(&view)))
}

/// End a session: its client is told at once. For operators.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}", tag = "sessions", security((), ("key" = [])),
    params(("id" = String, Path, description = "16 hexadecimal digits, as the list has them")),
    responses(
        (status = 204),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn end(
    State(app): State<App>,
    _: Operator,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = find(&app, &name)?;
    if !app.control.end(&id) {
        return Err(missing());
    }
    tracing::info!(session = id.short(), "ended by an operator");
    Ok(StatusCode::NO_CONTENT)
}

/// Choose a viewer's layer, as the viewer itself may. For operators.
///
/// Without `rid` the server chooses; without `maxHeight` that of the viewer's POST stays.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/layer", tag = "sessions", security((), ("key" = [])),
    params(("id" = String, Path, description = "16 hexadecimal digits, as the list has them")),
    request_body = layer::Wish,
    responses(
        (status = 204),
        (status = 400, body = ProblemJson, content_type = "application/problem+json"),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "No such session, or not a viewer's", body = ProblemJson, content_type = "application/problem+json"),
        (status = 415, body = ProblemJson, content_type = "application/problem+json"),
        (status = 422, description = "The stream has no such layer", body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn choose_layer(
    State(app): State<App>,
    _: Operator,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let id = find(&app, &name)?;
    let request = layer::read(&headers, &body)?;
    app.control.choose_layer(&id, &request).map_err(layer::refusal)?;
    Ok(StatusCode::NO_CONTENT)
}

/// By the name that the API gives it.
pub(super) fn find(app: &App, name: &str) -> Result<SessionId, Problem> {
    app.control.by_public(name).ok_or_else(missing)
}

pub(super) fn missing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such session, or it has ended")
}
