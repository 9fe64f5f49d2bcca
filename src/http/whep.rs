//! The WHEP endpoint (draft-ietf-wish-whep §4): `/whep/{stream}`, and `/whep/{stream}/{token}` for players that cannot
//! send a header.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::auth::Right;
use super::endpoint::{self, Named, Post};
use super::router::App;

pub(super) fn named() -> MethodRouter<App> {
    get(nothing).post(post).options(options)
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

async fn post(
    State(app): State<App>,
    Path(at): Path<Named>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    Post::to_named(&app, Right::Watch, &at, &uri, &headers, &body)
        .await
        .run(&app)
}

async fn options(State(app): State<App>, Path(at): Path<Named>, headers: HeaderMap, uri: Uri) -> Response {
    let permitted = at.permitted(&app, Right::Watch, &headers, &uri).await.is_ok();
    endpoint::options(&app, &headers, permitted)
}
