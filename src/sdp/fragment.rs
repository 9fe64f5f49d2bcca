//! Trickled candidates and ICE restarts: bodies of type `application/trickle-ice-sdpfrag` (RFC 8840 §9).

use std::net::{IpAddr, SocketAddr};

use super::answer::candidates;
use super::error::OfferError;
use super::offer::ice_credentials;
use super::section::is_token;
use super::text;
use crate::core::ids::Mid;
use crate::core::media::IceCredentials;

/// What a PATCH says. The candidates themselves are not kept: the server is ICE-lite and learns addresses from
/// the checks it receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdpFragment {
    /// The first ufrag and pwd, of session or media level. Other than the running ones, they ask for a restart.
    pub ice: Option<IceCredentials>,
    /// How many candidates a peer could be reached at: UDP, component 1, a numeric address.
    pub candidates: usize,
    pub end_of_candidates: bool,
    /// The mid of the first m-line that has one.
    pub mid: Option<Mid>,
}

impl SdpFragment {
    /// The body of the 200 to this ICE restart, in the m-line's context that the client named.
    pub fn restart_answer(&self, ice: &IceCredentials, addresses: &[SocketAddr]) -> String {
        write_restart(ice, addresses, self.mid.as_ref().map_or("0", Mid::as_str))
    }
}

/// Reads a fragment. Unknown lines, odd m-lines and candidates that are of no use are passed over: clients write
/// `RTP/AVP`, component 0, mDNS names and TCP. What is no SDP at all is an error, and so is half a pair of
/// credentials.
pub fn parse_fragment(text: &str) -> Result<SdpFragment, OfferError> {
    let (mut ufrag, mut pwd, mut mid) = (None, None, None);
    let mut fragment = SdpFragment {
        ice: None,
        candidates: 0,
        end_of_candidates: false,
        mid: None,
    };
    for (kind, value) in text::lines(text)? {
        if kind != 'a' {
            continue;
        }
        let (key, value) = value.split_once(':').unwrap_or((value, ""));
        let value = value.trim();
        match key {
            "ice-ufrag" => ufrag = ufrag.or(Some(value)),
            "ice-pwd" => pwd = pwd.or(Some(value)),
            "mid" => mid = mid.or(Some(value)),
            "end-of-candidates" => fragment.end_of_candidates = true,
            // RFC 8838 §13: nothing comes after the end.
            "candidate" if !fragment.end_of_candidates && usable(value) => fragment.candidates += 1,
            _ => {}
        }
    }
    fragment.ice = ice_credentials(ufrag, pwd)?;
    fragment.mid = mid.filter(|mid| is_token(mid)).map(|mid| Mid(mid.into()));
    Ok(fragment)
}

/// The body of the 200 to an ICE restart: our new credentials and all candidates.
pub fn restart_fragment(ice: &IceCredentials, addresses: &[SocketAddr]) -> String {
    write_restart(ice, addresses, "0")
}

/// `<foundation> <component> <transport> <priority> <address> <port> typ …` (RFC 8839 §5.1)
fn usable(candidate: &str) -> bool {
    let fields: Vec<&str> = candidate.split_whitespace().take(8).collect();
    let [_, "1", transport, _, address, port, "typ", _] = fields[..] else {
        return false;
    };
    transport.eq_ignore_ascii_case("udp") && address.parse::<IpAddr>().is_ok() && port.parse::<u16>().is_ok()
}

fn write_restart(ice: &IceCredentials, addresses: &[SocketAddr], mid: &str) -> String {
    let mut lines = vec![
        "a=ice-lite".to_owned(),
        format!("a=ice-ufrag:{}", ice.ufrag),
        format!("a=ice-pwd:{}", ice.pwd),
        // RFC 8840 §4.4: an m-line only gives the mid a place; its own words mean nothing.
        "m=audio 9 UDP/TLS/RTP/SAVPF 0".to_owned(),
        format!("a=mid:{mid}"),
    ];
    lines.extend(
        candidates(addresses)
            .into_iter()
            .map(|text| format!("a=candidate:{text}")),
    );
    lines.push("a=end-of-candidates".to_owned());
    lines.iter().flat_map(|line| [line, "\r\n"]).collect()
}
