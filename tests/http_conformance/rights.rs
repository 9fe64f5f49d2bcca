//! Each endpoint × each right × each kind of key. The endpoints are those of the API's own description: one that is not in
//! the table fails the test.

use serde_json::Value;
use shibuki::http::auth::{Claims, Scope, TokenSettings, Tokens};
use shibuki::http::{HttpConfig, Keys};
use shibuki::outgoing::Outgoing;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{OBS, Server, WATCH};

/// What opens an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// To watch the stream that the path names.
    Watch,
    /// To watch the stream that the path names, or to administer.
    WatchOrAdmin,
    /// To watch any stream: what is shown is what the key opens.
    WatchAny,
    Publish,
    Admin,
}
use Needs::{Admin, Nothing, Publish, Watch, WatchAny, WatchOrAdmin};

const JSON: &str = "application/json";
const SDP: &str = "application/sdp";

struct Row {
    method: &'static str,
    path: &'static str,
    needs: Needs,
    content_type: &'static str,
    body: &'static str,
    /// What whoever may gets.
    good: u16,
}

const fn row(method: &'static str, path: &'static str, needs: Needs, good: u16) -> Row {
    Row {
        method,
        path,
        needs,
        content_type: JSON,
        body: "",
        good,
    }
}

const fn with(row: Row, content_type: &'static str, body: &'static str) -> Row {
    Row {
        content_type,
        body,
        ..row
    }
}

/// What the description names.
const DESCRIBED: [Row; 19] = [
    row("get", "/healthz", Nothing, 200),
    row("get", "/readyz", Nothing, 200),
    row("get", "/api/v1/info", Nothing, 200),
    row("get", "/metrics", Admin, 200),
    row("get", "/api/v1/streams", WatchAny, 200),
    row("get", "/api/v1/streams/{stream}", Watch, 200),
    // This server has no decoder: whoever may look is told so.
    row("get", "/api/v1/streams/{stream}/thumbnail.jpg", WatchOrAdmin, 503),
    with(
        row("patch", "/api/v1/streams/{stream}", Admin, 200),
        JSON,
        r#"{"muted":{"audio":true}}"#,
    ),
    row("get", "/api/v1/sessions", Admin, 200),
    row("get", "/api/v1/sessions/{id}", Admin, 200),
    with(
        row("post", "/api/v1/sessions/{id}/layer", Admin, 204),
        JSON,
        r#"{"mediaId":"0"}"#,
    ),
    row("delete", "/api/v1/sessions/{id}", Admin, 204),
    row("delete", "/api/v1/streams/{stream}", Admin, 204),
    row("get", "/api/v1/events", Admin, 200),
    row("get", "/api/v1/drain", Admin, 200),
    row("post", "/api/v1/drain", Admin, 200),
    row("delete", "/api/v1/drain", Admin, 200),
    // This one has no configuration to read again.
    row("post", "/api/v1/reload", Admin, 404),
    row("get", "/api/openapi.json", Nothing, 200),
];

/// And what stands in other documents.
const OTHERS: [Row; 3] = [
    with(row("post", "/whip/{stream}", Publish, 201), SDP, OBS),
    with(row("post", "/whep/{stream}", Watch, 201), SDP, WATCH),
    row("get", "/api", Nothing, 200),
];

/// Not in the description: it is the description.
const ITSELF: &str = "/api/openapi.json";

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// In 2100, and in 2001.
const LATER: u64 = 4_102_444_800;
const BEFORE: u64 = 1_000_000_000;

/// Somebody's key, and what it opens of the stream `live`.
struct Holder {
    who: &'static str,
    key: Option<String>,
    publish: bool,
    watch: bool,
    /// Watches another stream.
    elsewhere: bool,
    admin: bool,
    /// It is a valid key of something.
    known: bool,
}

fn tokens() -> Tokens {
    let settings = TokenSettings {
        secret: Some(SECRET.into()),
        ..TokenSettings::default()
    };
    Tokens::new(&settings, &Outgoing::new(&[]).unwrap()).unwrap()
}

