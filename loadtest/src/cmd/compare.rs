//! `compare`: the same scenario against several servers in turn, side by side.

use std::path::PathBuf;

use anyhow::Context;

use super::run::{PathArgs, target};
use crate::report::figures::{figures, verdict};
use crate::report::{html, table};
use crate::scenario::Scenario;
use crate::scenario::outcome::Outcome;
use crate::scenario::run::{self, Target};

#[derive(Clone, Debug, clap::Args)]
pub struct CompareArgs {
    /// Scenario file
    scenario: PathBuf,
    /// A server that runs, given for each: NAME=URL[,PID][,whip=PATH][,whep=PATH][,token=TOKEN]
    #[arg(long = "server", required = true, value_name = "SERVER", value_parser = server)]
    servers: Vec<Server>,
    /// The reduced form
    #[arg(long)]
    short: bool,
    /// Write everything as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write a page for people
    #[arg(long)]
    html: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    name: String,
    base: String,
    pid: Option<u32>,
    whip: String,
    whep: String,
    token: Option<String>,
}

/// True when every server was measured, validly; whether it keeps the limits is for the reader.
pub fn run(args: &CompareArgs) -> anyhow::Result<bool> {
    let scenario = Scenario::read(&args.scenario, args.short)
        .with_context(|| format!("{} is not a scenario", args.scenario.display()))?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut missing = Vec::new();
    for server in &args.servers {
        println!("== {}", server.name);
        match run::run(&scenario, args.short, &server.target(), |line| println!("{line}")) {
            Ok(outcome) => {
                let interrupted = outcome.interrupted;
                outcomes.push(outcome);
                if interrupted {
                    break;
                }
            }
            Err(error) => {
                println!("not measured: {error:#}");
                missing.push((server.name.clone(), format!("{error:#}")));
            }
        }
    }
    println!(
        "\n{}: {}\n{}",
        scenario.name,
        scenario.description,
        text(&outcomes)
    );
    let write = |path: &PathBuf, content: Vec<u8>| {
        std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &args.json {
        let missing: Vec<_> = missing
            .iter()
            .map(|(server, reason)| serde_json::json!({ "server_name": server, "reason": reason }))
            .collect();
        let json = serde_json::json!({ "version": 1, "outcomes": outcomes, "missing": missing });
        write(path, serde_json::to_vec_pretty(&json)?)?;
    }
    if let Some(path) = &args.html {
        write(path, html::comparison(&outcomes, &missing).into_bytes())?;
    }
    Ok(missing.is_empty() && outcomes.iter().all(Outcome::is_valid))
}

fn text(outcomes: &[Outcome]) -> String {
    let mut rows = vec![
        std::iter::once(String::new())
            .chain(outcomes.iter().map(|outcome| outcome.server_name.clone()))
            .collect(),
        std::iter::once("Limits".to_owned())
            .chain(outcomes.iter().map(|outcome| verdict(outcome).to_owned()))
            .collect::<Vec<String>>(),
    ];
    let all: Vec<_> = outcomes.iter().map(figures).collect();
    for (index, figure) in all.first().into_iter().flatten().enumerate() {
        let values = all
            .iter()
            .filter_map(|figures| Some(figures.get(index)?.value.clone()));
        rows.push(std::iter::once(figure.name.to_owned()).chain(values).collect());
    }
    table::columns(&rows)
}

impl Server {
    fn target(&self) -> Target {
        let paths = PathArgs {
            whip_path: self.whip.clone(),
            whep_path: self.whep.clone(),
            token: self.token.clone(),
            pid: None,
        };
        target(&self.name, &self.base, &paths, self.pid)
    }
}

fn server(text: &str) -> Result<Server, String> {
    let wanted = "NAME=URL[,PID][,whip=PATH][,whep=PATH][,token=TOKEN]";
    let (name, rest) = text.split_once('=').ok_or(wanted)?;
    let mut parts = rest.split(',');
    let base = parts.next().filter(|base| !base.is_empty()).ok_or(wanted)?;
    let mut server = Server {
        name: name.to_owned(),
        base: base.to_owned(),
        pid: None,
        whip: "/whip/{stream}".to_owned(),
        whep: "/whep/{stream}".to_owned(),
        token: None,
    };
    for part in parts {
        match part.split_once('=') {
            Some(("whip", path)) => server.whip = path.to_owned(),
            Some(("whep", path)) => server.whep = path.to_owned(),
            Some(("token", token)) => server.token = Some(token.to_owned()),
            Some(_) => return Err(format!("{part} is unknown; {wanted}")),
            None => {
                server.pid = Some(
                    part.parse()
                        .map_err(|_| format!("{part} is no process id; {wanted}"))?,
                )
            }
        }
    }
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        let read =
            server("mtx=http://127.0.0.1:8889,77,whip=/{stream}/whip,whep=/{stream}/whep").expect("a server");
        assert_eq!((read.name.as_str(), read.pid), ("mtx", Some(77)));
        assert_eq!(read.target().whip, "http://127.0.0.1:8889/{stream}/whip");
        assert_eq!(server("a=http://b").map(|server| server.pid), Ok(None));
        for wrong in ["a", "a=", "a=http://b,x", "a=http://b,colour=red"] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
    }
}
