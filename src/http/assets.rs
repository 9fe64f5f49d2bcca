//! The pages, embedded by the feature `pages`, and what stands in their place without it.
//!
//! [`router`] takes `/`, `/publish…`, `/watch…`, `/embed/…`, `/wall`, `/console`,
//! `/player.js` and `/assets/…`; [`not_found`] is meant as the fallback of the
//! whole server's router: people get a page, programs get problem+json.

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What does not exist, for programs (RFC 9457).
fn not_found_problem() -> Response {
    let body = r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"There is nothing at this address. WHIP is at /whip/{stream}, WHEP at /whep/{stream}, the API below /api/v1."}"#;
    let headers = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::NOT_FOUND, headers, body).into_response()
}

#[cfg(not(feature = "pages"))]
mod without {
    use super::*;

    const NO_PAGES: &str = "shibuki runs here. This build has no pages (it was made with --no-default-features).\n\
        Publish by WHIP:  POST an SDP offer to /whip/{stream}\n\
        Watch by WHEP:    POST an SDP offer to /whep/{stream}\n\
        Live streams:     GET /api/v1/streams\n";

    /// The routes of the pages: in this build a text at `/`.
    pub fn router() -> Router {
        Router::new().route("/", get(|| async { NO_PAGES }))
    }

    /// The answer for every address that nothing else takes.
    pub async fn not_found(_headers: HeaderMap) -> Response {
        not_found_problem()
    }
}

#[cfg(not(feature = "pages"))]
pub use without::{not_found, router};

#[cfg(feature = "pages")]
mod embedded {
    use std::borrow::Cow;

    use axum::body::{Body, Bytes};
    use axum::extract::Path;
    use axum::http::{HeaderName, HeaderValue};
    use rust_embed::{EmbeddedFile, RustEmbed};

    use super::*;
    use crate::core::ids::StreamName;

    /// What `build.rs` made. Every text file is there three times: as it is, `.br` and `.gz`.
    #[derive(RustEmbed)]
    #[folder = "$OUT_DIR/pages"]
    struct Pages;

    /// Pages are asked for again each time, and answered by `304` while they are the same: a new release of the
    /// server shows at once.
    const REVALIDATE: &str = "no-cache";
    /// What lies below `/assets/` has a hash of its content in its name.
    const FOREVER: &str = "public, max-age=31536000, immutable";

    /// Everything comes from this server; scripts and styles are files of their own. `frame-ancestors` keeps other
    /// sites from laying their own page over the buttons that turn a camera on.
    const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; \
        form-action 'self'; frame-ancestors 'self'";
    /// The page that is made to stand in other sites' frames: all it can do is play.
    const CONTENT_SECURITY_POLICY_EMBED: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; \
        form-action 'self'; frame-ancestors *";
    const PERMISSIONS_POLICY: &str = "camera=(self), microphone=(self), display-capture=(self), \
        autoplay=(self), fullscreen=(self), geolocation=(), payment=(), usb=()";

    /// The routes of the pages.
    pub fn router() -> Router {
        Router::new()
            .route("/", get(home))
            .route("/publish", get(publish))
            .route("/publish/", get(publish))
            .route("/publish/{stream}", get(publish_stream))
            .route("/publish/{stream}/", get(publish_stream))
            .route("/watch", get(watch))
            .route("/watch/", get(watch))
            .route("/watch/{stream}", get(watch_stream))
            .route("/watch/{stream}/", get(watch_stream))
            .route("/embed/{stream}", get(embed_stream))
            .route("/embed/{stream}/", get(embed_stream))
            .route("/wall", get(wall))
            .route("/wall/", get(wall))
            .route("/console", get(console))
            .route("/console/", get(console))
            .route("/player.js", get(player))
            .route("/assets/{*path}", get(asset))
    }

    async fn home(headers: HeaderMap) -> Response {
        page("index.html", &headers)
    }

    async fn publish(headers: HeaderMap) -> Response {
        page("publish.html", &headers)
    }

    async fn publish_stream(Path(name): Path<String>, headers: HeaderMap) -> Response {
        stream_page("publish.html", &name, headers).await
    }

    async fn watch(headers: HeaderMap) -> Response {
        page("watch.html", &headers)
    }

    async fn watch_stream(Path(name): Path<String>, headers: HeaderMap) -> Response {
        stream_page("watch.html", &name, headers).await
    }

    async fn embed_stream(Path(name): Path<String>, headers: HeaderMap) -> Response {
        stream_page("embed.html", &name, headers).await
    }

    async fn wall(headers: HeaderMap) -> Response {
        page("wall.html", &headers)
    }

    async fn console(headers: HeaderMap) -> Response {
        page("console.html", &headers)
    }

    /// The player for other sites' pages: a plain script, which no page needs CORS to load.
    async fn player(headers: HeaderMap) -> Response {
        page("player.js", &headers)
    }

