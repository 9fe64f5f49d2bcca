//! Webhooks end to end: what a receiver that fails gets again, and what is given up.

mod support;

use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::Value;
use shibuki::control::ControlConfig;
use shibuki::webhooks::WebhookSettings;
use support::client::Client;
use support::server::{Addresses, in_process_with};
use support::{DEADLINE, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const SECRET: &str = "a secret of both";

/// A request as the receiver got it, its signature verified.
#[derive(Debug, PartialEq)]
struct Told {
    event: String,
    stream: String,
    taken: bool,
}

/// A receiver that answers by `answer`, which is told how many requests came before; an empty answer hangs up.
async fn receiver(
    answer: impl Fn(usize) -> &'static str + Send + 'static,
) -> (String, mpsc::UnboundedReceiver<Told>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/told", listener.local_addr().unwrap());
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut before = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some((head, body)) = read(&mut stream).await else {
                continue;
            };
            verify(&head, &body);
            let event: Value = serde_json::from_str(&body).unwrap();
            let status = answer(before);
            before += 1;
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let _ = tell.send(Told {
                event: text("event"),
                stream: text("stream"),
                taken: status.starts_with('2'),
            });
            if !status.is_empty() {
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    (url, told)
}

/// Head and body of one request.
async fn read(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length")?.parse::<usize>().ok()?;
            if body.len() >= length {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        let mut buffer = [0; 4096];
        let len = stream.read(&mut buffer).await.ok().filter(|len| *len > 0)?;
        bytes.extend_from_slice(&buffer[..len]);
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[track_caller]
fn verify(head: &str, body: &str) {
    let signature = header(head, "shibuki-signature").expect("it is signed");
    let (time, tag) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let tag: Vec<u8> = (0..tag.len() / 2)
        .map(|at| u8::from_str_radix(&tag[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, format!("{time}.{body}").as_bytes(), &tag).expect("the signature is good");
}

fn settings(url: &str) -> WebhookSettings {
    WebhookSettings {
        urls: vec![url.to_owned()],
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        secret: SECRET.into(),
        names: vec!["stream-started".into(), "stream-stopped".into()],
        first_pause: Duration::from_millis(1),
    }
}

async fn next(told: &mut mpsc::UnboundedReceiver<Told>) -> (String, String, bool) {
    let next = tokio::time::timeout(DEADLINE, told.recv()).await;
    let told = next.expect("something is told").unwrap();
    (told.event, told.stream, told.taken)
}

/// A stream that starts and stops.
async fn show(at: Addresses, stream: &'static str) {
    let shown = tokio::task::spawn_blocking(move || {
        let mut publisher = Client::publish(at, stream);
        publisher.connect();
        let ended = http::request(at.http, "DELETE", &publisher.location, "", b"");
        assert_eq!(ended.status, 200);
    });
    shown.await.unwrap();
}

/// A counter's value, once it is this; whoever scrapes may come before the count.
async fn counts(at: Addresses, name: &str, expected: u64) {
    let line = format!("shibuki_webhook_{name}_total {expected}");
    let scrape = move || {
        let reply = http::request(at.http, "GET", "/metrics", "", b"");
        reply.body
    };
    let mut body = String::new();
    let found = async {
        loop {
            body = tokio::task::spawn_blocking(scrape).await.unwrap();
            if body.lines().any(|known| known == line) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(DEADLINE, found).await.is_err() {
        panic!("no {line} in {body}");
    }
}

fn event(name: &str, stream: &str, taken: bool) -> (String, String, bool) {
    (name.into(), stream.into(), taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_refuses_comes_again_and_the_rest_in_order() {
    // An error, a redirect (which is not followed), a connection that breaks; then all is well.
    let refusals = ["500 Oops", "307 Elsewhere", ""];
    let (url, mut told) =
        receiver(move |before| refusals.get(before).copied().unwrap_or("204 No Content")).await;
    let (server, at) = in_process_with(ControlConfig::default(), settings(&url)).await;
    show(at, "first").await;
    for _ in refusals {
        assert_eq!(next(&mut told).await, event("stream-started", "first", false));
    }
    assert_eq!(next(&mut told).await, event("stream-started", "first", true));
    assert_eq!(next(&mut told).await, event("stream-stopped", "first", true));
    show(at, "second").await;
    assert_eq!(next(&mut told).await, event("stream-started", "second", true));
    assert_eq!(next(&mut told).await, event("stream-stopped", "second", true));
    counts(at, "events_delivered", 4).await;
    counts(at, "tries_failed", 3).await;
    counts(at, "events_dead", 0).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_takes_is_given_up_and_counted() {
    let (url, mut told) = receiver(|before| if before < 10 { "503 Later" } else { "200 OK" }).await;
    let (server, at) = in_process_with(ControlConfig::default(), settings(&url)).await;
    show(at, "first").await;
    for _ in 0..10 {
        assert_eq!(next(&mut told).await, event("stream-started", "first", false));
    }
    assert_eq!(
        next(&mut told).await,
        event("stream-stopped", "first", true),
        "the next one is not held up"
    );
    counts(at, "events_dead", 1).await;
    counts(at, "events_delivered", 1).await;
    counts(at, "tries_failed", 10).await;
    server.stop().await;
}
