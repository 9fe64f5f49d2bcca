//! What the WHIP and the WHEP endpoint share: an offer comes in by POST, a session with an answer goes out.

use std::net::IpAddr;
use std::num::NonZeroU16;

use axum::extract::Query;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::auth::{Credentials, Right};
use super::problem::Problem;
use super::router::App;
use super::{cors, etag, layer, sse};
use crate::control::{Accepted, Refused};
use crate::core::ids::{StreamName, StreamNameError};
use crate::core::media::{LatencyWish, LayerChoice, ViewerWishes};
use crate::sdp::Offer;

pub(super) const SDP: &str = "application/sdp";

/// The variables of `/whip/{stream}`, `/whip/{stream}/{token}` and WHEP's alike.
#[derive(Deserialize)]
pub(super) struct Named {
    stream: String,
    token: Option<String>,
}

impl Named {
    /// The stream, for somebody who has the right. A name that no stream can have tells nothing: it needs no key for
    /// its `404`.
    pub async fn permitted(
        &self,
        app: &App,
        right: Right,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<StreamName, Problem> {
        let missing = |why: StreamNameError| Problem::new(StatusCode::NOT_FOUND, why.to_string());
        let stream = self.stream.parse().map_err(missing)?;
        let credentials = Credentials::of(headers, uri, self.token.as_deref());
        app.keys().require(right, &stream, &credentials).await?;
        Ok(stream)
    }
}

/// A POST, once it is known what stream it is for and whether it may.
pub(super) struct Post<'a> {
    pub right: Right,
    /// The stream as the URL names it; unknown where the key names it, since that is not for the log.
    pub shown: Option<StreamName>,
    pub permitted: Result<StreamName, Problem>,
    /// What a viewer's URL says about layers.
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

impl<'a> Post<'a> {
    /// For a stream named in the URL. The key is looked at before the stream, so nothing can be probed without one.
    pub async fn to_named(
        app: &App,
        right: Right,
        at: &Named,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        body: &'a [u8],
    ) -> Self {
        let shown = at.stream.parse().ok();
        let permitted = at.permitted(app, right, headers, uri).await;
        Self {
            right,
            shown,
            permitted,
            uri,
            headers,
            body,
        }
    }

