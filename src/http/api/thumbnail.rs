//! A picture of a stream.

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::contract::ProblemJson;
use super::operator::Operator;
use super::paging;
use super::streams::missing;
use crate::core::ids::StreamName;
use crate::http::auth::{Credentials, Right};
use crate::http::etag;
use crate::http::problem::Problem;
use crate::http::router::App;
use crate::http::thumbnails::{FRESH, Missing, SIZES};

/// How large.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ThumbnailQuery {
    /// Pixels of the longer side, 16 to 1280; 320 if left out. Pictures come in sizes of 160, 320, 640 and 1280: the
    /// next that is not smaller, and never larger than the video.
    #[param(minimum = 16, maximum = 1280)]
    size: Option<u16>,
}

const DEFAULT_SIZE: u16 = 320;

/// A picture of what is published: the latest keyframe of the smallest layer, as JPEG. VP8 and H.264. Operators may see
/// it too.
///
/// It is made anew every two seconds at most, however many ask. A publisher whose last keyframe is over ten seconds old
/// is asked for one.
#[utoipa::path(
    get, path = "/api/v1/streams/{stream}/thumbnail.jpg", tag = "streams", security((), ("key" = [])),
    params(("stream" = String, Path, description = "The stream's name", example = "live"), ThumbnailQuery),
    responses(
        (status = 200, description = "With `ETag`; `Cache-Control` says for how long it is good", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 304, description = "`If-None-Match` names the picture as it still is"),
        (status = 400, body = ProblemJson, content_type = "application/problem+json"),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "No such stream, nobody publishes it, its video is muted, or no picture can be made of its codec; `detail` says which", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "There is no picture yet, or none could be made; `Retry-After` says when to ask again", body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn thumbnail(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    mut parts: Parts,
) -> Result<Response, Problem> {
    let name: StreamName = name.parse().map_err(|_| missing())?;
    let credentials = Credentials::of(&headers, &uri, None);
    if let Err(refused) = app.keys().require(Right::Watch, &name, &credentials).await {
        // The console shows what is on, whatever its key may watch.
        let operator = Operator::from_request_parts(&mut parts, &app).await;
        operator.map_err(|_| refused)?;
    }
    let query: ThumbnailQuery = paging::query(&uri)?;
    let size = query.size.unwrap_or(DEFAULT_SIZE);
    let [.., largest] = SIZES;
    if !(16..=largest).contains(&size) {
        let detail = format!("size is a number from 16 to {largest}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let stream = app.control.stream(&name).ok_or_else(missing)?;
    if stream.muted.video {
        return Err(Problem::new(StatusCode::NOT_FOUND, "the stream's video is muted"));
    }
    let picture = app.thumbnails.get(&name, size).await.map_err(problem)?;
    let tag = etag::header_value(&picture.etag);
    let cache = format!("private, max-age={}", FRESH.as_secs());
    let unchanged = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
        tags.map(|tag| tag.trim_start_matches("W/"))
            .any(|text| text == "*" || tag.as_ref().is_some_and(|tag| tag == text))
    });
    let mut response = match unchanged {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, "image/jpeg")], picture.jpeg.clone()).into_response(),
    };
    let head = response.headers_mut();
    head.extend(tag.map(|tag| (header::ETAG, tag)));
    head.extend(
        HeaderValue::try_from(cache)
            .ok()
            .map(|value| (header::CACHE_CONTROL, value)),
    );
    head.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Ok(response)
}

fn problem(missing: Missing) -> Problem {
    let again = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(FRESH);
    match missing {
        Missing::NoPublisher => Problem::new(StatusCode::NOT_FOUND, "nobody publishes this stream now"),
        Missing::Codec(name) => {
            let detail = format!("no picture can be made of {name}: VP8 and H.264 can be decoded here");
            Problem::new(StatusCode::NOT_FOUND, detail)
        }
        Missing::Off => Problem::new(StatusCode::NOT_FOUND, "this server makes no pictures"),
        Missing::NotYet => again("no whole keyframe has come yet: ask again".into()),
        Missing::Failed(why) => again(why),
    }
}
