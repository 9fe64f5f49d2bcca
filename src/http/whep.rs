//! The WHEP endpoint (draft-ietf-wish-whep §4): `/whep/{stream}`, and `/whep/{stream}/{token}` for players that cannot
//! send a header.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::auth::{Credentials, Right};
use super::endpoint::{self, Post};
use super::router::App;

pub(super) fn named() -> MethodRouter<App> {
    get(nothing).post(post_named).options(options_named)
}

pub(super) fn with_token() -> MethodRouter<App> {
    get(nothing).post(post_with_token).options(options_with_token)
}

async fn post_named(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let credentials = Credentials::of(&headers, &uri, None);
    Post::to_named(&app, Right::Watch, &name, &credentials, &headers, &body).run(&app)
}

async fn post_with_token(
    State(app): State<App>,
    Path((name, token)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let credentials = Credentials::of(&headers, &uri, Some(&token));
    Post::to_named(&app, Right::Watch, &name, &credentials, &headers, &body).run(&app)
}

/// GET and HEAD are answered with an empty body of SDP's type, whether or not the stream exists.
async fn nothing() -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, endpoint::SDP),
            (header::CONTENT_LENGTH, "0"),
        ],
        (),
    )
}

async fn options_named(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    endpoint::options(
        &app,
        &headers,
        endpoint::may(&app, Right::Watch, &name, &headers, &uri, None),
    )
}

async fn options_with_token(
    State(app): State<App>,
    Path((name, token)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    endpoint::options(
        &app,
        &headers,
        endpoint::may(&app, Right::Watch, &name, &headers, &uri, Some(&token)),
    )
}
