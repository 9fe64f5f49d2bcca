//! `run`: scenarios, each held against its limits.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::measure::process::ServerProcess;
use crate::report::{html, limited};
use crate::scenario::Scenario;
use crate::scenario::outcome::Outcome;
use crate::scenario::run::{self, Target};

#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// Scenario files, run in turn
    #[arg(required = true)]
    scenarios: Vec<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    paths: PathArgs,
    /// The reduced form: a few seconds, a few viewers; our own limits do not make it invalid
    #[arg(long)]
    short: bool,
    /// Write everything as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write a page for people: tables, plots, and what they mean
    #[arg(long)]
    html: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct ServerArgs {
    /// A server that runs: http://host:port
    #[arg(long, value_name = "URL")]
    url_base: Option<String>,
    /// A server's binary, started anew for each scenario with `--http ADDRESS --media-port PORT --log warn`
    #[arg(long, value_name = "BINARY")]
    server: Option<PathBuf>,
}

/// Where a server has its endpoints.
#[derive(Clone, Debug, clap::Args)]
pub struct PathArgs {
    /// Path of the WHIP endpoint, with `{stream}` where the stream's name belongs
    #[arg(long, default_value = "/whip/{stream}")]
    pub whip_path: String,
    /// Path of the WHEP endpoint
    #[arg(long, default_value = "/whep/{stream}")]
    pub whep_path: String,
    /// Bearer token for both
    #[arg(long, env = "SHIBUKI_LOADTEST_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Process of a server that runs, to measure its CPU and memory
    #[arg(long)]
    pub pid: Option<u32>,
}

pub fn run(args: &RunArgs) -> anyhow::Result<bool> {
    let read = |path: &PathBuf| {
        Scenario::read(path, args.short).with_context(|| format!("{} is not a scenario", path.display()))
    };
    // All are read before the first is run: an error in the last should not cost the time of the others.
    let scenarios: Vec<Scenario> = args.scenarios.iter().map(read).collect::<Result<_, _>>()?;
    let mut outcomes = Vec::new();
    for scenario in &scenarios {
        println!("== {}: {}", scenario.name, scenario.description);
        let outcome = carry_out(args, scenario).with_context(|| scenario.name.clone())?;
        print!("{}", summary(&outcome));
        let interrupted = outcome.interrupted;
        outcomes.push(outcome);
        if interrupted {
            break;
        }
    }
    if let Some(path) = &args.json {
        write_json(path, &outcomes)?;
    }
    if let Some(path) = &args.html {
        std::fs::write(path, html::report(&outcomes))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    for outcome in &outcomes {
        let verdict = match (outcome.holds(), outcome.is_valid()) {
            (false, _) => "BROKEN",
            (true, false) => "INVALID",
            (true, true) => "ok",
        };
        println!("{verdict:8} {}", outcome.scenario);
    }
    Ok(outcomes
        .iter()
        .all(|outcome| outcome.holds() && outcome.is_valid()))
}

fn carry_out(args: &RunArgs, scenario: &Scenario) -> anyhow::Result<Outcome> {
    let print = |line: &str| println!("{line}");
    match (&args.server.server, &args.server.url_base) {
        (Some(binary), _) => {
            let mut process = ServerProcess::start(binary)?;
            let target = target("server", &process.url(""), &args.paths, Some(process.pid()));
            let outcome = run::run(scenario, args.short, &target, print);
            if let Some(status) = process.has_ended() {
                anyhow::bail!("the server ended while the scenario ran: {status}");
            }
            outcome
        }
        (None, Some(base)) => {
            let target = target(base, base, &args.paths, args.paths.pid);
            run::run(scenario, args.short, &target, print)
        }
        (None, None) => anyhow::bail!("either --server or --url-base is needed"),
    }
}

pub fn target(name: &str, base: &str, paths: &PathArgs, pid: Option<u32>) -> Target {
    let at = |path: &str| format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'));
    Target {
        name: name.to_owned(),
        whip: at(&paths.whip_path),
        whep: at(&paths.whep_path),
        token: paths.token.clone(),
        pid,
    }
}

fn summary(outcome: &Outcome) -> String {
    let mut text = format!("\n{:.0} s in all\n{}", outcome.seconds, outcome.totals.table());
    if outcome.by_kind.len() > 1 {
        for (kind, totals) in &outcome.by_kind {
            text += &format!(
                "  {} {kind} viewers: loss {:.3} → {:.3} % (video {:.3} %), {} freezes, latency p99 {}\n",
                totals.viewers,
                totals.loss_before_repair,
                totals.loss_after_repair,
                totals.video_loss_after_repair,
                totals.freezes,
                crate::report::table::optional(totals.latency_ms.p99, 2, "ms"),
            );
        }
    }
    if !outcome.limited.is_empty() {
        text += &limited::table(&outcome.limited);
    }
    if let Some(server) = &outcome.server {
        text += &server.table();
    }
    for objection in &outcome.objections {
        text += &format!("INVALID: {objection}\n");
    }
    for broken in &outcome.broken {
        text += &format!("BROKEN LIMIT: {broken}\n");
    }
    text
}

fn write_json(path: &Path, outcomes: &[Outcome]) -> anyhow::Result<()> {
    let json = serde_json::json!({ "version": 1, "outcomes": outcomes });
    std::fs::write(path, serde_json::to_vec_pretty(&json)?)
        .with_context(|| format!("cannot write {}", path.display()))
}
