use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::outgoing::Outgoing;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// In 2100.
const LATER: u64 = 4_102_444_800;

fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    keys.publish.add("all");
    keys.publish.add_for(name("live"), "live-key");
    keys.watch.add_for(name("live"), "look");
    keys.admin.add("root");
    keys
}

async fn status(keys: &Keys, right: Right, stream: &str, token: &str) -> u16 {
    let outcome = keys
        .require(right, &name(stream), &Credentials::from_token(token))
        .await;
    outcome.map_or_else(|problem| problem.status.as_u16(), |()| 200)
}

async fn admin(keys: &Keys, token: &str) -> u16 {
    let outcome = keys.require_admin(&Credentials::from_token(token)).await;
    outcome.map_or_else(|problem| problem.status.as_u16(), |()| 200)
}

#[tokio::test]
async fn a_key_opens_its_own_streams_and_nothing_else() {
    let cases = [
        (Right::Publish, "any", "all", 200),
        (Right::Publish, "live", "live-key", 200),
        (Right::Publish, "other", "live-key", 403),
        (Right::Publish, "live", "look", 403),
        (Right::Publish, "live", "wrong", 401),
        (Right::Publish, "live", "root", 403),
        (Right::Watch, "live", "look", 200),
        (Right::Watch, "other", "look", 403),
        (Right::Watch, "live", "live-ke", 401),
    ];
    for (right, stream, token, expected) in cases {
        let found = status(&keys(), right, stream, token).await;
        assert_eq!(found, expected, "{right:?} {stream} {token}");
    }
    assert_eq!(admin(&keys(), "root").await, 200);
    assert_eq!(admin(&keys(), "all").await, 403);
    assert_eq!(admin(&keys(), "").await, 401);
    assert_eq!(
        admin(&Keys::default(), "anything").await,
        401,
        "administration is never open"
    );
}

#[tokio::test]
async fn without_a_name_the_key_decides_the_stream() {
    let find = async |keys: &Keys, token: &str| {
        let found = keys.stream_of(&Credentials::from_token(token)).await;
        found.map_err(|problem| problem.status.as_u16())
    };
    assert_eq!(find(&Keys::default(), "mine").await, Ok(name("mine")));
    assert_eq!(find(&Keys::default(), "not/a/name").await, Err(422));
    assert_eq!(find(&keys(), "live-key").await, Ok(name("live")));
    assert_eq!(find(&keys(), "all").await, Err(403));
    assert_eq!(find(&keys(), "look").await, Err(403));
    assert_eq!(find(&keys(), "mine").await, Err(401));
    let signing = signing();
    let token = signed(json!({"publish": "mine", "exp": LATER}));
    assert_eq!(find(&signing, &token).await, Ok(name("mine")));
    let token = signed(json!({"publish": ["mine", "yours"], "exp": LATER}));
    assert_eq!(find(&signing, &token).await, Err(403));
    let token = signed(json!({"watch": "mine", "exp": LATER}));
    assert_eq!(find(&signing, &token).await, Err(403));
}

#[test]
fn debug_shows_no_key() {
    let text = format!("{:?}", signing());
    assert!(
        text.contains("KeyRing(0 keys)") && !text.contains(SECRET),
        "{text}"
    );
}

fn verifier(settings: TokenSettings) -> Keys {
    let outgoing = Outgoing::new(&["127.0.0.0/8".parse().unwrap()]).unwrap();
    Keys {
        tokens: Some(Arc::new(Tokens::new(&settings, &outgoing).unwrap())),
        ..Keys::default()
    }
}

fn signing() -> Keys {
    verifier(TokenSettings {
        secret: Some(SECRET.into()),
        ..TokenSettings::default()
    })
}