    async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
        // The precompressed copies are representations, not resources. Debug builds read files from the disk,
        // where `..` would have a meaning.
        if path.ends_with(".br") || path.ends_with(".gz") || path.contains("..") {
            return not_found(headers).await;
        }
        match represent(&format!("assets/{path}"), FOREVER, &headers) {
            Some(response) => response,
            None => not_found(headers).await,
        }
    }

    /// The answer for every address that nothing else takes: a page for people, problem+json for programs.
    pub async fn not_found(mut headers: HeaderMap) -> Response {
        let wants_page = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("text/html"));
        if !wants_page {
            return not_found_problem();
        }
        // A 304 would say that the address exists.
        headers.remove(header::IF_NONE_MATCH);
        let mut response = page("404.html", &headers);
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    }

    /// A page whose address ends in a stream's name: what cannot be a name has no page.
    async fn stream_page(file: &str, name: &str, headers: HeaderMap) -> Response {
        match name.parse::<StreamName>() {
            Ok(_) => page(file, &headers),
            Err(_) => not_found(headers).await,
        }
    }

    fn page(file: &str, headers: &HeaderMap) -> Response {
        represent(file, REVALIDATE, headers).unwrap_or_else(not_found_problem)
    }

    /// The file in the smallest form that the client reads, or `304` where it has it already; `None` if there is
    /// no such file.
    fn represent(file: &str, cache_control: &'static str, request: &HeaderMap) -> Option<Response> {
        let (content, encoding) = choose(file, request)?;
        let etag = etag(&content);
        let mut response = if holds(request, &etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let body = match content.data {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => Bytes::from(bytes),
            };
            let mut response = Body::from(body).into_response();
            let mime = mime_guess::from_path(file).first_or_octet_stream();
            let text = matches!(mime.type_(), mime_guess::mime::TEXT) || mime.subtype() == "javascript";
            let mime = if text {
                format!("{mime}; charset=utf-8")
            } else {
                mime.to_string()
            };
            insert(&mut response, header::CONTENT_TYPE, &mime);
            if let Some(encoding) = encoding {
                insert(&mut response, header::CONTENT_ENCODING, encoding);
            }
            response
        };
        insert(&mut response, header::ETAG, &etag);
        insert(&mut response, header::VARY, "Accept-Encoding");
        insert(&mut response, header::CACHE_CONTROL, cache_control);
        let policy = match file {
            "embed.html" => CONTENT_SECURITY_POLICY_EMBED,
            _ => CONTENT_SECURITY_POLICY,
        };
        insert(&mut response, header::CONTENT_SECURITY_POLICY, policy);
        insert(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        insert(&mut response, header::REFERRER_POLICY, "no-referrer");
        insert(
            &mut response,
            HeaderName::from_static("permissions-policy"),
            PERMISSIONS_POLICY,
        );
        Some(response)
    }

    fn insert(response: &mut Response, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }

    fn choose(file: &str, request: &HeaderMap) -> Option<(EmbeddedFile, Option<&'static str>)> {
        for (encoding, suffix) in [("br", ".br"), ("gzip", ".gz")] {
            if accepts(request, encoding)
                && let Some(content) = Pages::get(&format!("{file}{suffix}"))
            {
                return Some((content, Some(encoding)));
            }
        }
        Pages::get(file).map(|content| (content, None))
    }

    /// Whether Accept-Encoding names `encoding` with a weight above 0 (RFC 9110 §12.5.3).
    fn accepts(request: &HeaderMap, encoding: &str) -> bool {
        request
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|coding| {
                let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
                let weight = parameters
                    .trim()
                    .strip_prefix("q=")
                    .map_or(Ok(1.0), str::parse::<f32>);
                name.trim().eq_ignore_ascii_case(encoding) && weight.is_ok_and(|weight| weight > 0.0)
            })
    }

    /// Each encoding of a file has a hash, and so a tag, of its own.
    fn etag(content: &EmbeddedFile) -> String {
        let hash = content.metadata.sha256_hash();
        let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("\"{digits}\"")
    }

    /// Whether If-None-Match names `etag`, compared weakly (RFC 9110 §13.1.2).
    fn holds(request: &HeaderMap, etag: &str) -> bool {
        request
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim())
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
    }
}

