//! The description of the API (OpenAPI 3.1), made from the handlers and the types they send.

use std::sync::OnceLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{drain, events, reload, server, sessions, streams, thumbnail};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "shibuki",
        description = "A Selective Forwarding Unit: one publishes by WHIP, many watch by WHEP.\n\n\
            Keys go into `Authorization: Bearer`. Where the server has keys for watching, streams are shown to those \
            who may watch them. What is marked **for operators** needs an operator's key (`keys.admin`); without any \
            such key in the configuration it answers on the server's own machine only, not through a proxy.\n\n\
            Errors are `application/problem+json` (RFC 9457). Beyond the answers named with each operation there may \
            be `429` with `Retry-After` (too many requests), `408` and `413` (a body too slow or too large). \
            Times are RFC 3339 in UTC; bitrates are in bit/s; what ends in `Ms` is in milliseconds.",
        license(name = "MIT OR Apache-2.0"),
    ),
    paths(
        server::info, server::health, server::ready, server::metrics,
        streams::list, streams::one,
        streams::change, streams::end, thumbnail::thumbnail,
        sessions::list, sessions::one, sessions::end, sessions::choose_layer,
        events::events,
        drain::state, drain::begin, drain::end, reload::reload,
    ),
    tags(
        (name = "streams", description = "What is published and watched"),
        (name = "sessions", description = "Each publisher and viewer: for operators"),
        (name = "events", description = "What happens, as it happens"),
        (name = "server", description = "The server itself"),
    ),
    components(schemas(events::StatisticsJson, events::SessionsJson)),
    modifiers(&Key),
)]
struct Api;

struct Key;

impl Modify for Key {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", scheme);
    }
}

pub(super) fn described() -> &'static Document {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    DOCUMENT.get_or_init(Api::openapi)
}

pub(super) async fn document() -> impl IntoResponse {
    static JSON: OnceLock<String> = OnceLock::new();
    let json = JSON.get_or_init(|| described().to_json().unwrap_or_default());
    (
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        json.as_str(),
    )
}
