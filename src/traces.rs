//! Joins as OpenTelemetry traces: one span from a session's POST to its first keyframe, with a child for each step.
//!
//! | span | from | to |
//! | --- | --- | --- |
//! | `join` | POST | first keyframe, or the last step there was |
//! | `first check` | POST | the first STUN check with the right password |
//! | `dtls` | first check | ICE and DTLS are up |
//! | `first packet` | connected | the first packet of media, in or out |
//! | `first keyframe` | first packet | the first keyframe, likewise |
//!
//! The collector is the operator's own setting and mostly on this machine, so the rule for webhooks, which may not reach
//! the server's own network, is not for it. What waits for it is bounded, and nobody else waits.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span, SpanBuilder, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider};

use crate::control::{Join, SessionRole};

/// Spans that wait; more are dropped. A join is five.
const QUEUE: usize = 5_000;
/// From a join to its being sent.
const DELAY: Duration = Duration::from_secs(1);
/// For one exchange with the collector.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For what still waits when the server stops.
const LAST: Duration = Duration::from_secs(1);

/// Tells a collector; clones tell the same one.
#[derive(Clone, Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

#[derive(Debug, thiserror::Error)]
#[error("otlp-endpoint: {0}")]
pub struct TracesError(#[from] ExporterBuildError);

impl Traces {
    /// `endpoint` is the collector's base URL: traces go to its `/v1/traces`.
    pub fn new(endpoint: &str) -> Result<Self, TracesError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_scheduled_delay(DELAY)
            .build();
        let processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(config)
            .build();
        let resource = Resource::builder()
            .with_service_name("shibuki")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("shibuki");
        Ok(Self { provider, tracer })
    }

    /// Takes note of a join; it is sent later.
    pub fn join(&self, join: &Join) {
        let at = |after: Duration| join.created + after;
        let steps = join.steps;
        let reached = [
            ("first check", steps.first_check),
            ("dtls", steps.connected),
            ("first packet", steps.first_packet),
            ("first keyframe", steps.first_keyframe),
        ];
        let role = match join.role {
            SessionRole::Publisher => "publisher",
            SessionRole::Viewer => "viewer",
        };
        let attributes = [
            KeyValue::new("shibuki.session", join.session.public()),
            KeyValue::new("shibuki.stream", join.stream.to_string()),
            KeyValue::new("shibuki.role", role),
        ];
        let mut whole = self.start("join", join.created, &Context::new());
        whole.set_attributes(attributes);
        if let Some(reason) = join.ended {
            whole.set_attribute(KeyValue::new("shibuki.ended", reason));
        }
        if steps.connected.is_none() {
            whole.set_status(Status::error(join.ended.unwrap_or("not connected")));
        }
        let context = Context::new().with_span(whole);
        let mut last = join.created;
        for (name, after) in reached {
            let Some(after) = after else { continue };
            // A keyframe's first packet may be the first of all.
            let end = at(after).max(last);
            self.start(name, last, &context).end_with_timestamp(end);
            last = end;
        }
        context.span().end_with_timestamp(last);
    }

    /// Sends what waits, for a second at most. Blocks.
    pub fn stop(self) {
        let _ = self.provider.shutdown_with_timeout(LAST);
    }

    fn start(&self, name: &'static str, at: SystemTime, parent: &Context) -> opentelemetry_sdk::trace::Span {
        let span: SpanBuilder = self.tracer.span_builder(name).with_start_time(at);
        span.start_with_context(&self.tracer, parent)
    }
}
