//! Viewers on limited lines, one by one: as text for a terminal, and as a part of the page.

use std::fmt::Write;

use super::html::escape;
use super::plot::{self, Line};
use super::table;
use crate::scenario::limited::Limited;
use crate::scenario::outcome::Outcome;

const HEADS: [&str; 9] = [
    "Line",
    "Best layer that fits",
    "Got at the end",
    "Of that",
    "Layers, worst first",
    "Switches",
    "Freezes",
    "Latency p50 / p99",
    "Audio lost",
];
/// More curves than this cannot be told apart.
const MAX_LINES: usize = 12;

pub fn table(limited: &[Limited]) -> String {
    let rows: Vec<Vec<String>> = std::iter::once(HEADS.map(str::to_owned).into())
        .chain(limited.iter().map(cells))
        .collect();
    table::columns(&rows)
}

fn cells(limited: &Limited) -> Vec<String> {
    let wanted = match limited.wanted_kbit {
        Some(0.0) => "audio alone".to_owned(),
        wanted => table::optional(wanted, 0, "kbit/s"),
    };
    let packets: u64 = limited.layers.iter().sum();
    let layers = limited.layers.iter();
    let layers = layers.map(|count| format!("{:.0} %", *count as f64 * 100.0 / packets.max(1) as f64));
    vec![
        limited.link.clone(),
        wanted,
        format!("{:.0} kbit/s", limited.got_kbit),
        table::optional(limited.share, 0, "%"),
        layers.collect::<Vec<_>>().join(", "),
        limited.layer_switches.to_string(),
        format!("{} ({:.1} %)", limited.freezes, limited.frozen),
        format!(
            "{} / {}",
            table::optional(limited.latency_p50_ms, 0, "ms"),
            table::optional(limited.latency_p99_ms, 0, "ms")
        ),
        format!("{:.1} %", limited.audio_loss),
    ]
}

/// Nothing when there are none. Writing to a String cannot fail; the results are dropped for that reason.
pub fn section(page: &mut String, outcome: &Outcome) {
    if outcome.limited.is_empty() {
        return;
    }
    *page += "<h3>Viewers on limited lines</h3><p>Each of these viewers receives through a line that is \
        emulated in front of it: a rate, a delay, random loss, and a queue in which packets wait before they are dropped. \
        The server has to find out what fits. What a viewer got at the end is video that a player could show, the \
        mean of the last third of its time; the time in brackets was spent frozen.</p><div class=\"scroll\"><table><thead><tr>";
    for head in HEADS {
        let _ = write!(page, "<th>{head}");
    }
    *page += "</thead><tbody>";
    for limited in &outcome.limited {
        *page += "<tr>";
        for (index, cell) in cells(limited).iter().enumerate() {
            let class = if index == 0 { "" } else { " class=\"value\"" };
            let _ = write!(page, "<td{class}>{}</td>", escape(cell));
        }
        *page += "</tr>";
    }
    *page += "</tbody></table></div>";
    let lines = outcome.limited.iter().take(MAX_LINES).map(|limited| {
        let seconds = limited.video_kbit.split_last().map_or(&[][..], |(_, over)| over);
        let points = seconds.iter().enumerate();
        Line {
            name: limited.link.split([',', ';']).next().unwrap_or_default(),
            points: points
                .map(|(second, kbit)| (second as f64 + 1.0, f64::from(*kbit)))
                .collect(),
        }
    });
    let words = "Video that each of them could show, second by second.";
    if let Some(svg) = plot::svg(words, "kbit/s", &lines.collect::<Vec<_>>()) {
        let _ = write!(
            page,
            "<figure><h4>Received on limited lines</h4>{svg}<figcaption>{words}</figcaption></figure>"
        );
    }
}
