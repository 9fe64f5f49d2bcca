//! What a new user reads when the server is up: what to type into OBS, and which page to open.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// `candidates` as announced, best first. `needs_key`: to publish.
pub fn greeting(http: SocketAddr, media: SocketAddr, candidates: &[SocketAddr], needs_key: bool) -> String {
    let local = url(
        if http.ip().is_unspecified() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            http.ip()
        },
        http.port(),
    );
    // The best address of all is where other machines find HTTP, unless HTTP listens on one address only.
    let best = candidates.first().filter(|_| http.ip().is_unspecified());
    let server = best.map_or_else(|| local.clone(), |address| url(address.ip(), http.port()));
    let token = if needs_key {
        "a key of yours (keys.publish)"
    } else {
        "anything, or nothing"
    };

    let mut text = format!(
        "\nshibuki {} is up.\n\n  Publish from OBS: Settings, Stream\n    Service       WHIP\n    \
         Server        {server}/whip/live\n    Bearer Token  {token}\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "  {what:<15} {value}");
    };
    if cfg!(feature = "pages") {
        line("Watch", format!("{server}/watch/live"));
        line("All pages", format!("{local}/"));
    } else {
        line("Watch (WHEP)", format!("{server}/whep/live"));
    }
    let addresses: Vec<String> = candidates
        .iter()
        .map(|address| address.ip().to_string())
        .collect();
    line(
        "Media",
        format!("UDP port {} at {}", media.port(), addresses.join(", ")),
    );
    text
}

fn url(ip: IpAddr, port: u16) -> String {
    // As people write it, and the only plain-HTTP origin with a camera.
    if ip == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        return format!("http://localhost:{port}");
    }
    format!("http://{}", SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_best_address_for_obs_and_localhost_for_the_pages() {
        let text = shown("[::]:8080", &["203.0.113.9:9000", "127.0.0.1:9000"], false);
        assert!(
            text.contains("Server        http://203.0.113.9:8080/whip/live\n"),
            "{text}"
        );
        assert!(text.contains("anything, or nothing"), "{text}");
        assert!(
            text.contains("UDP port 9000 at 203.0.113.9, 127.0.0.1\n"),
            "{text}"
        );
        assert_eq!(
            text.contains("http://localhost:8080/\n"),
            cfg!(feature = "pages"),
            "{text}"
        );
    }

    #[test]
    fn names_where_http_really_listens() {
        let text = shown("127.0.0.1:8080", &["203.0.113.9:9000"], true);
        assert!(
            text.contains("Server        http://localhost:8080/whip/live\n"),
            "{text}"
        );
        assert!(text.contains("keys.publish"), "{text}");
        let text = shown("[2001:db8::1]:8080", &["203.0.113.9:9000"], true);
        assert!(text.contains("http://[2001:db8::1]:8080/whip/live\n"), "{text}");
    }

    fn shown(http: &str, candidates: &[&str], needs_key: bool) -> String {
        let candidates: Vec<SocketAddr> = candidates.iter().map(|text| text.parse().unwrap()).collect();
        greeting(
            http.parse().unwrap(),
            "[::]:9000".parse().unwrap(),
            &candidates,
            needs_key,
        )
    }
}
