//! Reading the server's answer (RFC 8866, RFC 8829): leniently, since any server may have written it.

use std::net::SocketAddr;

/// What a usable answer says.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub ufrag: String,
    pub pwd: String,
    /// (hash name in lower case, digest)
    pub fingerprints: Vec<(String, Vec<u8>)>,
    /// True when the server wants to send the ClientHello (`setup:active`).
    pub server_is_dtls_client: bool,
    /// UDP candidates of component 1, best first as listed.
    pub candidates: Vec<SocketAddr>,
    pub media: Vec<AnsweredMedia>,
}

#[derive(Clone, Debug, Default)]
pub struct AnsweredMedia {
    /// `audio` or `video`.
    pub kind: String,
    pub rejected: bool,
    /// (payload type, codec name, clock rate) in the order of preference.
    pub formats: Vec<(u8, String, u32)>,
    /// (retransmission payload type, the one it repeats)
    pub rtx: Vec<(u8, u8)>,
    pub ssrcs: Vec<u32>,
    /// Simulcast layers the server takes.
    pub rids: Vec<String>,
    /// (id, URI) of header extensions.
    pub extensions: Vec<(u8, String)>,
    /// What `rtcp-fb` lines name, of any format.
    pub feedback: Vec<String>,
    /// (media, retransmission)
    pub rtx_ssrcs: Vec<(u32, u32)>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AnswerError {
    #[error("the answer is not SDP (it does not begin with v=0)")]
    NotSdp,
    #[error("the answer has no {0}")]
    Missing(&'static str),
    #[error("the answer names no UDP candidate that can be reached from here")]
    NoCandidate,
    #[error("the answer rejects every track")]
    NothingAccepted,
}

impl Answer {
    pub fn parse(text: &str) -> Result<Self, AnswerError> {
        let mut lines = text.lines();
        if lines.next().map(str::trim_end) != Some("v=0") {
            return Err(AnswerError::NotSdp);
        }
        let mut answer = Answer::default();
        for line in lines.map(str::trim_end) {
            if let Some(media) = line.strip_prefix("m=") {
                answer.media.push(AnsweredMedia::from_line(media));
            } else if let Some(attribute) = line.strip_prefix("a=") {
                let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
                answer.transport_attribute(name, value);
                if let Some(media) = answer.media.last_mut() {
                    media.attribute(name, value);
                }
            }
        }
        answer.check()
    }

    fn check(self) -> Result<Self, AnswerError> {
        if self.ufrag.is_empty() || self.pwd.is_empty() {
            return Err(AnswerError::Missing("ice-ufrag and ice-pwd"));
        }
        if self.fingerprints.is_empty() {
            return Err(AnswerError::Missing("usable fingerprint"));
        }
        if self.candidates.is_empty() {
            return Err(AnswerError::NoCandidate);
        }
        if self
            .media
            .iter()
            .all(|media| media.rejected || media.formats.is_empty())
        {
            return Err(AnswerError::NothingAccepted);
        }
        Ok(self)
    }

    pub fn track(&self, kind: &str) -> Option<&AnsweredMedia> {
        self.media
            .iter()
            .find(|media| media.kind == kind && !media.rejected)
    }

    // Everything is bundled on the first section's transport, so the first value of each counts.
    fn transport_attribute(&mut self, name: &str, value: &str) {
        match name {
            "ice-ufrag" if self.ufrag.is_empty() => self.ufrag = value.to_owned(),
            "ice-pwd" if self.pwd.is_empty() => self.pwd = value.to_owned(),
            "setup" => self.server_is_dtls_client = value == "active",
            "fingerprint" => {
                if let Some(fingerprint) = parse_fingerprint(value)
                    && !self.fingerprints.contains(&fingerprint)
                {
                    self.fingerprints.push(fingerprint);
                }
            }
            "candidate" => {
                if let Some(address) = parse_candidate(value)
                    && !self.candidates.contains(&address)
                {
                    self.candidates.push(address);
                }
            }
            _ => {}
        }
    }
}

impl AnsweredMedia {
    fn from_line(line: &str) -> Self {
        let mut fields = line.split_ascii_whitespace();
        let kind = fields.next().unwrap_or_default().to_owned();
        let rejected = fields.next() == Some("0");
        let formats = fields
            .skip(1)
            .filter_map(|pt| Some((pt.parse().ok()?, String::new(), 0)))
            .collect();
        Self {
            kind,
            rejected,
            formats,
            ..Self::default()
        }
    }

    fn attribute(&mut self, name: &str, value: &str) {
        let (head, rest) = value.split_once(' ').unwrap_or((value, ""));
        match name {
            // A bundled section may carry port 0 (RFC 9143 §6).
            "bundle-only" => self.rejected = false,
            "inactive" => self.rejected = true,
            "rtpmap" => {
                let Ok(pt) = head.parse::<u8>() else { return };
                let mut parts = rest.split('/');
                let codec = parts.next().unwrap_or_default().to_owned();
                let clock = parts.next().and_then(|clock| clock.parse().ok()).unwrap_or(0);
                if let Some(format) = self.formats.iter_mut().find(|format| format.0 == pt) {
                    (format.1, format.2) = (codec, clock);
                }
            }
            "extmap" => {
                // 3, or 3/sendonly.
                let id = head.split('/').next().and_then(|id| id.parse().ok());
                let uri = rest.split_ascii_whitespace().next();
                if let (Some(id), Some(uri)) = (id, uri) {
                    self.extensions.push((id, uri.to_owned()));
                }
            }
            "rtcp-fb" => self.feedback.push(rest.trim().to_owned()),
            "fmtp" => {
                let apt = rest.split(';').find_map(|item| item.trim().strip_prefix("apt="));
                if let (Ok(pt), Some(Ok(apt))) = (head.parse(), apt.map(str::parse)) {
                    self.rtx.push((pt, apt));
                }
            }
            "rid" if rest.split_ascii_whitespace().next() == Some("recv") => self.rids.push(head.to_owned()),
            "ssrc" => {
                if let Ok(ssrc) = head.parse()
                    && !self.ssrcs.contains(&ssrc)
                {
                    self.ssrcs.push(ssrc);
                }
            }
            "ssrc-group" if head == "FID" => {
                let mut pair = rest.split_ascii_whitespace().map(str::parse);
                if let (Some(Ok(media)), Some(Ok(rtx))) = (pair.next(), pair.next()) {
                    self.rtx_ssrcs.push((media, rtx));
                }
            }
            _ => {}
        }
    }
}

fn parse_fingerprint(value: &str) -> Option<(String, Vec<u8>)> {
    let (hash, digest) = value.trim().split_once(' ')?;
    let digest: Option<Vec<u8>> = digest
        .trim()
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    let hash = hash.to_ascii_lowercase();
    matches!(hash.as_str(), "sha-256" | "sha-384" | "sha-512").then_some((hash, digest?))
}

fn parse_candidate(value: &str) -> Option<SocketAddr> {
    let fields: Vec<&str> = value.split_ascii_whitespace().collect();
    let [_, component, transport, _, address, port, ..] = fields[..] else {
        return None;
    };
    if component != "1" || !transport.eq_ignore_ascii_case("udp") {
        return None;
    }
    let address = SocketAddr::new(address.parse().ok()?, port.parse().ok()?);
    (address.port() != 0).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n\
        a=fingerprint:sha-256 00:FF\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=setup:passive\r\n\
        a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=ssrc-group:FID 1 2\r\n\
        a=ssrc:1 cname:x\r\na=candidate:1 1 udp 1 192.0.2.1 3478 typ host\r\n\
        a=candidate:2 1 tcp 1 192.0.2.1 9 typ host tcptype active\r\nm=audio 0 UDP/TLS/RTP/SAVPF 111\r\n";

    #[test]
    fn what_matters_is_found() {
        let answer = Answer::parse(ANSWER).expect("usable");
        assert_eq!(answer.candidates, [SocketAddr::from(([192, 0, 2, 1], 3478))]);
        assert_eq!(answer.fingerprints, [("sha-256".to_owned(), vec![0, 255])]);
        assert!(!answer.server_is_dtls_client);
        let video = answer.track("video").expect("accepted");
        assert_eq!(video.formats[0], (96, "VP8".to_owned(), 90_000));
        assert_eq!((video.rtx[0], video.rtx_ssrcs[0]), ((97, 96), (1, 2)));
        assert!(answer.track("audio").is_none());
    }

    #[test]
    fn an_unusable_answer_says_why() {
        let unusable = |text: &str| Answer::parse(text).expect_err("unusable");
        assert_eq!(unusable("{\"error\":1}"), AnswerError::NotSdp);
        assert_eq!(
            unusable(&ANSWER.replace("a=ice-pwd:p\r\n", "")),
            AnswerError::Missing("ice-ufrag and ice-pwd")
        );
        assert_eq!(
            unusable(&ANSWER.replace(" udp ", " tcp ")),
            AnswerError::NoCandidate
        );
        assert_eq!(
            unusable(&ANSWER.replace("m=video 9", "m=video 0")),
            AnswerError::NothingAccepted
        );
    }
}