fn signed(claims: Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

#[tokio::test]
async fn a_token_opens_what_it_says_until_it_expires() {
    let keys = signing();
    let token = signed(json!({"publish": "live", "watch": ["live", "team-*"], "exp": LATER}));
    assert_eq!(status(&keys, Right::Publish, "live", &token).await, 200);
    assert_eq!(status(&keys, Right::Publish, "team-a", &token).await, 403);
    assert_eq!(status(&keys, Right::Watch, "team-a", &token).await, 200);
    assert_eq!(status(&keys, Right::Watch, "other", &token).await, 403);
    assert_eq!(admin(&keys, &token).await, 403);
    assert_eq!(
        admin(&keys, &signed(json!({"admin": true, "exp": LATER}))).await,
        200
    );
    assert_eq!(
        status(
            &keys,
            Right::Watch,
            "live",
            &signed(json!({"admin": true, "exp": LATER}))
        )
        .await,
        403
    );

    let expired = signed(json!({"watch": "*", "exp": 1_700_000_000}));
    let problem = keys
        .require(Right::Watch, &name("live"), &Credentials::from_token(&expired))
        .await;
    let problem = problem.unwrap_err();
    assert_eq!(problem.status.as_u16(), 401);
    assert!(problem.detail.contains("expired"), "{}", problem.detail);
    for bad in [
        signed(json!({"watch": "*", "exp": LATER, "nbf": LATER - 10})),
        signed(json!({"watch": "*"})),
        signed(json!({"watch": 7, "exp": LATER})),
        signed(json!({"watch": "*", "exp": "soon"})),
        signed(json!({"watch": "*", "exp": LATER, "aud": "elsewhere"})),
        "a.b.c".into(),
        "..".into(),
        format!("{}.", signed(json!({"watch": "*", "exp": LATER}))),
        "x".repeat(100_000),
    ] {
        let short = bad.get(..bad.len().min(80)).unwrap();
        assert_eq!(status(&keys, Right::Watch, "live", &bad).await, 401, "{short}");
    }
}

#[tokio::test]
async fn what_the_server_signs_it_believes() {
    let keys = verifier(TokenSettings {
        secret: Some(SECRET.into()),
        audience: Some("stage".into()),
        issuer: Some("us".into()),
        ..TokenSettings::default()
    });
    let claims = Claims {
        watch: Scope(vec!["live".into()]),
        exp: LATER,
        ..Claims::default()
    };
    let token = keys.tokens.as_ref().unwrap().sign(claims).unwrap();
    assert_eq!(status(&keys, Right::Watch, "live", &token).await, 200);
    for foreign in [
        json!({"watch": "*", "exp": LATER, "aud": "stage", "iss": "them"}),
        json!({"watch": "*", "exp": LATER, "aud": "other", "iss": "us"}),
        json!({"watch": "*", "exp": LATER, "iss": "us"}),
        json!({"watch": "*", "exp": LATER, "aud": "stage"}),
    ] {
        let token = signed(foreign.clone());
        assert_eq!(
            status(&keys, Right::Watch, "live", &token).await,
            401,
            "{foreign}"
        );
    }
    let several = signed(json!({"watch": "*", "exp": LATER, "aud": ["other", "stage"], "iss": "us"}));
    assert_eq!(status(&keys, Right::Watch, "live", &several).await, 200);
}

struct Rsa {
    signing: EncodingKey,
    public_pem: String,
    jwk: Value,
}

fn rsa() -> Rsa {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let private = AsDer::<Pkcs8V1Der>::as_der(&pair).unwrap();
    let public = pair.public_key();
    let spki = AsDer::<PublicKeyX509Der>::as_der(public).unwrap();
    let components: Vec<String> = [
        public.modulus().big_endian_without_leading_zero(),
        public.exponent().big_endian_without_leading_zero(),
    ]
    .iter()
    .map(|number| URL_SAFE_NO_PAD.encode(number))
    .collect();
    Rsa {
        signing: EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes()).unwrap(),
        public_pem: pem("PUBLIC KEY", spki.as_ref()),
        jwk: json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "one", "n": components[0], "e": components[1]}),
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let lines: Vec<u8> = STANDARD.encode(der).into_bytes();
    let lines: Vec<&str> = lines
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

fn file(contents: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("shibuki-key-{:016x}.pem", rand::random::<u64>()));
    std::fs::write(&path, contents).unwrap();
    path
}

