//! No new sessions: before the server is stopped, or while another one is to take over.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::contract::ProblemJson;
use super::fresh;
use super::operator::Operator;
use crate::http::problem::Problem;
use crate::http::router::App;

#[derive(Serialize, ToSchema)]
#[schema(as = Drain)]
pub(super) struct DrainJson {
    draining: bool,
    /// Where new sessions are sent; null: they are refused.
    redirect: Option<String>,
    /// Those that are still there.
    sessions: usize,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = DrainWish)]
pub(super) struct Wish {
    /// A server that takes new sessions in place of this one: scheme, host and port.
    #[schema(example = "https://b.example.org")]
    redirect: Option<String>,
}

/// Whether new sessions are taken. For operators.
#[utoipa::path(
    get, path = "/api/v1/drain", tag = "server", security((), ("key" = [])),
    responses(
        (status = 200, body = DrainJson),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn state(State(app): State<App>, _: Operator) -> Response {
    now(&app)
}

/// Take no new sessions. For operators.
///
/// Those there are go on. New ones get `503`; or `307` with `redirect`, and clients that listen are told to reconnect
/// there.
#[utoipa::path(
    post, path = "/api/v1/drain", tag = "server", security((), ("key" = [])),
    request_body(content = Option<Wish>, description = "May be left out", content_type = "application/json"),
    responses(
        (status = 200, body = DrainJson),
        (status = 400, body = ProblemJson, content_type = "application/problem+json"),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn begin(State(app): State<App>, _: Operator, body: Bytes) -> Result<Response, Problem> {
    let wish: Wish = match body.is_empty() || &body[..] == b"null" {
        true => Wish::default(),
        // An object, not what serde takes for one too.
        false => serde_json::from_slice::<Map<String, Value>>(&body)
            .and_then(|object| serde_json::from_value(object.into()))
            .map_err(|why| Problem::new(StatusCode::BAD_REQUEST, format!("no wish for a drain: {why}")))?,
    };
    app.control
        .drain(wish.redirect.as_deref().map(server).transpose()?);
    Ok(now(&app))
}

/// Take new sessions again. For operators.
#[utoipa::path(
    delete, path = "/api/v1/drain", tag = "server", security((), ("key" = [])),
    responses(
        (status = 200, body = DrainJson),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn end(State(app): State<App>, _: Operator) -> Response {
    app.control.end_drain();
    now(&app)
}

fn now(app: &App) -> Response {
    let drain = app.control.draining();
    fresh(DrainJson {
        draining: drain.is_some(),
        redirect: drain.and_then(|drain| drain.redirect),
        sessions: app.control.session_count(),
    })
}

/// Scheme, host and port, and nothing more.
fn server(text: &str) -> Result<String, Problem> {
    let refuse = || {
        let detail = "redirect is a server, such as https://b.example.org";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    };
    let url = reqwest::Url::parse(text).map_err(|_| refuse())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(refuse());
    }
    Ok(url.origin().ascii_serialization())
}
