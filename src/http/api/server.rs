//! What the server is, whether it is alive and ready.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::contract::{Info, ProblemJson};
use super::fresh;
use super::operator::Operator;
use crate::http::auth::Right;
use crate::http::problem::Problem;
use crate::http::router::App;
use crate::metrics;

/// What clients should know before they begin.
#[utoipa::path(get, path = "/api/v1/info", tag = "server", responses((status = 200, body = Info)))]
pub(super) async fn info(State(app): State<App>) -> Response {
    let config = &app.config;
    fresh(Info {
        version: config.version.clone(),
        publish_key_required: !app.keys().is_open(Right::Publish),
        watch_key_required: !app.keys().is_open(Right::Watch),
        admin_key_required: app.keys().has_admin(),
        media_port: config.media_port,
    })
}

/// The process lives and answers.
#[utoipa::path(get, path = "/healthz", tag = "server",
    responses((status = 200, body = str, content_type = "text/plain", example = "ok\n")))]
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// New sessions are taken; `503` while the server goes down.
#[utoipa::path(get, path = "/readyz", tag = "server",
    responses(
        (status = 200, body = str, content_type = "text/plain", example = "ready\n"),
        (status = 503, body = ProblemJson, content_type = "application/problem+json"),
    ))]
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    match app.control.takes_sessions() {
        Ok(()) => Ok("ready\n"),
        Err(why) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)),
    }
}

/// What is measured, for Prometheus (OpenMetrics 1.0). For operators.
#[utoipa::path(get, path = "/metrics", tag = "server", security((), ("key" = [])),
    responses(
        (status = 200, body = str, content_type = "application/openmetrics-text"),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
    ))]
pub(super) async fn metrics(State(app): State<App>, _: Operator) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, metrics::CONTENT_TYPE),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, metrics::scrape(&app.control))
}