#[tokio::test]
async fn algorithms_cannot_be_swapped() {
    let rsa = rsa();
    let path = file(&rsa.public_pem);
    let keys = verifier(TokenSettings {
        public_keys: vec![path.clone()],
        ..TokenSettings::default()
    });
    std::fs::remove_file(path).unwrap();
    let claims = json!({"watch": "*", "exp": LATER});
    let good = encode(&Header::new(Algorithm::RS256), &claims, &rsa.signing).unwrap();
    assert_eq!(status(&keys, Right::Watch, "live", &good).await, 200);

    // The public key, which anybody has, as if it were the secret.
    let key = EncodingKey::from_secret(rsa.public_pem.as_bytes());
    let swapped = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
    assert_eq!(status(&keys, Right::Watch, "live", &swapped).await, 401);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for alg in ["none", "None", "NONE", "HS256", "RS256", "RS512", "EdDSA", ""] {
        let unsigned = format!("{}.{}.", part(&json!({"alg": alg, "typ": "JWT"})), part(&claims));
        assert_eq!(status(&keys, Right::Watch, "live", &unsigned).await, 401, "{alg}");
        assert_eq!(
            status(&signing(), Right::Watch, "live", &unsigned).await,
            401,
            "{alg}"
        );
    }
    // Another's signature, and a changed body under a good one.
    let other = encode(&Header::new(Algorithm::RS256), &claims, &self::rsa().signing).unwrap();
    assert_eq!(status(&keys, Right::Watch, "live", &other).await, 401);
    let mut parts: Vec<&str> = good.split('.').collect();
    let changed = part(&json!({"watch": "*", "admin": true, "exp": LATER}));
    parts[1] = &changed;
    assert_eq!(status(&keys, Right::Watch, "live", &parts.join(".")).await, 401);
}

#[tokio::test]
async fn an_ed25519_key_verifies() {
    use aws_lc_rs::signature::Ed25519KeyPair;
    let pair = Ed25519KeyPair::generate().unwrap();
    let private = pair.to_pkcs8v1().unwrap();
    let spki = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap();
    let path = file(&pem("PUBLIC KEY", spki.as_ref()));
    let keys = verifier(TokenSettings {
        public_keys: vec![path.clone()],
        ..TokenSettings::default()
    });
    std::fs::remove_file(path).unwrap();
    let key = EncodingKey::from_ed_der(private.as_ref());
    let token = encode(
        &Header::new(Algorithm::EdDSA),
        &json!({"publish": "live", "exp": LATER}),
        &key,
    )
    .unwrap();
    assert_eq!(status(&keys, Right::Publish, "live", &token).await, 200);
    assert_eq!(status(&keys, Right::Watch, "live", &token).await, 403);
}

#[test]
fn weak_or_broken_settings_are_refused_in_words() {
    let outgoing = Outgoing::new(&[]).unwrap();
    let refuse = |settings: TokenSettings| Tokens::new(&settings, &outgoing).unwrap_err().to_string();
    let short = refuse(TokenSettings {
        secret: Some("short".into()),
        ..TokenSettings::default()
    });
    assert!(short.contains("at least 32"), "{short}");
    let path = file("no key at all");
    let broken = refuse(TokenSettings {
        public_keys: vec![path.clone()],
        ..TokenSettings::default()
    });
    std::fs::remove_file(path).unwrap();
    assert!(broken.contains("no PEM file"), "{broken}");
    let inside = refuse(TokenSettings {
        jwks: Some("http://[::ffff:169.254.169.254]/keys".into()),
        ..TokenSettings::default()
    });
    assert!(inside.contains("outgoing-networks"), "{inside}");
}

