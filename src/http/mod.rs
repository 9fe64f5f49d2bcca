//! The HTTP side: WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) on top of [`Control`](crate::control::Control).
//!
//! A request passes, from the outside in: [`serve()`] (connections, timeouts) → CORS → problem bodies → rate limit →
//! bounded body → route. Handlers see the whole body as bytes and decide; none but `thumbnails` waits for anything.
//!
//! - `serve`: the listening side: connection limits, header timeouts, graceful end; `patience`: clients that do not read.
//! - `router`: which URL is whose, and the layers around all of them.
//! - `whip`, `whep`: the two endpoints; `endpoint`: what they share.
//! - `session`: a session's URL: trickle, ICE restart, end.
//! - `layer`: a viewer's choice of its layer. `sse`: events for a session's own client.
//! - `etag`: `If-Match` and when it holds.
//! - [`auth`]: keys, and where a request may carry one.
//! - `limits`: requests per address, bytes and seconds per body; `address`: who the client is.
//! - `cors`, `links`, `problem`: response headers and error bodies.
//! - `thumbnails`: pictures of streams.
//! - `api`: the API for pages and operators, and its description; `assets`: the pages themselves.

mod address;
mod api;
mod assets;
pub mod auth;
mod cors;
mod endpoint;
mod etag;
mod layer;
mod limits;
mod links;
mod patience;
mod problem;
mod router;
mod serve;
mod session;
mod sse;
mod thumbnails;
mod whep;
mod whip;

use std::num::NonZeroU32;
use std::path::PathBuf;

pub(crate) use api::{EVENT_NAMES, encode as encode_event};
pub use api::{ReloadWish, Reloaded, Reloader, reloads};
pub use auth::{Keys, SharedKeys};
pub use cors::CorsOrigins;
pub use etag::EtagMode;
pub use ipnet::IpNet;
pub use links::{IceServer, IceServerError};
pub use router::router;
pub use serve::{ServeLimits, serve, serve_with};

/// What the HTTP side can be told. `Default` is an open server for a trusted network.
#[derive(Clone, Debug, Default)]
pub struct HttpConfig {
    /// Shown by `/api/v1/info`.
    pub version: String,
    /// The UDP port of all media, shown by `/api/v1/info`.
    pub media_port: u16,
    /// Who may publish and watch.
    pub keys: SharedKeys,
    /// PATCH and DELETE need a key too. Off by default: the session's unguessable URL is enough, because shipping
    /// clients send DELETE without one.
    pub strict_session_auth: bool,
    pub etag_mode: EtagMode,
    /// STUN and TURN servers told to clients by `Link` headers.
    pub ice_servers: Vec<IceServer>,
    pub cors_origins: CorsOrigins,
    /// POST, PATCH and DELETE per minute and client address (an IPv6 /64 is one client). `None`: no limit.
    pub rate_limit: Option<NonZeroU32>,
    /// Clients on this machine are limited too.
    pub rate_limit_loopback: bool,
    /// Reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The program that decodes pictures ([`picture::COMMAND`](crate::picture::COMMAND)). `None`: there are none.
    pub decoder: Option<PathBuf>,
    /// Who reads the configuration again. `None`: nobody.
    pub reloader: Option<Reloader>,
}
