//! The WHIP endpoint (RFC 9725 §4): `/whip/{stream}`, `/whip/{stream}/{token}` for encoders that cannot send a header,
//! and `/whip`, where the key says which stream.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use super::auth::{Credentials, Right};
use super::endpoint::{self, Named, Post};
use super::router::App;

pub(super) fn named() -> MethodRouter<App> {
    get(nothing).post(post_named).options(options_named)
}

pub(super) fn unnamed() -> MethodRouter<App> {
    get(nothing).post(post_unnamed).options(options_unnamed)
}

/// RFC 9725 §4.2: GET and HEAD are answered without content, and tell nothing about the stream.
async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn post_named(
    State(app): State<App>,
    Path(at): Path<Named>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    Post::to_named(&app, Right::Publish, &at, &uri, &headers, &body)
        .await
        .run(&app)
}

async fn options_named(
    State(app): State<App>,
    Path(at): Path<Named>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let permitted = at.permitted(&app, Right::Publish, &headers, &uri).await.is_ok();
    endpoint::options(&app, &headers, permitted)
}

async fn post_unnamed(State(app): State<App>, headers: HeaderMap, uri: Uri, body: Bytes) -> Response {
    let credentials = Credentials::of(&headers, &uri, None);
    let permitted = app.keys().stream_of(&credentials).await;
    Post {
        right: Right::Publish,
        shown: None,
        permitted,
        uri: &uri,
        headers: &headers,
        body: &body,
    }
    .run(&app)
}

async fn options_unnamed(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let (keys, credentials) = (app.keys(), Credentials::of(&headers, &uri, None));
    let permitted = keys.is_open(Right::Publish) || keys.stream_of(&credentials).await.is_ok();
    endpoint::options(&app, &headers, permitted)
}
