//! What one client can cost: requests per address, bytes and seconds per request body.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http_body_util::BodyExt;
use ipnet::IpNet;

use super::HttpConfig;
use super::address;
use super::auth::Credentials;
use super::problem::Problem;

/// A browser's offer with every codec and six simulcast layers stays under 16 KiB.
const MAX_BODY: usize = 64 * 1024;
/// A longer body is read up to here and thrown away before the `413`: closing on unread bytes makes the kernel reset
/// the connection, and the client would see that instead of the answer.
const MAX_DISCARDED: usize = 1024 * 1024;
/// For the whole body, however it is spread: 64 KiB in 10 s is a 52 kbit/s line.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A request extension: another time for the body than [`BODY_TIMEOUT`].
#[derive(Clone, Copy)]
pub(super) struct BodyTimeout(pub Duration);

/// Reading with a key is checked as often as pages poll, yet not fast enough for guessing keys.
const READS_PER_WRITE: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Counts requests per client in a table that cannot grow.
///
/// A client's address is hashed into one of 65,536 cells with a seed of this process, so nobody can choose whose cell
/// they share; with a thousand clients in one minute, 1.5 % share one.
pub(super) struct Limiter {
    /// POST, PATCH, DELETE.
    writes: Option<DefaultKeyedRateLimiter<u16>>,
    /// Everything else that presents a key.
    reads: Option<DefaultKeyedRateLimiter<u16>>,
    cells: RandomState,
    loopback: bool,
    trusted: Vec<IpNet>,
}

impl Limiter {
    pub fn new(config: &HttpConfig) -> Self {
        let keyed = |per_minute| RateLimiter::keyed(Quota::per_minute(per_minute));
        Self {
            writes: config.rate_limit.map(keyed),
            reads: config
                .rate_limit
                .map(|limit| keyed(limit.saturating_mul(READS_PER_WRITE))),
            cells: RandomState::new(),
            loopback: config.rate_limit_loopback,
            trusted: config.trusted_proxies.clone(),
        }
    }

    /// How long the client has to wait, if it has to.
    fn wait(&self, request: &Request) -> Option<Duration> {
        let limiter = match *request.method() {
            Method::POST | Method::PATCH | Method::DELETE => self.writes.as_ref()?,
            _ if Credentials::of(request.headers(), request.uri(), None).is_empty() => return None,
            _ => self.reads.as_ref()?,
        };
        let client = address::client(request, &self.trusted)?;
        if client.is_loopback() && !self.loopback {
            return None;
        }
        let refused = limiter.check_key(&self.cell(client)).err()?;
        Some(refused.wait_time_from(DefaultClock::default().now()))
    }

    fn cell(&self, client: IpAddr) -> u16 {
        self.cells.hash_one(address::subscriber(client)) as u16
    }
}

/// Layer: `429` + `Retry-After` to a client that asks too often.
pub(super) async fn per_address(
    State(limiter): State<Arc<Limiter>>,
    request: Request,
    next: Next,
) -> Response {
    match limiter.wait(&request) {
        None => next.run(request).await,
        Some(wait) => {
            tracing::debug!(method = %request.method(), "rate limit");
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests from this address",
            )
            .retry_after(wait)
            .into_response()
        }
    }
}

/// Layer: hands on requests with their whole body in memory; `413` where it is too long, `408` where it is too slow.
pub(super) async fn whole_body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    // A client that waits for `100 Continue` has sent nothing yet: it can be told at once.
    let waits = parts.headers.contains_key(header::EXPECT);
    let acceptable = if waits { MAX_BODY } else { MAX_DISCARDED };
    if body.size_hint().lower() > acceptable as u64 {
        return too_long().into_response();
    }
    let timeout = parts
        .extensions
        .get()
        .map_or(BODY_TIMEOUT, |BodyTimeout(timeout)| *timeout);
    match tokio::time::timeout(timeout, read(body)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(Err(problem)) => problem.into_response(),
        Err(_) => Problem::new(StatusCode::REQUEST_TIMEOUT, "the request's body took too long")
            .with_header(header::CONNECTION, HeaderValue::from_static("close"))
            .into_response(),
    }
}

async fn read(mut body: Body) -> Result<Bytes, Problem> {
    let mut bytes = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the request's body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > MAX_DISCARDED {
            break;
        }
        if length <= MAX_BODY {
            bytes.extend_from_slice(&data);
        }
    }
    if length > MAX_BODY {
        Err(too_long())
    } else {
        Ok(bytes.freeze())
    }
}

fn too_long() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the request's body is over 64 KiB")
}
