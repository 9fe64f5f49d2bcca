//! One self-contained HTML page for people who were not there: words, tables, plots.

use std::fmt::Write;

use super::figures::{Figure, figures, verdict};
use super::limited;
use super::plot::{self, Line};
use crate::scenario::outcome::{Outcome, Sample};

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;color:#1b1b1b;background:#fff;max-width:62rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.7rem}h2{margin-top:3rem;border-top:1px solid #ccc;padding-top:1.5rem}h3{margin-top:2rem}\
table{border-collapse:collapse;width:100%}caption{text-align:left;color:#555;padding-bottom:.4rem}\
th,td{text-align:left;vertical-align:top;padding:.35rem .8rem .35rem 0;border-bottom:1px solid #e3e3e3}\
td.value{white-space:nowrap;font-variant-numeric:tabular-nums;font-weight:600}td.meaning{color:#555}\
figure{margin:1.5rem 0}figcaption{color:#555}svg{width:100%;height:auto}.scroll{overflow-x:auto}\
.verdict{display:inline-block;padding:.1rem .7rem;border-radius:1rem;color:#fff;background:#0b6b3a}\
.verdict.bad{background:#a3211b}.note{border-left:4px solid #a3211b;padding:.2rem 1rem;background:#fbeeed}";

/// What is plotted: heading, unit, words, and the value of a line (or of two).
type Curve = (&'static str, fn(&Sample) -> Option<f64>);
struct Plot {
    heading: &'static str,
    unit: &'static str,
    words: &'static str,
    curves: &'static [Curve],
}

const PLOTS: [Plot; 7] = [
    Plot {
        heading: "Viewers",
        unit: "viewers",
        words: "Connected viewers, and those still on their way to a connection.",
        curves: &[
            ("connected", |sample| Some(sample.connected as f64)),
            ("connecting", |sample| Some(sample.connecting as f64)),
            ("failed", |sample| Some(sample.failed as f64)),
        ],
    },
    Plot {
        heading: "Throughput",
        unit: "Mbit/s",
        words: "Media received by all viewers together.",
        curves: &[("received", |sample| Some(sample.mbit_per_second))],
    },
    Plot {
        heading: "Latency",
        unit: "ms",
        words: "From the publisher to the viewers, second by second: half of the packets were faster than p50, 99 of 100 faster than p99.",
        curves: &[
            ("p99", |sample| sample.latency_p99_ms),
            ("p50", |sample| sample.latency_p50_ms),
        ],
    },
    Plot {
        heading: "Loss",
        unit: "%",
        words: "Packets missing at first, and those that were missing for good. What lossy viewers drop on purpose is included.",
        curves: &[
            ("before repair", |sample| Some(sample.loss_before_repair)),
            ("after repair", |sample| Some(sample.loss_after_repair)),
        ],
    },
    Plot {
        heading: "Freezes",
        unit: "freezes/s",
        words: "Gaps of more than 200 ms between complete pictures, over all viewers, counted when they end.",
        curves: &[("freezes", |sample| Some(sample.freezes as f64))],
    },
    Plot {
        heading: "CPU",
        unit: "% of a core",
        words: "The server's process, and the thread of ours that holds all viewers. Near 100 % the latter limits the result.",
        curves: &[
            ("server", |sample| sample.server_cpu),
            ("load generator", |sample| Some(sample.own_cpu)),
        ],
    },
    Plot {
        heading: "Memory",
        unit: "MB",
        words: "Resident memory of the server's process. In a long run it should level out.",
        curves: &[("server", |sample| Some(sample.server_rss_bytes? as f64 / 1e6))],
    },
];

/// A page about runs, each on its own.
pub fn report(outcomes: &[Outcome]) -> String {
    let mut page = begin("Load test");
    page += "<p>Publishers sent streams to a server, and viewers watched them there, all of them made by \
        <code>shibuki-loadtest</code>. This page tells what the viewers got and what it cost the server.</p>";
    if outcomes.len() > 1 {
        page += "<ul>";
        for (index, outcome) in outcomes.iter().enumerate() {
            let _ = write!(
                page,
                "<li><a href=\"#run{index}\">{}</a>: {}</li>",
                escape(&outcome.scenario),
                verdict(outcome)
            );
        }
        page += "</ul>";
    }
    for (index, outcome) in outcomes.iter().enumerate() {
        let _ = write!(page, "<h2 id=\"run{index}\">{}</h2>", escape(&outcome.scenario));
        describe(&mut page, outcome);
        single_table(&mut page, outcome);
        limited::section(&mut page, outcome);
        plots(&mut page, std::slice::from_ref(outcome));
    }
    page + "</body></html>\n"
}

/// A page about the same scenario at several servers; `missing` holds those that could not be measured, and why.
pub fn comparison(outcomes: &[Outcome], missing: &[(String, String)]) -> String {
    let name = outcomes.first().map_or("", |outcome| &outcome.scenario);
    let mut page = begin(&format!("Comparison: {name}"));
    if let Some(outcome) = outcomes.first() {
        let _ = write!(page, "<p>{}.</p>", escape(&outcome.description));
    }
    page += "<p>The same scenario was carried out against each server in turn, by \
        <code>shibuki-loadtest</code> on the same machine.</p>";
    for (server, reason) in missing {
        let _ = write!(
            page,
            "<p class=\"note\">{} could not be measured: {}</p>",
            escape(server),
            escape(reason)
        );
    }
    compared_table(&mut page, outcomes);
    plots(&mut page, outcomes);
    for outcome in outcomes {
        let _ = write!(page, "<h2>{}</h2>", escape(&outcome.server_name));
        describe(&mut page, outcome);
        limited::section(&mut page, outcome);
    }
    page + "</body></html>\n"
}

/// For text between tags and in attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

// Writing to a String cannot fail; the results are dropped for that reason throughout.

fn begin(title: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
        <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\
        <body><h1>{title}</h1>"
    )
}

fn describe(page: &mut String, outcome: &Outcome) {
    let verdict = verdict(outcome);
    let class = if verdict == "holds" {
        "verdict"
    } else {
        "verdict bad"
    };
    let _ = write!(
        page,
        "<p><span class=\"{class}\">{verdict}</span> {}. It ran for {:.0} seconds against <b>{}</b>{}.</p>",
        escape(&outcome.description),
        outcome.seconds,
        escape(&outcome.server_name),
        if outcome.short { ", in its short form" } else { "" },
    );
    if outcome.interrupted {
        *page += "<p class=\"note\">It was ended early.</p>";
    }
    for broken in &outcome.broken {
        let _ = write!(
            page,
            "<p class=\"note\">Broken limit: {}</p>",
            escape(&broken.to_string())
        );
    }
    for objection in &outcome.objections {
        let _ = write!(
            page,
            "<p class=\"note\">The load generator itself was short of something, so this says less about the \
            server: {}.</p>",
            escape(objection)
        );
    }
    if !outcome.totals.failures.is_empty() {
        *page += "<h3>Why viewers failed</h3><ul>";
        for (reason, count) in &outcome.totals.failures {
            let _ = write!(page, "<li>{count} × {}</li>", escape(reason));
        }
        *page += "</ul>";
    }
}

fn single_table(page: &mut String, outcome: &Outcome) {
    *page += "<h3>Figures</h3><table><thead><tr><th>Figure<th>Value<th>What it means</thead><tbody>";
    for Figure { name, value, meaning } in figures(outcome) {
        let _ = write!(
            page,
            "<tr><th scope=\"row\">{name}</th><td class=\"value\">{}</td><td class=\"meaning\">{meaning}</td></tr>",
            escape(&value)
        );
    }
    *page += "</tbody></table>";
}

fn compared_table(page: &mut String, outcomes: &[Outcome]) {
    *page += "<div class=\"scroll\"><table><thead><tr><th>Figure";
    for outcome in outcomes {
        let _ = write!(
            page,
            "<th>{} ({})",
            escape(&outcome.server_name),
            verdict(outcome)
        );
    }
    *page += "<th>What it means</thead><tbody>";
    let all: Vec<Vec<Figure>> = outcomes.iter().map(figures).collect();
    for (row, figure) in all.first().into_iter().flatten().enumerate() {
        let _ = write!(page, "<tr><th scope=\"row\">{}</th>", figure.name);
        for figure in all.iter().filter_map(|figures| figures.get(row)) {
            let _ = write!(page, "<td class=\"value\">{}</td>", escape(&figure.value));
        }
        let _ = write!(page, "<td class=\"meaning\">{}</td></tr>", figure.meaning);
    }
    *page += "</tbody></table></div>";
}

/// One outcome: all curves of a plot. Several: the first curve of each.
fn plots(page: &mut String, outcomes: &[Outcome]) {
    *page += "<h3>Over time</h3>";
    for Plot {
        heading,
        unit,
        words,
        curves,
    } in PLOTS
    {
        let points = |outcome: &Outcome, value: fn(&Sample) -> Option<f64>| -> Vec<(f64, f64)> {
            let points = outcome
                .samples
                .iter()
                .filter_map(|sample| Some((sample.at, value(sample)?)));
            points.collect()
        };
        let lines: Vec<Line<'_>> = match outcomes {
            [outcome] => curves
                .iter()
                .map(|(name, value)| Line {
                    name,
                    points: points(outcome, *value),
                })
                .filter(|line| !line.points.is_empty())
                .collect(),
            several => several
                .iter()
                .zip(curves.iter().take(1).cycle())
                .map(|(outcome, (_, value))| Line {
                    name: &outcome.server_name,
                    points: points(outcome, *value),
                })
                .collect(),
        };
        let shown = match (outcomes.len(), curves) {
            (2.., [(name, _), _, ..]) => format!("{heading} ({name})"),
            _ => heading.to_owned(),
        };
        if let Some(svg) = plot::svg(&format!("{shown} over time. {words}"), unit, &lines) {
            let _ = write!(
                page,
                "<figure><h4>{shown}</h4>{svg}<figcaption>{words}</figcaption></figure>"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(server: &str) -> Outcome {
        let sample = |at: f64| Sample::of(at, &Default::default(), None);
        Outcome {
            scenario: "a <b>".into(),
            description: "c & d".into(),
            server_name: server.into(),
            samples: vec![sample(1.0), sample(2.0)],
            ..Outcome::default()
        }
    }

    #[test]
    fn a_page_stands_alone_and_escapes_what_it_was_given() {
        let page = report(&[outcome("one"), outcome("two")]);
        assert!(page.contains("a &lt;b&gt;") && page.contains("c &amp; d") && !page.contains("a <b>"));
        for outside in ["src=", "@import", "<script", "<link", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.matches("<svg ").count() >= 8);
    }

    #[test]
    fn a_comparison_names_every_server_and_who_is_missing() {
        let page = comparison(
            &[outcome("one"), outcome("two")],
            &[("three".into(), "gone".into())],
        );
        assert!(page.contains("<th>one (holds)") && page.contains("<th>two (holds)"));
        assert!(page.contains("three could not be measured: gone"));
    }
}
