//! HTTP requests the server makes itself: the authorization hook, key sets, webhooks.
//!
//! Where they go stands in the configuration, yet names resolve to what their owner's DNS says, and what is behind
//! them may redirect. So that none of it can be turned against the server's own network, only public addresses are
//! connected to, unless the configuration names others, and redirects are not followed.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole exchange, unless a caller sets a shorter one.
const TIMEOUT: Duration = Duration::from_secs(10);
/// An answer's body is read up to here: a key set of a large identity provider is some 20 KB.
const MAX_BODY: usize = 512 * 1024;

/// A client whose requests stay out of private networks. Clones share its connections.
#[derive(Clone)]
pub struct Outgoing {
    client: Client,
    allowed: Arc<[IpNet]>,
}

/// Why an answer did not come.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    #[error("{0} is not an http or https URL with a host")]
    Url(String),
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("{}", chain(.0))]
    Request(#[from] reqwest::Error),
    #[error("the answer is longer than {MAX_BODY} bytes")]
    TooLong,
}

/// The address is one of the server's own side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is at {address}, which is not a public address; outgoing-networks can allow it")]
pub struct Forbidden {
    host: String,
    address: IpAddr,
}

/// reqwest's own text stops at "error sending request".
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

impl Outgoing {
    /// `allowed`: networks that may be reached although they are not public.
    pub fn new(allowed: &[IpNet]) -> Result<Self, OutgoingError> {
        let allowed: Arc<[IpNet]> = allowed.into();
        let client = Client::builder()
            .dns_resolver(Arc::new(PublicOnly(allowed.clone())))
            .redirect(redirect::Policy::none())
            // A proxy would resolve names out of our sight.
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("shibuki/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, allowed })
    }

    /// Whether `text` is a URL that may be called; names are judged only when they are resolved.
    pub fn check(&self, text: &str) -> Result<Url, OutgoingError> {
        let url = Url::parse(text).map_err(|_| OutgoingError::Url(text.to_owned()))?;
        let host = url
            .host_str()
            .filter(|_| matches!(url.scheme(), "http" | "https"));
        let host = host.ok_or_else(|| OutgoingError::Url(text.to_owned()))?;
        // The resolver never sees an address that is written out.
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            permit(host, address, &self.allowed)?;
        }
        Ok(url)
    }

    /// A GET, to be sent with [`send`](Self::send).
    pub fn get(&self, url: &str) -> Result<reqwest::RequestBuilder, OutgoingError> {
        Ok(self.client.get(self.check(url)?))
    }

    /// A POST, to be sent with [`send`](Self::send).
    pub fn post(&self, url: &str) -> Result<reqwest::RequestBuilder, OutgoingError> {
        Ok(self.client.post(self.check(url)?))
    }

    /// Sends it and reads the answer, whatever its status. A redirect is an answer like any other.
    pub async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<(reqwest::StatusCode, Vec<u8>), OutgoingError> {
        let mut response = request.send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(OutgoingError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status(), body))
    }
}

/// Resolves a name to its permitted addresses only.
struct PublicOnly(Arc<[IpNet]>);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?;
            let (mut permitted, mut refused): (Vec<SocketAddr>, _) = (Vec::new(), None);
            for address in found {
                match permit(host, address.ip(), &allowed) {
                    Ok(()) => permitted.push(address),
                    Err(forbidden) => refused = Some(forbidden),
                }
            }
            match refused {
                Some(forbidden) if permitted.is_empty() => Err(forbidden.into()),
                _ => Ok(Box::new(permitted.into_iter()) as Addrs),
            }
        })
    }
}

fn permit(host: &str, address: IpAddr, allowed: &[IpNet]) -> Result<(), Forbidden> {
    let address = embedded(address);
    if is_public(address) || allowed.iter().any(|net| net.contains(&address)) {
        return Ok(());
    }
    Err(Forbidden {
        host: host.to_owned(),
        address,
    })
}

/// The IPv4 address inside an IPv6 one that stands for it: mapped and compatible (RFC 4291 §2.5.5), NAT64 (RFC 6052
/// §2.1), 6to4 (RFC 3056 §2).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else {
        return address.to_canonical();
    };
    let bits = u128::from(v6);
    let v4 = |bits: u128| IpAddr::V4(Ipv4Addr::from(bits as u32));
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => v4(bits),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => v4(bits),
        [0x2002, ..] => v4(bits >> 80),
        _ => IpAddr::V6(v6),
    }
}

/// As the IANA registries of special-purpose addresses have it (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let protocol = (a, b, c) == (192, 0, 0);
            let benchmark = a == 198 && (b == 18 || b == 19);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || a == 0
                || a >= 224
                || shared
                || protocol
                || benchmark)
        }
        // Everything assigned to the public so far is in 2000::/3.
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            let documentation = (first, second) == (0x2001, 0xdb8) || first == 0x3fff;
            let teredo_and_such = first == 0x2001 && second < 0x200;
            v6 != Ipv6Addr::UNSPECIFIED && first & 0xe000 == 0x2000 && !documentation && !teredo_and_such
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_of_the_own_network_are_refused_in_every_form() {
        let outgoing = Outgoing::new(&[]).unwrap();
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:10.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::a00:1]",
            "[2002:a00:1::1]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[ff02::1]",
        ] {
            let outcome = outgoing.check(&format!("http://{host}/hook"));
            assert!(
                matches!(outcome, Err(OutgoingError::Forbidden(_))),
                "{host}: {outcome:?}"
            );
        }
        for host in ["203.0.114.1", "8.8.8.8", "[2606:4700::1111]", "example.org"] {
            assert!(outgoing.check(&format!("https://{host}/")).is_ok(), "{host}");
        }
        for url in ["ftp://example.org/", "file:///etc/passwd", "nonsense", "http://"] {
            assert!(matches!(outgoing.check(url), Err(OutgoingError::Url(_))), "{url}");
        }
    }

    /// Answers every connection with `answer`.
    async fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_unless_allowed() {
        let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
        let url = format!("http://localhost:{}/", address.port());
        let closed = Outgoing::new(&[]).unwrap();
        let error = closed.send(closed.get(&url).unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("outgoing-networks"), "{error}");

        let open = Outgoing::new(&["127.0.0.0/8".parse().unwrap()]).unwrap();
        let (status, body) = open.send(open.get(&url).unwrap()).await.unwrap();
        assert_eq!((status.as_u16(), &body[..]), (200, &b"ok"[..]));
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        let inner =
            answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret").await;
        let answer = format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{inner}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let outer = answering(Box::leak(answer.into_boxed_str())).await;
        let open = Outgoing::new(&["127.0.0.0/8".parse().unwrap()]).unwrap();
        let (status, body) = open
            .send(open.get(&format!("http://{outer}/")).unwrap())
            .await
            .unwrap();
        assert_eq!((status.as_u16(), body.len()), (302, 0));
    }
}
