//! `If-Match` (RFC 9110 §13.1.1) against the entity tag of an ICE session.

use axum::http::{HeaderMap, HeaderValue, header};

/// How a PATCH without `If-Match` is met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EtagMode {
    /// Fine as long as the fragment does not name another ICE session: many players never store the tag.
    #[default]
    Lenient,
    /// `428`, as RFC 9725 §4.3.1 has it.
    Strict,
}

/// What a request's `If-Match` says of a session's current tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfMatch {
    Absent,
    /// `*`, also the quoted `"*"` of RFC 9725's examples.
    Any,
    Matches,
    Differs,
}

impl IfMatch {
    /// Strong comparison: a weak tag never matches. `current` is without quotes.
    pub fn read(headers: &HeaderMap, current: &str) -> Self {
        let mut verdict = Self::Absent;
        for value in headers.get_all(header::IF_MATCH) {
            for tag in value.to_str().unwrap_or_default().split(',').map(str::trim) {
                match tag {
                    "*" | "\"*\"" => return Self::Any,
                    _ if unquoted(tag) == Some(current) => return Self::Matches,
                    _ => verdict = Self::Differs,
                }
            }
        }
        verdict
    }
}

/// A tag as the `ETag` header has it.
pub(super) fn header_value(tag: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{tag}\"")).ok()
}

fn unquoted(tag: &str) -> Option<&str> {
    tag.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_a_strong_comparison() {
        let cases: &[(&[&str], IfMatch)] = &[
            (&[], IfMatch::Absent),
            (&["*"], IfMatch::Any),
            (&["\"*\""], IfMatch::Any),
            (&["\"tag\""], IfMatch::Matches),
            (&["\"other\", \"tag\""], IfMatch::Matches),
            (&["\"other\"", "\"tag\""], IfMatch::Matches),
            (&["\"other\""], IfMatch::Differs),
            (&["W/\"tag\""], IfMatch::Differs),
            (&["tag"], IfMatch::Differs),
            (&["\"tag"], IfMatch::Differs),
            (&["\""], IfMatch::Differs),
            (&[""], IfMatch::Differs),
        ];
        for (values, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(header::IF_MATCH, value.parse().unwrap());
            }
            assert_eq!(IfMatch::read(&headers, "tag"), *expected, "{values:?}");
        }
    }
}