    /// Makes the session and logs the outcome.
    pub fn run(self, app: &App) -> Response {
        let Self {
            right,
            shown,
            permitted,
            uri,
            headers,
            body,
        } = self;
        let outcome = permitted.and_then(|stream| open(app, right, &stream, uri, headers, body));
        let stream = shown.as_ref().map_or("-", StreamName::as_str);
        match outcome {
            Ok(accepted) => {
                tracing::info!(
                    ?right,
                    stream,
                    session = accepted.id.short(),
                    status = 201,
                    "session accepted"
                );
                created(app, right, accepted, headers.contains_key(header::ORIGIN))
            }
            Err(problem) => {
                let status = problem.status.as_u16();
                tracing::info!(?right, stream, status, reason = problem.detail, "session refused");
                problem.into_response()
            }
        }
    }
}

fn open(
    app: &App,
    right: Right,
    stream: &StreamName,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Accepted, Problem> {
    if !has_content_type(headers, SDP) {
        let problem = Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "an offer is sent as application/sdp",
        );
        return Err(problem.with_header(header::HeaderName::from_static("accept-post"), ACCEPT_POST));
    }
    let malformed =
        |why: &dyn std::fmt::Display| Problem::new(StatusCode::BAD_REQUEST, format!("no offer: {why}"));
    let text = std::str::from_utf8(body).map_err(|why| malformed(&why))?;
    let offer = Offer::parse(text).map_err(|why| malformed(&why))?;
    let accepted = match right {
        Right::Publish => app.control.publish(stream, &offer),
        Right::Watch => app.control.watch(stream, &offer, wishes(uri, headers)?),
    };
    accepted.map_err(|refused| refusal(refused, uri))
}

/// `?max-height=360`: the largest picture not higher than this. `?latency=low`, `auto` or `smooth`.
fn wishes(uri: &Uri, headers: &HeaderMap) -> Result<ViewerWishes, Problem> {
    #[derive(Deserialize)]
    struct Limits {
        #[serde(rename = "max-height")]
        max_height: Option<NonZeroU16>,
        latency: Option<String>,
    }
    let limits = Query::<Limits>::try_from_uri(uri).map_err(|_| {
        let detail = "max-height is a number of pixels, from 1 to 65535";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    let latency = match limits.0.latency.as_deref() {
        None | Some("auto") => LatencyWish::Auto,
        Some("low") => LatencyWish::Low,
        Some("smooth") => LatencyWish::Smooth,
        Some(_) => {
            let detail = "latency is one of low, auto, smooth";
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
    };
    let layers = LayerChoice {
        max_height: limits.0.max_height.map(NonZeroU16::get),
        ..LayerChoice::default()
    };
    Ok(ViewerWishes {
        layers,
        latency,
        reached_at: named_address(uri, headers),
    })
}

/// The server's address, where the client names it by number: `Host`, or in HTTP/2 `:authority`.
fn named_address(uri: &Uri, headers: &HeaderMap) -> Option<IpAddr> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority: Authority = match host {
        Some(host) => host.parse().ok()?,
        None => uri.authority()?.clone(),
    };
    let name = authority.host();
    let name = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name.parse().ok()
}

fn refusal(refused: Refused, uri: &Uri) -> Problem {
    match refused {
        Refused::Sdp(reject) => {
            let status = StatusCode::from_u16(reject.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            Problem::new(status, reject.to_string())
        }
        Refused::Conflict { reason, retry_after } => {
            Problem::new(StatusCode::CONFLICT, reason).retry_after(retry_after)
        }
        Refused::Elsewhere(server) => {
            let detail = format!("this server takes no new sessions; {server} does");
            let problem = Problem::new(StatusCode::TEMPORARY_REDIRECT, detail);
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            match HeaderValue::from_str(&format!("{server}{path}")) {
                Ok(location) => problem.with_header(header::LOCATION, location),
                Err(_) => problem,
            }
        }
        Refused::Busy { reason, retry_after } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason).retry_after(retry_after)
        }
    }
}

/// `from_page`: it is a web page that publishes.
fn created(app: &App, right: Right, accepted: Accepted, from_page: bool) -> Response {
    let location = format!("/session/{}", accepted.id.to_url());
    let headers = [(header::CONTENT_TYPE, SDP), (header::LOCATION, location.as_str())];
    let mut response = (StatusCode::CREATED, headers, accepted.answer).into_response();
    if let Some(tag) = etag::header_value(&accepted.etag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    add_links(app, response.headers_mut());
    if right == Right::Publish
        && from_page
        && let Ok(events) = HeaderValue::from_str(&sse::publisher_link(&accepted.id))
    {
        response.headers_mut().append(header::LINK, events);
    }
    if right == Right::Watch
        && let Ok(link) = HeaderValue::from_str(&layer::link(&accepted.id))
        && let Ok(events) = HeaderValue::from_str(&sse::link(&accepted.id))
    {
        response.headers_mut().append(header::LINK, events);
        response.headers_mut().append(header::LINK, link);
    }
    response
}

const ACCEPT_POST: HeaderValue = HeaderValue::from_static(SDP);

/// OPTIONS on an endpoint. The ICE servers' credentials are for those who may use the endpoint (`permitted`), and not
/// for a preflight, which never carries a key.
pub(super) fn options(app: &App, headers: &HeaderMap, permitted: bool) -> Response {
    let mut response = (StatusCode::NO_CONTENT, [("accept-post", ACCEPT_POST)]).into_response();
    if permitted && !cors::is_preflight(&axum::http::Method::OPTIONS, headers) {
        add_links(app, response.headers_mut());
    }
    response
}

fn add_links(app: &App, headers: &mut HeaderMap) {
    for link in app.ice_links.iter() {
        headers.append(header::LINK, link.clone());
    }
}

/// Whether the content type is this one, whatever its case and parameters.
pub(super) fn has_content_type(headers: &HeaderMap, expected: &str) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(expected)
}
