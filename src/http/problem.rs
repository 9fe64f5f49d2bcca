//! Errors as `application/problem+json` (RFC 9457): every one, also those the framework makes.

use std::any::Any;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error response: a status, a sentence for a human, and the headers that go with it.
#[derive(Debug)]
pub(super) struct Problem {
    pub status: StatusCode,
    /// What happened and what to do, with nothing secret in it: it is logged.
    pub detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            headers: Vec::new(),
        }
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// `Retry-After` in whole seconds, rounded up, at least one.
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, body(self.status, &self.detail)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
        response.headers_mut().extend(self.headers);
        response
    }
}

/// Layer: gives each error without a problem body one, and keeps its other headers (`Allow` above all). A page for
/// people ([`assets`](super::assets)) stays.
pub(super) async fn fill(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let (status, headers) = (response.status(), response.headers());
    let is_error = status.is_client_error() || status.is_server_error();
    let content_type = headers.get(header::CONTENT_TYPE);
    let is_page = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    if !is_error || is_page || content_type == Some(&MEDIA_TYPE) {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    for name in [
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::TRANSFER_ENCODING,
    ] {
        parts.headers.remove(name);
    }
    parts.headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
    Response::from_parts(parts, Body::from(body(status, detail(status))))
}

/// A panic in a handler is our bug: the client gets a plain `500`, the panic hook has logged the rest.
pub(super) fn from_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        detail(StatusCode::INTERNAL_SERVER_ERROR),
    )
    .into_response()
}

fn body(status: StatusCode, detail: &str) -> String {
    #[derive(Serialize)]
    struct Json<'a> {
        r#type: &'static str,
        title: &'a str,
        status: u16,
        detail: &'a str,
    }
    let title = status.canonical_reason().unwrap_or("Error");
    let json = Json {
        r#type: "about:blank",
        title,
        status: status.as_u16(),
        detail,
    };
    serde_json::to_string(&json).unwrap_or_default()
}

/// What can be said where only the status is known.
fn detail(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "nothing is at this address",
        StatusCode::METHOD_NOT_ALLOWED => "this address does not take that method; see the Allow header",
        StatusCode::BAD_REQUEST => "the request could not be read",
        StatusCode::INTERNAL_SERVER_ERROR => "the server made a mistake; its log says more",
        _ => "the request was refused",
    }
}
