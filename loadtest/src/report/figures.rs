//! The figures of a scenario's outcome, each with words that explain it.

use super::table::optional;
use crate::client::behaviour::Kind;
use crate::scenario::outcome::Outcome;

pub struct Figure {
    pub name: &'static str,
    pub value: String,
    pub meaning: &'static str,
}

/// The same figures in the same order for every outcome.
pub fn figures(outcome: &Outcome) -> Vec<Figure> {
    let all = &outcome.totals;
    let well = outcome.of_kind(Kind::Well).unwrap_or(all);
    let server = outcome.server.as_ref();
    let ending = outcome.ending;
    let figure = |name, value, meaning| Figure { name, value, meaning };
    vec![
        figure(
            "Viewers",
            format!("{} came, {} failed", all.viewers, all.failed),
            "How many asked to watch, and how many of them never got a connection or lost it.",
        ),
        figure(
            "Never served",
            format!("{} of {}", ending.unserved, ending.due),
            "Of those who were there for three seconds or longer: viewers that never saw a picture.",
        ),
        figure(
            "Without picture at the end",
            format!("{} of {}", ending.dark, ending.lit + ending.dark),
            "Viewers still connected to whom nothing new came in the last two seconds.",
        ),
        figure(
            "First packet, median",
            optional(all.first_packet_ms.p50, 1, "ms"),
            "From the request to watch to the first packet of media: connecting takes this long.",
        ),
        figure(
            "First picture, median",
            optional(all.first_keyframe_ms.p50, 1, "ms"),
            "From the request to watch to the first complete keyframe, which is when a player can show something.",
        ),
        figure(
            "First picture, slowest 1 %",
            optional(all.first_keyframe_ms.p99, 1, "ms"),
            "99 of 100 viewers waited for less than this.",
        ),
        figure(
            "Received",
            format!("{:.1} Mbit/s", all.bits_per_second / 1e6),
            "By all viewers together, averaged over the run.",
        ),
        figure(
            "Loss before repair",
            format!("{:.3} %", well.loss_before_repair),
            "Packets that did not come at first, to viewers with a good line. Loss here happens on the way from the server or inside it.",
        ),
        figure(
            "Loss after repair",
            format!("{:.3} %", well.loss_after_repair),
            "Packets that had not come a second later either, though asked for. Each spoils a picture and those built on it.",
        ),
        figure(
            "Loss after repair, lossy viewers",
            optional(
                outcome
                    .of_kind(Kind::Lossy)
                    .map(|lossy| lossy.video_loss_after_repair),
                3,
                "%",
            ),
            "The same for the video of viewers that lose packets on purpose: how well the server repairs. A dash: there were none.",
        ),
        figure(
            "Freezes per viewer",
            format!("{:.3}", well.freezes as f64 / well.viewers.max(1) as f64),
            "Gaps of more than 200 ms between complete pictures, of viewers with a good line.",
        ),
        figure(
            "Time frozen",
            format!("{:.3} %", well.freeze_ms as f64 / well.lived_ms.max(1.0) * 100.0),
            "The share of their time that these viewers spent in such gaps.",
        ),
        figure(
            "Latency, median",
            optional(well.latency_ms.p50, 2, "ms"),
            "From the moment a frame is ready at the publisher to a packet's arrival at the viewer, network and server together. Only synthetic streams carry the time.",
        ),
        figure(
            "Latency, slowest 1 %",
            optional(well.latency_ms.p99, 2, "ms"),
            "99 of 100 packets were faster.",
        ),
        figure(
            "Latency, slowest 0.1 %",
            optional(well.latency_ms.p999, 2, "ms"),
            "999 of 1000 packets were faster.",
        ),
        figure(
            "Server CPU per packet",
            optional(server.and_then(|server| server.cpu_us_per_packet), 2, "µs"),
            "CPU time of the server's process divided by the packets viewers received; joins, encryption and the kernel's part included.",
        ),
        figure(
            "Server CPU",
            optional(server.map(|server| server.cpu_share * 100.0), 0, "% of a core"),
            "Averaged over the run.",
        ),
        figure(
            "Server memory per viewer",
            optional(
                server.and_then(|server| Some(server.bytes_per_viewer? / 1024.0)),
                0,
                "KB",
            ),
            "What the process grew by since before the first viewer, divided by the viewers connected at the end.",
        ),
        figure(
            "Publishers lost",
            outcome.failed_publishers.to_string(),
            "Streams whose publisher was not connected at the end.",
        ),
        figure(
            "Load generator's CPU",
            format!("{:.0} % of a core", all.own.cpu_share * 100.0),
            "What the viewers cost us. Above 85 % the result says more about the load generator than about the server.",
        ),
    ]
}

/// In one or two words.
pub fn verdict(outcome: &Outcome) -> &'static str {
    match (outcome.holds(), outcome.is_valid()) {
        (false, _) => "limits broken",
        (true, false) => "invalid",
        (true, true) => "holds",
    }
}