fn holders() -> Vec<Holder> {
    let holder = |who, key: Option<&str>| Holder {
        who,
        key: key.map(Into::into),
        publish: false,
        watch: false,
        elsewhere: false,
        admin: false,
        known: key.is_some(),
    };
    let tokens = tokens();
    let signed = |publish: &str, watch: &str, admin: bool, exp: u64| {
        let scope = |names: &str| Scope(names.split_terminator(',').map(Into::into).collect());
        let claims = Claims {
            publish: scope(publish),
            watch: scope(watch),
            admin,
            exp,
            ..Claims::default()
        };
        tokens.sign(claims).unwrap()
    };
    let unknown = |who, key: &str| Holder {
        known: false,
        ..holder(who, Some(key))
    };
    let good = signed("live", "live", true, LATER);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let mut flipped = signature.to_owned();
    let last = if flipped.starts_with('A') { "B" } else { "A" };
    flipped.replace_range(..1, last);
    vec![
        holder("nobody", None),
        unknown("an invalid key", "nonsense"),
        unknown("an empty token", "e30.e30."),
        unknown("a forged token", &format!("{head}.{flipped}")),
        unknown("an expired token for all", &signed("*", "*", true, BEFORE)),
        Holder {
            elsewhere: true,
            ..holder(
                "another stream's token",
                Some(&signed("other", "other", false, LATER)),
            )
        },
        Holder {
            elsewhere: true,
            ..holder("another stream's watch key", Some("look-other"))
        },
        Holder {
            publish: true,
            ..holder("a publish key", Some("live-key"))
        },
        Holder {
            publish: true,
            ..holder("a token to publish", Some(&signed("live", "", false, LATER)))
        },
        Holder {
            watch: true,
            ..holder("a watch key", Some("look"))
        },
        Holder {
            watch: true,
            ..holder("a token to watch", Some(&signed("", "li*", false, LATER)))
        },
        Holder {
            admin: true,
            ..holder("an admin key", Some("root"))
        },
        Holder {
            admin: true,
            ..holder("a token to administer", Some(&signed("", "", true, LATER)))
        },
        Holder {
            publish: true,
            watch: true,
            admin: true,
            ..holder("a token for all", Some(&signed("*", "*", true, LATER)))
        },
    ]
}

impl Holder {
    fn may(&self, needs: Needs) -> bool {
        match needs {
            Nothing => true,
            Watch => self.watch,
            WatchOrAdmin => self.watch || self.admin,
            WatchAny => self.watch || self.elsewhere,
            Publish => self.publish,
            Admin => self.admin,
        }
    }

    fn expected(&self, row: &Row) -> u16 {
        match (self.may(row.needs), self.known) {
            (true, _) => row.good,
            (false, true) => 403,
            (false, false) => 401,
        }
    }
}

/// A server with a publisher and a viewer of `live`, and the viewer's name in the API.
async fn server() -> (Server, String) {
    let mut keys = Keys::default();
    keys.publish.add_for("live".parse().unwrap(), "live-key");
    keys.watch.add_for("live".parse().unwrap(), "look");
    keys.watch.add_for("other".parse().unwrap(), "look-other");
    keys.admin.add("root");
    keys.tokens = Some(Arc::new(tokens()));
    let server = Server::start(HttpConfig {
        keys: keys.into(),
        ..HttpConfig::default()
    })
    .await;
    let (publisher, _) = server.session("/whip/live/live-key", OBS).await;
    server.connect(&publisher);
    let (viewer, _) = server.session("/whep/live/look", WATCH).await;
    let id = viewer.strip_prefix("/session/").unwrap()[..16].to_owned();
    (server, id)
}

