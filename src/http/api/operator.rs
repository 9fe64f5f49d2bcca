//! Who may do what operators do: see sessions, end them, read metrics.
//!
//! With keys for operators, whoever has one. Without, whoever is on this machine: the connection comes from loopback
//! and shows no sign of having passed a proxy, and the request was not made by somebody else's web page in a browser
//! here: it names this machine as its host, and comes from no other origin.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use crate::http::auth::Credentials;
use crate::http::problem::Problem;
use crate::http::router::App;

/// Whoever made this request is an operator.
pub(in crate::http) struct Operator;

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let keys = app.keys();
        if keys.has_admin() {
            let credentials = Credentials::of(&parts.headers, &parts.uri, None);
            return keys.require_admin(&credentials).await.map(|()| Self);
        }
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        if peer.is_some_and(|ConnectInfo(peer)| is_local(peer.ip(), &parts.headers)) {
            return Ok(Self);
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "no key for operators is configured (keys.admin), so this answers on the server's own machine only",
        ))
    }
}

/// Headers by which a proxy shows itself.
const PROXY_HEADERS: [&str; 5] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
    "via",
];

fn is_local(peer: IpAddr, headers: &HeaderMap) -> bool {
    let proxied = PROXY_HEADERS.iter().any(|name| headers.contains_key(*name));
    if !peer.to_canonical().is_loopback() || proxied {
        return false;
    }
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let Some(host) = text(header::HOST) else {
        return false;
    };
    let own_page = match text(header::ORIGIN) {
        None => true,
        Some(origin) => {
            let authority = origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"));
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        }
    };
    own_page && is_loopback_name(host)
}

/// `localhost`, `127.0.0.1`, `[::1]`, with or without a port. A name that an attacker's DNS makes point here is none.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_itself_is_local() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], bool);
        let cases: &[Case] = &[
            ("127.0.0.1", &[("host", "localhost:8080")], true),
            ("::1", &[("host", "[::1]:8080")], true),
            ("::ffff:127.0.0.1", &[("host", "127.0.0.1")], true),
            ("::1", &[("host", "[::1]")], true),
            (
                "127.0.0.1",
                &[("host", "localhost:8080"), ("origin", "http://localhost:8080")],
                true,
            ),
            // Not from here.
            ("192.0.2.1", &[("host", "localhost:8080")], false),
            // Through a proxy that is here.
            (
                "127.0.0.1",
                &[("host", "localhost"), ("x-forwarded-for", "192.0.2.1")],
                false,
            ),
            (
                "127.0.0.1",
                &[("host", "localhost"), ("forwarded", "for=192.0.2.1")],
                false,
            ),
            // Somebody else's page, in a browser here.
            (
                "127.0.0.1",
                &[("host", "localhost:8080"), ("origin", "https://evil.example")],
                false,
            ),
            (
                "127.0.0.1",
                &[("host", "localhost:8080"), ("origin", "http://localhost:9999")],
                false,
            ),
            (
                "127.0.0.1",
                &[("host", "localhost:8080"), ("origin", "null")],
                false,
            ),
            // And one whose name was made to point here.
            ("127.0.0.1", &[("host", "evil.example:8080")], false),
            ("127.0.0.1", &[("host", "127.0.0.1.evil.example")], false),
            ("127.0.0.1", &[], false),
        ];
        for (peer, lines, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in *lines {
                headers.insert(header::HeaderName::from_static(name), value.parse().unwrap());
            }
            assert_eq!(
                is_local(peer.parse().unwrap(), &headers),
                *expected,
                "{peer} {lines:?}"
            );
        }
    }
}
