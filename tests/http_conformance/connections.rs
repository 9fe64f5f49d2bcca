//! What the wire shows: the spelling of headers, slow and greedy clients, the end.

#![expect(clippy::disallowed_methods, reason = "a test of the real clock")]

use std::time::{Duration, Instant};

use shibuki::control::ControlConfig;
use shibuki::http::{HttpConfig, ServeLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{OBS, Server, read_to_end};

async fn server(limits: ServeLimits) -> Server {
    Server::start_with(ControlConfig::default(), HttpConfig::default(), limits).await
}

#[tokio::test]
async fn obs_finds_its_headers_in_the_spelling_it_looks_for() {
    let limits = ServeLimits {
        header_timeout: Duration::from_millis(500),
        ..ServeLimits::default()
    };
    let server = server(limits).await;
    let head = format!(
        "POST /whip/live HTTP/1.1\r\nHost: 127.0.0.1:18080\r\nAccept: */*\r\nContent-Type: application/sdp\r\n\
         Authorization: Bearer tok123\r\nUser-Agent: Mozilla/5.0 (OBS-Studio/32.2.2+ds-1+b2; Linux x86_64; en-US)\r\n\
         Content-Length: {}\r\n\r\n",
        OBS.len()
    );
    let answer = server.raw(format!("{head}{OBS}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    for name in [
        "\r\nLocation: /session/",
        "\r\nContent-Type: application/sdp\r\n",
        "\r\nEtag: \"",
    ] {
        assert!(answer.contains(name), "{name:?} in {answer}");
    }
}

#[tokio::test]
async fn an_oversized_body_is_answered_before_it_is_sent_where_the_client_asks() {
    let request = "POST /whip/live HTTP/1.1\r\nHost: h\r\nContent-Type: application/sdp\r\nConnection: close\r\n\
                   Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n";
    let answer = Server::open().await.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("Access-Control-Allow-Origin: *\r\n"));
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let limits = ServeLimits {
        header_timeout: Duration::from_millis(200),
        ..ServeLimits::default()
    };
    let server = server(limits).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"POST /whip/live HTTP/1.1\r\nHost: h\r\nX-Slow: ")
        .await
        .unwrap();
    read_to_end(&mut stream).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let limits = ServeLimits {
        header_timeout: Duration::from_millis(200),
        ..ServeLimits::default()
    };
    let server = server(limits).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_body_that_never_ends_is_408() {
    let server = server(ServeLimits {
        body_timeout: Duration::from_millis(200),
        ..ServeLimits::default()
    })
    .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /whip/live HTTP/1.1\r\nHost: h\r\nContent-Type: application/sdp\r\nContent-Length: 1000\r\n\r\nv=0";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"status\":408"));
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_until_one_is_free() {
    let server = server(ServeLimits {
        connections: 1,
        ..ServeLimits::default()
    })
    .await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(request).await.unwrap();
    assert!(first.read(&mut [0; 1024]).await.unwrap() > 0);

    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(request).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut [0; 1024])).await;
    assert!(early.is_err(), "the second one waits");
    drop(first);
    assert!(second.read(&mut [0; 1024]).await.unwrap() > 0);
}

#[tokio::test]
async fn shutdown_closes_idle_connections_and_does_not_wait_for_slow_ones() {
    let server = server(ServeLimits {
        drain: Duration::from_millis(300),
        ..ServeLimits::default()
    })
    .await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    assert!(idle.read(&mut [0; 1024]).await.unwrap() > 0);
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"POST /whip/live HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n1")
        .await
        .unwrap();

    let address = server.address;
    let begin = Instant::now();
    server.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(idle.read(&mut [0; 1024]).await.unwrap(), 0);
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}
