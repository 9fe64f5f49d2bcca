//! ICE servers told to clients by `Link` headers (RFC 9725 §4.6, RFC 8288).

use std::sync::Arc;

use axum::http::HeaderValue;

/// A STUN or TURN server for clients.
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:host:port`, `turn:host:port?transport=udp`, … (RFC 7064, RFC 7065).
    pub url: String,
    /// Both or neither.
    pub username: Option<String>,
    pub credential: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IceServerError {
    #[error("an ICE server's URL starts with stun:, stuns:, turn: or turns:")]
    Scheme,
    /// OBS splits the header at every `,` and its parameters at every `;`, quoted or not.
    #[error(
        "an ICE server's URL, user name and credential are printable ASCII without spaces and , ; \" \\ < >"
    )]
    Character,
    #[error("an ICE server has a user name and a credential, or neither")]
    HalfCredentials,
}

impl IceServer {
    /// The `Link` header's value, or why there can be none. A configuration should refuse what this refuses.
    pub fn link(&self) -> Result<String, IceServerError> {
        if !["stun:", "stuns:", "turn:", "turns:"]
            .iter()
            .any(|scheme| self.url.starts_with(scheme))
        {
            return Err(IceServerError::Scheme);
        }
        let plain = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_graphic() && !b",;\"\\<>".contains(&b))
        };
        let texts = [Some(&self.url), self.username.as_ref(), self.credential.as_ref()];
        if !texts.into_iter().flatten().all(|text| plain(text)) {
            return Err(IceServerError::Character);
        }
        let link = format!("<{}>; rel=\"ice-server\"", self.url);
        match (&self.username, &self.credential) {
            (None, None) => Ok(link),
            (Some(user), Some(credential)) => Ok(format!(
                "{link}; username=\"{user}\"; credential=\"{credential}\"; credential-type=\"password\""
            )),
            _ => Err(IceServerError::HalfCredentials),
        }
    }
}

/// Never shows the credential.
impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IceServer({})", self.url)
    }
}

/// One header value per usable server.
pub(super) fn header_values(servers: &[IceServer]) -> Arc<[HeaderValue]> {
    let value = |server: &IceServer| match server.link() {
        Ok(link) => HeaderValue::from_str(&link).ok(),
        Err(why) => {
            tracing::error!(server = ?server, %why, "ICE server is not announced");
            None
        }
    };
    servers.iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(user: &str, credential: Option<&str>) -> IceServer {
        IceServer {
            url: "turn:h?transport=udp".into(),
            username: Some(user.into()),
            credential: credential.map(Into::into),
        }
    }

    #[test]
    fn a_turn_server_is_one_line_with_its_credential() {
        assert_eq!(
            turn("u", Some("c")).link().as_deref(),
            Ok(
                "<turn:h?transport=udp>; rel=\"ice-server\"; username=\"u\"; credential=\"c\"; credential-type=\"password\""
            )
        );
    }

    #[test]
    fn what_would_break_a_parser_is_refused() {
        for bad in ["a,b", "a;b", "a\"b", "a b", "a\\b", "ü", "a\r\nb"] {
            assert_eq!(
                turn(bad, Some("c")).link(),
                Err(IceServerError::Character),
                "{bad:?}"
            );
        }
        assert_eq!(turn("u", None).link(), Err(IceServerError::HalfCredentials));
        let http = IceServer {
            url: "http://h".into(),
            username: None,
            credential: None,
        };
        assert_eq!(http.link(), Err(IceServerError::Scheme));
    }

    #[test]
    fn debug_keeps_the_credential() {
        assert!(!format!("{:?}", turn("user", Some("hush"))).contains("hush"));
    }
}
