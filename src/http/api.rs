//! The JSON the pages read: `/api/v1/…`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::auth::{Credentials, Right};
use super::problem::Problem;
use super::router::App;
use crate::control::StreamInfo;
use crate::core::ids::StreamName;
use crate::core::media::Codec;

#[derive(Serialize)]
struct Streams {
    streams: Vec<Stream>,
}

#[derive(Serialize)]
struct Stream {
    name: String,
    publishing: bool,
    viewers: usize,
    video: Option<Track>,
    audio: Option<Track>,
    /// RFC 3339, UTC, whole seconds.
    since: Option<String>,
}

#[derive(Serialize)]
struct Track {
    /// As SDP's rtpmap has it.
    codec: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    version: String,
    publish_key_required: bool,
    watch_key_required: bool,
    media_port: u16,
}

/// All streams the client may watch.
pub(super) async fn streams(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let credentials = Credentials::of(&headers, &uri, None);
    let visible = app
        .keys()
        .visible(app.control.streams(), |stream| &stream.name, &credentials)
        .await;
    match visible {
        Ok(streams) => fresh(Streams {
            streams: streams.into_iter().map(Into::into).collect(),
        }),
        Err(problem) => problem.into_response(),
    }
}

/// One stream. The key comes before the name: without one, existing and missing streams look the same.
pub(super) async fn stream(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let missing = || Problem::new(StatusCode::NOT_FOUND, "there is no such stream");
    let find = async || {
        let name: StreamName = name.parse().map_err(|_| missing())?;
        let credentials = Credentials::of(&headers, &uri, None);
        app.keys().require(Right::Watch, &name, &credentials).await?;
        app.control.stream(&name).ok_or_else(missing)
    };
    match find().await {
        Ok(info) => fresh(Stream::from(info)),
        Err(problem) => problem.into_response(),
    }
}

pub(super) async fn info(State(app): State<App>) -> Response {
    let config = &app.config;
    fresh(Info {
        version: config.version.clone(),
        publish_key_required: !app.keys().is_open(Right::Publish),
        watch_key_required: !app.keys().is_open(Right::Watch),
        media_port: config.media_port,
    })
}

/// JSON that no cache keeps.
fn fresh(json: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(json)).into_response()
}

impl From<StreamInfo> for Stream {
    fn from(info: StreamInfo) -> Self {
        let track = |codec: Codec| Track { codec: codec.name() };
        let since = |time| {
            let time = OffsetDateTime::from(time);
            time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).ok()
        };
        Self {
            name: info.name.to_string(),
            publishing: info.publishing,
            viewers: info.viewers,
            video: info.codecs.video.map(track),
            audio: info.codecs.audio.map(track),
            since: info.since.and_then(since),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::core::media::StreamCodecs;

    #[test]
    fn a_stream_reads_as_documented() {
        let info = StreamInfo {
            name: "live".parse().unwrap(),
            publishing: true,
            viewers: 3,
            codecs: StreamCodecs {
                video: Some(Codec::Vp8),
                audio: None,
            },
            since: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_785_000_000_900)),
        };
        let json = serde_json::to_value(Stream::from(info)).unwrap();
        let expected = serde_json::json!({
            "name": "live", "publishing": true, "viewers": 3,
            "video": {"codec": "VP8"}, "audio": null, "since": "2026-07-25T17:20:00Z",
        });
        assert_eq!(json, expected);
    }
}
