//! Cross-origin access (the Fetch standard's CORS protocol), on every response, errors included: a page that may not
//! read a `401` cannot say what is wrong.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Which pages may use the API. No cookies are involved, so any origin is a safe default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    #[default]
    Any,
    /// Serialised origins, such as `https://example.org`.
    Only(Vec<String>),
}

/// `*` covers neither `Authorization` nor, in older browsers, anything: each is named.
const ALLOW_HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, If-Match, ETag, Link");
const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("OPTIONS, GET, HEAD, POST, PATCH, DELETE");
const EXPOSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "Location, Link, ETag, Accept-Post, Accept-Patch, Retry-After, WWW-Authenticate, Access-Control-Allow-Methods",
);
/// Chromium caches a preflight for at most two hours, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// [`CorsOrigins`] ready to be sent.
pub(super) enum Origins {
    Any,
    Only(Vec<HeaderValue>),
}

impl Origins {
    /// Origins that cannot stand in a header can never match one and are left out.
    pub fn new(config: &CorsOrigins) -> Self {
        match config {
            CorsOrigins::Any => Self::Any,
            CorsOrigins::Only(list) => Self::Only(
                list.iter()
                    .filter_map(|o| o.trim_end_matches('/').parse().ok())
                    .collect(),
            ),
        }
    }

    fn allowed(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Only(list) => list.iter().find(|allowed| Some(*allowed) == origin).cloned(),
        }
    }
}

/// Whether this is a browser asking before the real request, without credentials.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Layer: the CORS headers, and an answer to every preflight, whatever the address: the request itself may then fail
/// in a way the page can read.
pub(super) async fn apply(State(origins): State<Arc<Origins>>, request: Request, next: Next) -> Response {
    let preflight = is_preflight(request.method(), request.headers());
    let options = request.method() == Method::OPTIONS;
    let allowed = origins.allowed(request.headers().get(header::ORIGIN));
    let mut response = next.run(request).await;
    if preflight && !response.status().is_success() {
        response = StatusCode::NO_CONTENT.into_response();
    }
    let headers = response.headers_mut();
    if matches!(*origins, Origins::Only(_)) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    let Some(allowed) = allowed else { return response };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
    // Some clients send an OPTIONS of their own and read there whether PATCH, and so trickling, is possible.
    if options {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS);
    }
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    response
}
