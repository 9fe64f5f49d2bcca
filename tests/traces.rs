//! Joins as OpenTelemetry traces, seen by a collector.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use prost::Message;
use support::server::Process;
use support::stage::Stage;
use support::{DEADLINE, http};

/// What a collector is sent, on a thread of its own until the test ends.
#[expect(clippy::disallowed_methods, reason = "a collector beside the test")]
fn collector() -> (String, mpsc::Receiver<ExportTraceServiceRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            while let Some(body) = request(&mut stream) {
                let _ = tell.send(ExportTraceServiceRequest::decode(&body[..]).unwrap());
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    (url, told)
}

/// One request's body.
fn request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            assert!(head.starts_with("post /v1/traces "), "{head}");
            assert!(head.contains("content-type: application/x-protobuf"), "{head}");
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))?;
            let length: usize = length.trim().parse().ok()?;
            if bytes.len() >= end + 4 + length {
                return Some(bytes[end + 4..end + 4 + length].to_vec());
            }
        }
        let len = stream.read(&mut buffer).ok().filter(|len| *len > 0)?;
        bytes.extend_from_slice(&buffer[..len]);
    }
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let found = span.attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

/// All spans, once there are `joins` whole ones.
fn spans(told: &mpsc::Receiver<ExportTraceServiceRequest>, joins: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    while spans.iter().filter(|span: &&Span| span.name == "join").count() < joins {
        let request = told.recv_timeout(DEADLINE).expect("spans are sent");
        for resource in request.resource_spans {
            let service = &resource.resource.as_ref().unwrap().attributes;
            assert!(service.iter().any(|attribute| attribute.key == "service.name"));
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    spans
}

#[test]
fn a_join_is_a_span_with_its_steps() {
    let (url, told) = collector();
    let mut stage = Stage::on(Process::start_with(&["--otlp-endpoint", &url]));
    // A publisher and three viewers, who all got a keyframe; and one who never came.
    let reply = http::post(stage.server.at.http, "/whep/innocent", support::WATCH);
    let location = reply.header("location").unwrap().to_owned();
    let ended = http::request(stage.server.at.http, "DELETE", &location, "", b"");
    assert_eq!(ended.status, 200);
    stage.exchange();
    let spans = spans(&told, 5);
    let (lost, good): (Vec<&Span>, Vec<&Span>) = spans
        .iter()
        .filter(|span| span.name == "join")
        .partition(|span| attribute(span, "shibuki.ended").is_some());
    assert_eq!((good.len(), lost.len()), (4, 1));
    let viewers = good
        .iter()
        .filter(|span| attribute(span, "shibuki.role").as_deref() == Some("viewer"));
    assert_eq!(viewers.count(), 3);
    for join in good {
        assert_eq!(attribute(join, "shibuki.stream").as_deref(), Some("innocent"));
        assert_eq!(
            attribute(join, "shibuki.session").unwrap().len(),
            16,
            "half of the id, not the secret"
        );
        assert!(join.parent_span_id.is_empty());
        let mut steps: Vec<&Span> = spans
            .iter()
            .filter(|span| span.parent_span_id == join.span_id)
            .collect();
        steps.sort_by_key(|span| span.start_time_unix_nano);
        let mut names: Vec<&str> = steps.iter().map(|span| span.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["dtls", "first check", "first keyframe", "first packet"]);
        for step in &steps {
            assert_eq!(step.trace_id, join.trace_id);
            assert!(step.start_time_unix_nano <= step.end_time_unix_nano);
        }
        // One after the other, from the POST to the last.
        assert_eq!(steps[0].start_time_unix_nano, join.start_time_unix_nano);
        let end = steps.iter().map(|step| step.end_time_unix_nano).max();
        assert_eq!(end, Some(join.end_time_unix_nano));
        assert!(join.end_time_unix_nano > join.start_time_unix_nano);
    }
    let lost = lost[0];
    assert_eq!(attribute(lost, "shibuki.ended").as_deref(), Some("deleted"));
    assert_eq!(lost.status.as_ref().unwrap().code, StatusCode::Error as i32);
    stage.server.is_sound();
}

#[test]
fn a_collector_that_is_not_there_costs_nobody_anything() {
    let mut stage = Stage::on(Process::start_with(&["--otlp-endpoint", "http://127.0.0.1:9"]));
    stage.exchange();
    stage.server.signal("TERM");
    let mut seen = None;
    let end = support::now() + DEADLINE;
    while seen.is_none() {
        seen = stage.server.exited();
        assert!(support::now() < end, "it stops all the same");
        std::thread::yield_now();
    }
    assert_eq!(seen.unwrap().code(), Some(0));
}
