//! A session's own URL, `/session/{id}`: trickle and ICE restart by PATCH (RFC 9725 §4.3), its end by DELETE.
//!
//! The id is 128 random bits, so knowing the URL is the right to use it, unless `strict_session_auth` asks for more.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::auth::{Credentials, Right};
use super::endpoint::has_content_type;
use super::etag::{self, EtagMode, IfMatch};
use super::problem::Problem;
use super::router::App;
use crate::control::{IceRestart, SessionInfo, SessionRole};
use crate::core::ids::SessionId;
use crate::core::media::IceCredentials;
use crate::sdp::{SdpFragment, parse_fragment};

const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_PATCH: (HeaderName, HeaderValue) = (
    HeaderName::from_static("accept-patch"),
    HeaderValue::from_static(FRAGMENT),
);

pub(super) fn resource() -> MethodRouter<App> {
    get(look).patch(patch).delete(end).options(options)
}

async fn look(State(app): State<App>, Path(id): Path<String>) -> Response {
    match find(&app, &id) {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn options() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [ACCEPT_PATCH])
}

async fn end(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap, uri: Uri) -> Response {
    let outcome = permitted(&app, &id, &headers, &uri).await.and_then(|(id, info)| {
        // Between looking and ending, somebody else may have ended it.
        if app.control.end(&id) {
            Ok((id, info))
        } else {
            Err(unknown())
        }
    });
    match outcome {
        Ok((id, info)) => {
            let (right, stream) = (right(info.role), info.stream.as_str());
            tracing::info!(
                ?right,
                stream,
                session = id.short(),
                status = 200,
                "session ended by its client"
            );
            StatusCode::OK.into_response()
        }
        Err(problem) => {
            let session = id.parse::<SessionId>().map_or("-".into(), SessionId::short);
            let status = problem.status.as_u16();
            tracing::info!(session, status, reason = problem.detail, "session not ended");
            problem.into_response()
        }
    }
}

async fn patch(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let change = permitted(&app, &id, &headers, &uri).await.and_then(|(id, info)| {
        let fragment = fragment(&headers, &body)?;
        let if_match = IfMatch::read(&headers, &info.etag);
        match judge(&fragment, &info, if_match, app.config.etag_mode)? {
            Change::Trickle => Ok(None),
            Change::Restart(remote) => {
                let restart = app.control.restart_ice(&id, remote).ok_or_else(unknown)?;
                Ok(Some((restart, fragment)))
            }
        }
    });
    match change {
        // ICE-lite never sends checks, so the peer's candidates change nothing here.
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some((restart, fragment))) => restarted(&restart, &fragment),
        Err(problem) => problem.into_response(),
    }
}

/// What a PATCH is for.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Trickle,
    Restart(IceCredentials),
}

/// Credentials decide what it is, `If-Match` whether it may: a fragment with other credentials than the running ICE
/// session's is a restart, everything else is trickle (RFC 9725 §4.3.2).
fn judge(
    fragment: &SdpFragment,
    info: &SessionInfo,
    if_match: IfMatch,
    mode: EtagMode,
) -> Result<Change, Problem> {
    let change = match &fragment.ice {
        Some(ice) if *ice != info.remote_ice => Change::Restart(ice.clone()),
        _ => Change::Trickle,
    };
    match if_match {
        IfMatch::Any | IfMatch::Matches => Ok(change),
        IfMatch::Differs => Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "If-Match is not the ETag of the running ICE session",
        )),
        IfMatch::Absent if mode == EtagMode::Lenient && change == Change::Trickle => Ok(change),
        IfMatch::Absent => Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "If-Match is needed: the session's ETag for candidates, * for an ICE restart",
        )),
    }
}

fn fragment(headers: &HeaderMap, body: &[u8]) -> Result<SdpFragment, Problem> {
    if !has_content_type(headers, FRAGMENT) {
        let (name, value) = ACCEPT_PATCH;
        let detail = format!("a session is patched with {FRAGMENT}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).with_header(name, value));
    }
    let malformed =
        |why: &dyn std::fmt::Display| Problem::new(StatusCode::BAD_REQUEST, format!("no fragment: {why}"));
    let text = std::str::from_utf8(body).map_err(|why| malformed(&why))?;
    parse_fragment(text).map_err(|why| malformed(&why))
}

fn restarted(restart: &IceRestart, fragment: &SdpFragment) -> Response {
    let body = fragment.restart_answer(&restart.local_ice, &restart.candidates);
    let mut response = (StatusCode::OK, [(header::CONTENT_TYPE, FRAGMENT)], body).into_response();
    if let Some(tag) = etag::header_value(&restart.etag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

pub(super) fn find(app: &App, id: &str) -> Result<(SessionId, SessionInfo), Problem> {
    let id = id.parse().map_err(|()| unknown())?;
    let info = app.control.session(&id).ok_or_else(unknown)?;
    Ok((id, info))
}

/// The session, for somebody who may change it.
pub(super) async fn permitted(
    app: &App,
    id: &str,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<(SessionId, SessionInfo), Problem> {
    let (id, info) = find(app, id)?;
    if app.config.strict_session_auth {
        let credentials = Credentials::of(headers, uri, None);
        app.keys()
            .require(right(info.role), &info.stream, &credentials)
            .await?;
    }
    Ok((id, info))
}

fn right(role: SessionRole) -> Right {
    match role {
        SessionRole::Publisher => Right::Publish,
        SessionRole::Viewer => Right::Watch,
    }
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such session, or it has ended")
}