/// The status alone: an answer may have no end.
async fn ask(server: &Server, row: &Row, path: &str, authorization: Option<&str>) -> u16 {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let key = authorization.map_or(String::new(), |key| format!("Authorization: Bearer {key}\r\n"));
    let request = format!(
        "{} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{key}\r\n{}",
        row.method.to_uppercase(),
        server.address,
        row.content_type,
        row.body.len(),
        row.body
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

fn described(document: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, _) in operations.as_object().unwrap() {
            found.push((method.clone(), path.clone()));
        }
    }
    found.sort();
    found
}

async fn document(server: &Server) -> Value {
    let reply = server.send("GET", ITSELF, &[], "").await;
    serde_json::from_str(&reply.text).unwrap()
}

#[tokio::test]
async fn every_endpoint_of_the_description_is_in_the_table() {
    let document = document(&Server::open().await).await;
    let mut table: Vec<_> = DESCRIBED
        .iter()
        .filter(|row| row.path != ITSELF)
        .map(|row| (row.method.to_owned(), row.path.to_owned()))
        .collect();
    table.sort();
    assert_eq!(described(&document), table);
    for row in DESCRIBED.iter().filter(|row| row.path != ITSELF) {
        let operation = &document["paths"][row.path][row.method];
        let told = |status: &str| operation["responses"][status].is_object();
        let closed = row.needs != Nothing;
        let about = format!("{} {}", row.method, row.path);
        assert_eq!(operation["security"].is_array(), closed, "{about}");
        assert_eq!((told("401"), told("403")), (closed, closed), "{about}");
        assert!(told(&row.good.to_string()), "{about}: {}", row.good);
    }
}

#[tokio::test]
async fn each_right_opens_its_endpoints_and_nothing_else() {
    let holders = holders();
    for row in DESCRIBED.iter().chain(&OTHERS) {
        let (server, viewer) = server().await;
        let path = row.path.replace("{stream}", "live").replace("{id}", &viewer);
        // Those who may not first: what they try must leave everything as it is.
        let mut order: Vec<_> = holders.iter().collect();
        order.sort_by_key(|holder| holder.may(row.needs));
        for holder in order {
            let about = format!("{} {path}: {}", row.method, holder.who);
            let status = ask(&server, row, &path, holder.key.as_deref()).await;
            // What one of them ended, or started, is so for those who come after.
            let again = match status {
                404 if row.method == "delete" && holder.may(row.needs) => continue,
                status => status,
            };
            assert_eq!(again, holder.expected(row), "{about}");
            // In the URL the key is the same key.
            if let Some(key) = holder.key.as_deref().filter(|_| !holder.may(row.needs)) {
                let path = format!("{path}?token={key}");
                assert_eq!(
                    ask(&server, row, &path, None).await,
                    holder.expected(row),
                    "{about}, in the URL"
                );
            }
            if !holder.may(row.needs) {
                let headers = [("authorization", "Bearer root")];
                let sessions = server.send("GET", "/api/v1/sessions", &headers, "").await;
                let sessions: Value = serde_json::from_str(&sessions.text).unwrap();
                assert_eq!(sessions["sessions"].as_array().unwrap().len(), 2, "{about}");
                let stream = server
                    .send("GET", "/api/v1/streams/live?token=look", &[], "")
                    .await;
                let stream: Value = serde_json::from_str(&stream.text).unwrap();
                assert_eq!(stream["muted"]["audio"], false, "{about}");
                let drain = server.send("GET", "/api/v1/drain", &headers, "").await;
                assert!(
                    drain.text.contains("\"draining\":false"),
                    "{about}: {}",
                    drain.text
                );
            }
        }
    }
}

#[tokio::test]
async fn a_list_shows_what_the_key_opens() {
    let (server, _) = server().await;
    for holder in holders().iter().filter(|holder| holder.may(WatchAny)) {
        let key = format!("Bearer {}", holder.key.as_deref().unwrap());
        let reply = server
            .send("GET", "/api/v1/streams", &[("authorization", &key)], "")
            .await;
        let list: Value = serde_json::from_str(&reply.text).unwrap();
        let shown = list["streams"].as_array().unwrap().len();
        assert_eq!(shown, usize::from(holder.watch), "{}", holder.who);
    }
}
