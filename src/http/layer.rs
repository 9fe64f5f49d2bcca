//! A viewer chooses its layer: `POST /session/{id}/layer` (draft-ietf-wish-whep §4.9.2), announced by a `Link` header
//! on the `201`.

use std::num::NonZeroU16;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use serde::Deserialize;
use utoipa::ToSchema;

use super::endpoint::has_content_type;
use super::problem::Problem;
use super::router::App;
use super::session::permitted;
use crate::control::{LayerRequest, NoLayer};
use crate::core::ids::SessionId;

const JSON: &str = "application/json";
const ACCEPT_POST: (HeaderName, HeaderValue) = (
    HeaderName::from_static("accept-post"),
    HeaderValue::from_static(JSON),
);

/// Layers within an encoding are only ever bounded from above: those below are needed to decode it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LayerWish)]
pub(super) struct Wish {
    media_id: Option<String>,
    rid: Option<String>,
    /// What older drafts call the rid.
    encoding_id: Option<String>,
    /// Ours: the largest picture not higher than this.
    #[schema(value_type = Option<u16>, minimum = 1)]
    max_height: Option<NonZeroU16>,
    spatial_layer_id: Option<u8>,
    temporal_layer_id: Option<u8>,
    max_spatial_layer_id: Option<u8>,
    max_temporal_layer_id: Option<u8>,
}

pub(super) fn resource() -> MethodRouter<App> {
    axum::routing::post(choose).delete(give_up).options(options)
}

/// The `Link` header's value for a viewer's `201`.
pub(super) fn link(session: &SessionId) -> String {
    format!(
        "</session/{}/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"",
        session.to_url()
    )
}

async fn options() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [ACCEPT_POST])
}

async fn choose(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let outcome = permitted(&app, &id, &headers, &uri).await.and_then(|(id, _)| {
        let request = read(&headers, &body)?;
        app.control.choose_layer(&id, &request).map_err(refusal)
    });
    answer(outcome)
}

/// What older drafts have instead of a POST that names no layer.
async fn give_up(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap, uri: Uri) -> Response {
    let outcome = permitted(&app, &id, &headers, &uri).await.and_then(|(id, _)| {
        let request = LayerRequest::default();
        app.control.choose_layer(&id, &request).map_err(refusal)
    });
    answer(outcome)
}

fn answer(outcome: Result<(), Problem>) -> Response {
    match outcome {
        Ok(()) => StatusCode::OK.into_response(),
        Err(problem) => problem.into_response(),
    }
}

pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<LayerRequest, Problem> {
    if !has_content_type(headers, JSON) {
        let (name, value) = ACCEPT_POST;
        let detail = format!("a layer is chosen with {JSON}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).with_header(name, value));
    }
    let wish: Wish = serde_json::from_slice(body)
        .map_err(|why| Problem::new(StatusCode::BAD_REQUEST, format!("no choice of a layer: {why}")))?;
    Ok(LayerRequest {
        media: wish.media_id,
        rid: wish.rid.or(wish.encoding_id),
        max_height: wish.max_height.map(NonZeroU16::get),
        max_spatial: lower(wish.spatial_layer_id, wish.max_spatial_layer_id),
        max_temporal: lower(wish.temporal_layer_id, wish.max_temporal_layer_id),
    })
}

fn lower(one: Option<u8>, other: Option<u8>) -> Option<u8> {
    [one, other].into_iter().flatten().min()
}

pub(super) fn refusal(why: NoLayer) -> Problem {
    let status = match why {
        NoLayer::Session | NoLayer::Publisher => StatusCode::NOT_FOUND,
        NoLayer::Media | NoLayer::Rid => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, why.to_string())
}