#[cfg(feature = "pages")]
pub use embedded::{not_found, router};

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let app = router().fallback(not_found);
        let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (
            parts.status,
            parts.headers,
            to_bytes(body, 1 << 20).await.unwrap().to_vec(),
        )
    }

    #[tokio::test]
    async fn a_program_gets_problem_json_for_an_unknown_address() {
        let (status, headers, body) = ask("/nothing/here", &[]).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(headers["content-type"], "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["status"], 404);
    }

    #[cfg(not(feature = "pages"))]
    #[tokio::test]
    async fn without_pages_the_root_says_where_whip_and_whep_are() {
        let (status, _, body) = ask("/", &[("accept", "text/html")]).await;
        let text = String::from_utf8(body).unwrap();
        assert_eq!(status, StatusCode::OK);
        assert!(
            text.contains("no pages") && text.contains("/whip/{stream}") && text.contains("/whep/{stream}")
        );
        assert_eq!(
            ask("/watch/live", &[("accept", "text/html")]).await.0,
            StatusCode::NOT_FOUND
        );
    }

    #[cfg(feature = "pages")]
    mod with_pages {
        use super::*;

        fn first_script(html: &str) -> &str {
            html.split('"')
                .find(|part| part.starts_with("/assets/") && part.ends_with(".js"))
                .unwrap()
        }

        #[tokio::test]
        async fn every_page_is_html_that_is_revalidated_and_guarded() {
            for path in [
                "/",
                "/publish",
                "/publish/",
                "/publish/live",
                "/watch",
                "/watch/live",
                "/watch/a.b-c_d/",
                "/embed/live",
                "/wall",
                "/console",
            ] {
                let (status, headers, body) = ask(path, &[]).await;
                assert_eq!(status, StatusCode::OK, "{path}");
                assert_eq!(headers["content-type"], "text/html; charset=utf-8", "{path}");
                assert_eq!(headers["cache-control"], "no-cache", "{path}");
                assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
                assert!(
                    headers["content-security-policy"]
                        .to_str()
                        .unwrap()
                        .starts_with("default-src 'self'")
                );
                assert!(
                    headers["permissions-policy"]
                        .to_str()
                        .unwrap()
                        .contains("camera=(self)")
                );
                let html = String::from_utf8(body).unwrap();
                assert!(html.contains("<title>"), "{path}");
                assert!(
                    !html.contains("<style") && !html.contains("onclick"),
                    "the policy forbids inline code"
                );
            }
        }

        #[tokio::test]
        async fn only_the_page_made_for_frames_may_stand_in_other_sites_frames() {
            for (path, framed) in [
                ("/", false),
                ("/publish/live", false),
                ("/watch/live", false),
                ("/embed/live", true),
            ] {
                let (status, headers, _) = ask(path, &[]).await;
                assert_eq!(status, StatusCode::OK, "{path}");
                let policy = headers["content-security-policy"].to_str().unwrap();
                assert_eq!(policy.ends_with("frame-ancestors *"), framed, "{path}: {policy}");
                assert_eq!(
                    policy.ends_with("frame-ancestors 'self'"),
                    !framed,
                    "{path}: {policy}"
                );
            }
        }

        #[tokio::test]
        async fn the_player_is_one_script_that_is_revalidated() {
            let (status, headers, body) = ask("/player.js", &[]).await;
            assert_eq!(status, StatusCode::OK);
            assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
            assert_eq!(headers["cache-control"], "no-cache");
            let script = String::from_utf8(body).unwrap();
            assert!(script.contains("shibuki-player"));
            for import in ["import{", "import\"", "import(", "export{"] {
                assert!(
                    !script.contains(import),
                    "a plain script loads nothing else: {import}"
                );
            }
        }

        #[tokio::test]
        async fn a_known_page_is_not_sent_again() {
            let (_, headers, _) = ask("/", &[]).await;
            let etag = headers["etag"].to_str().unwrap();
            let (status, _, body) = ask("/", &[("if-none-match", etag)]).await;
            assert_eq!(status, StatusCode::NOT_MODIFIED);
            assert!(body.is_empty());
            let (status, _, _) = ask("/", &[("if-none-match", "\"other\"")]).await;
            assert_eq!(status, StatusCode::OK);
        }

        #[tokio::test]
        async fn assets_are_kept_forever_and_sent_compressed() {
            let (_, _, html) = ask("/watch/live", &[]).await;
            let html = String::from_utf8(html).unwrap();
            let script = first_script(&html);
            let (status, headers, plain) = ask(script, &[]).await;
            assert_eq!(status, StatusCode::OK);
            assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
            assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
            assert!(!headers.contains_key("content-encoding"));
            let tag = headers["etag"].clone();
            for (accept, encoding) in [("gzip, deflate, br;q=0.9", "br"), ("gzip;q=1, br;q=0", "gzip")] {
                let (_, headers, small) = ask(script, &[("accept-encoding", accept)]).await;
                assert_eq!(headers["content-encoding"], encoding);
                assert_eq!(headers["vary"], "Accept-Encoding");
                assert!(small.len() < plain.len(), "{} of {}", small.len(), plain.len());
                assert_ne!(headers["etag"], tag, "another encoding is another representation");
            }
        }

        #[tokio::test]
        async fn a_person_gets_a_page_for_an_unknown_address() {
            for path in [
                "/nothing",
                "/watch/.hidden",
                "/watch/a%20b",
                "/assets/none.js",
                "/assets/../index.html",
            ] {
                let (status, headers, body) = ask(path, &[("accept", "text/html,*/*")]).await;
                assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
                assert_eq!(headers["content-type"], "text/html; charset=utf-8", "{path}");
                assert!(
                    String::from_utf8(body)
                        .unwrap()
                        .contains("There is no page at this address")
                );
            }
        }
    }
}
