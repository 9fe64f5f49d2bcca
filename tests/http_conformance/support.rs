//! A server on a real socket, and two ways to talk to it: a client that speaks good HTTP, and raw bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::Method;
use reqwest::header::HeaderMap;
use shibuki::control::{Control, ControlConfig, OnConflict};
use shibuki::core::directory::Directory;
use shibuki::core::ids::WorkerId;
use shibuki::core::media::{Fingerprint, HashAlgorithm};
use shibuki::core::route::Notice;
use shibuki::http::{HttpConfig, Keys, ServeLimits, router, serve_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const OBS: &str = include_str!("../offers/obs-32.2-h264-opus.sdp");
pub const FFMPEG: &str = include_str!("../offers/ffmpeg-9.0-h264-opus.sdp");
pub const PUBLISH: &str = include_str!("../offers/chromium-156-sendonly.sdp");
pub const WATCH: &str = include_str!("../offers/chromium-156-recvonly.sdp");

pub const SDP: (&str, &str) = ("content-type", "application/sdp");
pub const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

/// The control plane of a server without workers: sessions are made, and never connect.
pub fn control(config: ControlConfig) -> Control {
    let fingerprint = Fingerprint {
        algorithm: HashAlgorithm::Sha256,
        digest: vec![7; 32],
    };
    let candidates = vec![
        "192.0.2.1:8080".parse().unwrap(),
        "[2001:db8::1]:8080".parse().unwrap(),
    ];
    Control::new(
        ControlConfig { candidates, ..config },
        fingerprint,
        Arc::new(Directory::default()),
    )
}

/// A server that serves no viewer without a publisher and keeps the first publisher.
pub fn demanding() -> ControlConfig {
    ControlConfig {
        require_publisher: true,
        on_conflict: OnConflict::Reject,
        ..ControlConfig::default()
    }
}

/// `all` publishes anything, `live-key` publishes `live`, `look` watches `live`.
pub fn closed() -> HttpConfig {
    let mut keys = Keys::default();
    keys.publish.add("all");
    keys.publish.add_for("live".parse().unwrap(), "live-key");
    keys.watch.add_for("live".parse().unwrap(), "look");
    HttpConfig {
        keys: keys.into(),
        ..HttpConfig::default()
    }
}

pub struct Server {
    pub address: SocketAddr,
    control: Control,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Server {
    pub async fn open() -> Self {
        Self::start(HttpConfig::default()).await
    }

    pub async fn start(config: HttpConfig) -> Self {
        Self::start_with(ControlConfig::default(), config, ServeLimits::default()).await
    }

    pub async fn start_with(control_config: ControlConfig, config: HttpConfig, limits: ServeLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let control = control(control_config);
        let router = router(control.clone(), config);
        let served = tokio::spawn(serve_with(listener, router, limits, async {
            let _ = stopped.await;
        }));
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        Self {
            address,
            control,
            client,
            stop: Some(stop),
            served,
        }
    }

    /// What a worker says once a session's ICE and DTLS are up: this server has none.
    pub fn connect(&self, location: &str) {
        let session = location.strip_prefix("/session/").unwrap().parse().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_785_000_000);
        self.control
            .notice(WorkerId(0), Notice::Connected { session }, now);
    }

    /// What a worker says.
    pub fn notice(&self, worker: WorkerId, notice: Notice) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_785_000_010);
        self.control.notice(worker, notice, now);
    }

    /// What the server does once a second.
    #[expect(clippy::disallowed_methods, reason = "a test of the shell")]
    pub fn sweep(&self) {
        self.control.sweep(std::time::Instant::now());
    }

    pub fn shut_down(&self) {
        self.control.shut_down();
    }

    /// Tells it to stop and waits until it has.
    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.served.await.unwrap();
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let url = format!("http://{}{path}", self.address);
        let mut request = self
            .client
            .request(Method::from_bytes(method.as_bytes()).unwrap(), url)
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply {
            status,
            headers,
            text: response.text().await.unwrap(),
        }
    }

    pub async fn post(&self, path: &str, offer: &str) -> Reply {
        self.send("POST", path, &[SDP], offer.to_owned()).await
    }

    /// A new session: its URL's path and its entity tag.
    pub async fn session(&self, path: &str, offer: &str) -> (String, String) {
        let reply = self.post(path, offer).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        (
            reply.header("location").to_owned(),
            reply.header("etag").to_owned(),
        )
    }

    pub async fn patch(&self, path: &str, if_match: Option<&str>, fragment: &str) -> Reply {
        let mut headers = vec![FRAGMENT];
        headers.extend(if_match.map(|tag| ("if-match", tag)));
        self.send("PATCH", path, &headers, fragment.to_owned()).await
    }

    /// Bytes in, bytes out, until the server closes.
    pub async fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        read_to_end(&mut stream).await
    }
}

/// Everything until the server closes, which it must do before long.
pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await;
    read.expect("the server closes the connection").unwrap();
    String::from_utf8(bytes).unwrap()
}

impl Reply {
    /// A header's only value; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() <= 1, "{name}: {values:?}");
        values.first().map_or("", |value| value.to_str().unwrap())
    }

    /// One of a header's values.
    pub fn header_at(&self, name: &str, index: usize) -> &str {
        let value = self.headers.get_all(name).iter().nth(index);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that this is the error with this status, as RFC 9457 wants it, readable across origins.
    #[track_caller]
    pub fn is_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: serde_json::Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        for member in ["title", "detail"] {
            assert!(
                problem[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member} in {problem}"
            );
        }
        self.has_cors();
    }

    #[track_caller]
    pub fn has_cors(&self) {
        assert_eq!(self.header("access-control-allow-origin"), "*");
        let exposed = self.header("access-control-expose-headers");
        for name in [
            "Location",
            "Link",
            "ETag",
            "Accept-Post",
            "Accept-Patch",
            "Retry-After",
            "WWW-Authenticate",
            "Access-Control-Allow-Methods",
        ] {
            assert!(
                exposed.split(", ").any(|header| header == name),
                "{name} in {exposed}"
            );
        }
    }
}

/// The first value of an SDP attribute.
pub fn attribute<'a>(sdp: &'a str, name: &str) -> &'a str {
    let prefix = format!("a={name}:");
    sdp.lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .unwrap_or_else(|| panic!("no {prefix} in {sdp}"))
}

/// A fragment with an offer's own credentials and one candidate.
pub fn trickle(offer: &str) -> String {
    fragment(attribute(offer, "ice-ufrag"), attribute(offer, "ice-pwd"))
}

/// A fragment as a browser writes it.
pub fn fragment(ufrag: &str, pwd: &str) -> String {
    format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
         a=candidate:1 1 udp 2130706431 198.51.100.1 39132 typ host\r\n"
    )
}