/// An HTTP server that answers each request by `answer`, which is told its body and how many came before.
async fn serve(answer: impl Fn(&str, usize) -> String + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = String::new();
            let mut buffer = [0; 4096];
            // A body is written together with its head here, or right after it.
            while !request.contains("\r\n\r\n") || (request.starts_with("POST") && !request.ends_with('}')) {
                let read = stream.read(&mut buffer).await.unwrap();
                assert_ne!(read, 0, "half a request: {request}");
                request.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            let body = request.split("\r\n\r\n").nth(1).unwrap();
            let answer = answer(body, counter.fetch_add(1, Ordering::SeqCst));
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, count)
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_key_set_is_fetched_once_and_again_for_a_key_it_lacks() {
    let (first, second) = (rsa(), rsa());
    let mut rotated = second.jwk.clone();
    rotated["kid"] = "two".into();
    let sets = [
        json!({"keys": [first.jwk]}).to_string(),
        json!({"keys": [first.jwk, rotated]}).to_string(),
    ];
    let (address, fetched) = serve(move |_, before| http("200 OK", &sets[before.min(1)])).await;
    let keys = verifier(TokenSettings {
        jwks: Some(format!("http://{address}/jwks.json")),
        ..TokenSettings::default()
    });
    let token = |rsa: &Rsa, kid: &str| {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(kid.into());
        encode(&header, &json!({"watch": "*", "exp": LATER}), &rsa.signing).unwrap()
    };
    for _ in 0..3 {
        assert_eq!(
            status(&keys, Right::Watch, "live", &token(&first, "one")).await,
            200
        );
    }
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    // Not yet: whoever invents key ids must not make us fetch each time.
    assert_eq!(
        status(&keys, Right::Watch, "live", &token(&second, "two")).await,
        401
    );
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    keys.tokens.as_ref().unwrap().as_if_later(Duration::from_secs(15));
    assert_eq!(
        status(&keys, Right::Watch, "live", &token(&second, "two")).await,
        200
    );
    assert_eq!(fetched.load(Ordering::SeqCst), 2);
    // A secret in a key set would be no secret.
    let header = Header::new(Algorithm::HS256);
    let forged = encode(
        &header,
        &json!({"watch": "*", "exp": LATER}),
        &EncodingKey::from_secret(b"k"),
    )
    .unwrap();
    assert_eq!(status(&keys, Right::Watch, "live", &forged).await, 401);
}

#[tokio::test]
async fn nobody_waits_for_a_key_set_but_who_needs_it() {
    let (first, second) = (rsa(), rsa());
    let mut rotated = second.jwk.clone();
    rotated["kid"] = "two".into();
    let set = json!({"keys": [first.jwk, rotated]}).to_string();
    let old = json!({"keys": [first.jwk]}).to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Answers the first request at once, and each further one when it is let.
    let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
    let (let_go, mut may) = tokio::sync::mpsc::unbounded_channel::<()>();
    tokio::spawn(async move {
        let mut answers = [old].into_iter().chain(std::iter::repeat(set));
        while let (Ok((mut stream, _)), Some(answer)) = (listener.accept().await, answers.next()) {
            let _ = stream.read(&mut [0; 4096]).await;
            asked.send(()).unwrap();
            may.recv().await;
            let _ = stream.write_all(http("200 OK", &answer).as_bytes()).await;
        }
    });
    let keys = Arc::new(verifier(TokenSettings {
        jwks: Some(format!("http://{address}/jwks.json")),
        ..TokenSettings::default()
    }));
    let token = |rsa: &Rsa, kid: &str| {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(kid.into());
        encode(&header, &json!({"watch": "*", "exp": LATER}), &rsa.signing).unwrap()
    };
    let (one, two) = (token(&first, "one"), token(&second, "two"));
    let later = |by| keys.tokens.as_ref().unwrap().as_if_later(Duration::from_secs(by));
    let ask = |token: &str| {
        let (keys, token) = (keys.clone(), token.to_owned());
        tokio::spawn(async move { status(&keys, Right::Watch, "live", &token).await })
    };
    let at_once = async |token: &str| {
        tokio::time::timeout(Duration::from_secs(5), ask(token))
            .await
            .unwrap()
            .unwrap()
    };
    let_go.send(()).unwrap();
    assert_eq!(at_once(&one).await, 200);
    asks.recv().await.unwrap();

    later(15);
    let waiting = [ask(&two), ask(&two)];
    asks.recv().await.unwrap();
    for _ in 0..3 {
        assert_eq!(at_once(&one).await, 200, "its key is in the old set");
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    let_go.send(()).unwrap();
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), 200);
    }
    assert!(asks.try_recv().is_err(), "one fetch served both");

    // A set that has grown old is fetched anew behind everybody's back, once.
    later(600);
    for token in [&one, &two, &one] {
        assert_eq!(at_once(token).await, 200);
    }
    asks.recv().await.unwrap();
    assert!(asks.try_recv().is_err());
}

