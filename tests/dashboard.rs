//! The Grafana dashboard asks for nothing that the server does not measure.

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::stage::Stage;
use support::{DEADLINE, client::Client, http, now};

const DASHBOARD: &str = include_str!("../docs/grafana-dashboard.json");

/// The metrics that an expression names.
fn names(expression: &str) -> impl Iterator<Item = String> {
    let starts = expression.match_indices("shibuki_").map(|(at, _)| at);
    starts.map(|at| {
        let rest = expression[at..].chars();
        rest.take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    })
}

#[test]
fn every_metric_of_the_dashboard_exists() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let expressions: Vec<&str> = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten()
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    let mut missing: BTreeSet<String> = expressions
        .iter()
        .flat_map(|expression| names(expression))
        .collect();
    assert!(missing.len() > 15, "{missing:?}");

    // A stream that is watched, and a viewer who has left: a family without a value is not shown.
    let mut stage = Stage::new();
    let mut guest = Client::watch(stage.server.at, "innocent");
    guest.connect();
    assert_eq!(
        http::request(stage.server.at.http, "DELETE", &guest.location, "", b"").status,
        200
    );
    // The rest comes with a worker's next report.
    let end = now() + DEADLINE;
    while !missing.is_empty() {
        stage.exchange();
        let metrics = http::request(stage.server.at.http, "GET", "/metrics", "", b"").body;
        let shown = |name: &String| {
            let series = |line: &str| {
                line.strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            };
            metrics.lines().any(series)
        };
        missing.retain(|name| !shown(name));
        assert!(now() < end, "not measured: {missing:?}");
    }
}
