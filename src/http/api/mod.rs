//! The API for pages and operators, below `/api/v1`. Its description, for programs at `/api/openapi.json` and for
//! people at `/api`, is made from the very types that are sent.
//!
//! - `streams`: what is published and watched. `sessions`: each publisher and viewer, for operators.
//! - `thumbnail`: a picture of a stream.
//! - `server`: what the server is, whether it is alive and ready.
//! - `reload`: the configuration, read again.
//! - `events`: what happens, as it happens. `drain`: no new sessions.
//! - `operator`: who may do what operators do.
//! - `contract`: the JSON, type by type. `paging`: a list in pieces.
//! - `openapi`: the description; `page`: the same as HTML.

mod contract;
mod drain;
mod events;
mod openapi;
mod operator;
mod page;
mod paging;
mod reload;
mod server;
mod sessions;
mod streams;
mod thumbnail;

use axum::Json;
use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;

use super::router::{App, both};
pub(super) use contract::Finding;
pub(crate) use events::{NAMES as EVENT_NAMES, encode};
pub use reload::{Reloaded, Reloader, Wish as ReloadWish, reloads};

/// Everything below `/api`, and what watches over the process.
pub(super) fn routes(mut routes: Router<App>) -> Router<App> {
    routes = routes
        .route("/healthz", get(server::health))
        .route("/readyz", get(server::ready))
        .route("/metrics", get(server::metrics))
        .route("/api/openapi.json", get(openapi::document))
        .route("/api/style.css", get(page::style));
    routes = both(routes, "/api", get(page::page));
    routes = both(routes, "/api/v1/info", get(server::info));
    routes = both(routes, "/api/v1/streams", get(streams::list));
    routes = both(
        routes,
        "/api/v1/streams/{stream}",
        get(streams::one).patch(streams::change).delete(streams::end),
    );
    routes = both(
        routes,
        "/api/v1/streams/{stream}/thumbnail.jpg",
        get(thumbnail::thumbnail),
    );
    routes = both(routes, "/api/v1/sessions", get(sessions::list));
    routes = both(
        routes,
        "/api/v1/sessions/{id}",
        get(sessions::one).delete(sessions::end),
    );
    routes = both(
        routes,
        "/api/v1/sessions/{id}/layer",
        post(sessions::choose_layer),
    );
    routes = both(routes, "/api/v1/reload", post(reload::reload));
    routes = both(routes, "/api/v1/events", get(events::events));
    both(
        routes,
        "/api/v1/drain",
        get(drain::state).post(drain::begin).delete(drain::end),
    )
}

/// JSON that no cache keeps.
fn fresh(json: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(json)).into_response()
}
