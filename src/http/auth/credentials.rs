//! What a request presents, wherever clients put it.

use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};

/// Deliberately without `Debug`.
pub(in crate::http) struct Credentials(Vec<String>);

impl Credentials {
    /// From `Authorization` (`Bearer` in any case, or the bare token, as Eyevinn's player sends it), `?token=` and the
    /// URL's last segment. If one of them is good, the request is: a player that adds `Bearer undefined` to a URL with
    /// a token still means the token.
    pub fn of(headers: &HeaderMap, uri: &Uri, path: Option<&str>) -> Self {
        let header = headers
            .get(header::AUTHORIZATION)
            .and_then(|v| v.to_str().ok())
            .and_then(bearer);
        let query = query_token(uri);
        let all = [header, query.as_deref(), path];
        let given = |token: &&str| !matches!(*token, "" | "undefined" | "null");
        Self(
            all.into_iter()
                .flatten()
                .map(str::trim)
                .filter(given)
                .map(Into::into)
                .collect(),
        )
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most three.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    #[cfg(test)]
    pub fn from_token(token: &str) -> Self {
        Self(vec![token.into()])
    }
}

/// The token in an `Authorization` value; none where another scheme stands.
fn bearer(value: &str) -> Option<&str> {
    let value = value.trim();
    match value.split_once(char::is_whitespace) {
        Some((scheme, token)) => scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()),
        None => (!value.eq_ignore_ascii_case("bearer")).then_some(value),
    }
}

fn query_token(uri: &Uri) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Token {
        token: String,
    }
    Query::<Token>::try_from_uri(uri).ok().map(|query| query.0.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_wherever_clients_put_it() {
        type Case<'a> = (Option<&'a str>, &'a str, Option<&'a str>, &'a [&'a str]);
        let cases: &[Case] = &[
            (Some("Bearer k"), "/whip/a", None, &["k"]),
            (Some("bEaReR    k  "), "/whip/a", None, &["k"]),
            (Some("k"), "/whip/a", None, &["k"]),
            (Some("Bearer"), "/whip/a", None, &[]),
            (Some("Bearer undefined"), "/whip/a", None, &[]),
            (
                Some("Bearer undefined"),
                "/whip/a?x=1&token=a%20b",
                None,
                &["a b"],
            ),
            (Some("Basic dTpw"), "/whip/a", None, &[]),
            (None, "/whip/a?token=", None, &[]),
            (None, "/whip/a/k", Some("k"), &["k"]),
            (Some("Bearer h"), "/whip/a/p?token=q", Some("p"), &["h", "q", "p"]),
        ];
        for (header, uri, path, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(
                Credentials::of(&headers, &uri.parse().unwrap(), *path).0,
                *expected,
                "{header:?} {uri}"
            );
        }
    }
}