#[tokio::test]
async fn without_a_key_set_nobody_gets_in() {
    let (address, _) = serve(|_, _| http("500 Oops", "{}")).await;
    let keys = verifier(TokenSettings {
        jwks: Some(format!("http://{address}/jwks.json")),
        ..TokenSettings::default()
    });
    let token = encode(
        &Header::new(Algorithm::RS256),
        &json!({"watch": "*", "exp": LATER}),
        &rsa().signing,
    )
    .unwrap();
    assert_eq!(status(&keys, Right::Watch, "live", &token).await, 503);
}

fn hooked(address: SocketAddr, cache: Duration) -> Keys {
    let outgoing = Outgoing::new(&["127.0.0.0/8".parse().unwrap()]).unwrap();
    let settings = HookSettings {
        url: format!("http://{address}/may"),
        timeout: Duration::from_millis(300),
        cache,
    };
    Keys {
        hook: Some(Arc::new(Hook::new(settings, &outgoing).unwrap())),
        ..Keys::default()
    }
}

#[tokio::test]
async fn a_hook_decides_and_its_answers_are_remembered() {
    let (address, asked) = serve(|body, _| {
        let question: Value = serde_json::from_str(body).unwrap();
        let good = json!({"right": "watch", "stream": "live", "token": "good"});
        match question["token"].as_str() {
            _ if question == good => http("204 No Content", ""),
            Some("moved") => {
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into()
            }
            Some("broken") => http("500 Oops", ""),
            _ => http("403 Forbidden", ""),
        }
    })
    .await;
    let keys = hooked(address, Duration::from_secs(60));
    for _ in 0..3 {
        assert_eq!(status(&keys, Right::Watch, "live", "good").await, 200);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(status(&keys, Right::Watch, "other", "good").await, 401);
    assert_eq!(status(&keys, Right::Publish, "live", "good").await, 401);
    assert_eq!(status(&keys, Right::Watch, "live", "bad").await, 401);
    // Fail closed, and do not remember what was no answer.
    let before = asked.load(Ordering::SeqCst);
    for token in ["broken", "broken", "moved"] {
        assert_eq!(status(&keys, Right::Watch, "live", token).await, 503);
    }
    assert_eq!(asked.load(Ordering::SeqCst), before + 3);
    assert_eq!(
        admin(&keys, "good").await,
        401,
        "administration is not the hook's business"
    );
    // Who brings no key costs the hook nothing, and one listing costs it a hundred questions at most.
    let before = asked.load(Ordering::SeqCst);
    let nobody = Credentials::of(&Default::default(), &"/api/v1/streams".parse().unwrap(), None);
    let names: Vec<StreamName> = (0..300).map(|n| name(&format!("s{n}"))).collect();
    assert!(keys.require(Right::Watch, &name("live"), &nobody).await.is_err());
    assert!(
        keys.visible(names.clone(), |stream| stream, &nobody)
            .await
            .is_err()
    );
    assert_eq!(asked.load(Ordering::SeqCst), before);
    let bad = Credentials::from_token("bad");
    assert!(
        keys.visible(names, |stream| stream, &bad)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(asked.load(Ordering::SeqCst), before + 100);
}

#[tokio::test]
async fn a_hook_that_does_not_answer_lets_nobody_in() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = hooked(listener.local_addr().unwrap(), Duration::ZERO);
    assert_eq!(status(&keys, Right::Watch, "live", "any").await, 503);
    drop(listener);
    assert_eq!(status(&keys, Right::Watch, "live", "any").await, 503);
}

#[tokio::test]
async fn what_anyone_may_needs_no_key() {
    let mut keys = signing();
    assert!(!keys.is_open(Right::Watch) && !keys.is_open(Right::Publish));
    keys.anyone_may.push(Right::Watch);
    assert_eq!(status(&keys, Right::Watch, "live", "").await, 200);
    assert_eq!(status(&keys, Right::Publish, "live", "").await, 401);
}
