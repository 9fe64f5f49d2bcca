//! `shibuki doctor`: whether this machine can do what the configuration asks of it, and what to change.
//!
//! - [`loopback`]: a session from this machine to itself.

mod loopback;

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use super::CommandError;
use crate::config::Config;
use crate::http::Keys;
use crate::server::{Server, ServerConfig, addresses};
use crate::worker;

/// Open files below this limit few hundred viewers.
const FEW_FILES: u64 = 16_384;
/// 2026-01-01: a clock before it was never set.
const CLOCK_FLOOR: Duration = Duration::from_secs(1_767_225_600);

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Good,
    /// It works, but not for everybody or not well.
    Doubtful,
    Bad,
}

/// What was found, ready to print.
#[derive(Default)]
struct Findings {
    text: String,
    worst: Option<Grade>,
}

impl Findings {
    fn add(&mut self, grade: Grade, what: &str, found: impl AsRef<str>) {
        let mark = match grade {
            Grade::Good => "ok  ",
            Grade::Doubtful => "hint",
            Grade::Bad => "FAIL",
        };
        let _ = writeln!(self.text, "{mark}  {what:<16}{}", found.as_ref());
        self.worst = self.worst.max(Some(grade));
    }
}

/// The report; an error where something will not work.
pub(super) fn run(config: &Config) -> Result<String, CommandError> {
    let settings = ServerConfig::try_from(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)?;
    let mut findings = Findings::default();
    findings.add(Grade::Good, "configuration", "can be carried out");
    ports(config, &mut findings);
    let candidates = reachable(config, &mut findings);
    clock(&mut findings);
    buffers(&mut findings);
    files(&mut findings);
    segmentation(&mut findings);
    runtime.block_on(session(settings, &candidates, &mut findings));
    match findings.worst {
        Some(Grade::Bad) => Err(CommandError::Doctor(findings.text)),
        _ => Ok(findings.text),
    }
}

fn ports(config: &Config, findings: &mut Findings) {
    let taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let mut judge = |what: &str, address: SocketAddr, outcome: io::Result<()>| match outcome {
        Ok(()) => findings.add(Grade::Good, what, format!("{address} is free")),
        Err(error) if taken(&error) => findings.add(
            Grade::Doubtful,
            what,
            format!("{address} is taken: by a running shibuki, or stop what has it, or choose another"),
        ),
        Err(error) => findings.add(Grade::Bad, what, format!("{address}: {error}")),
    };
    judge(
        "HTTP port",
        config.http,
        std::net::TcpListener::bind(config.http).map(drop),
    );
    judge(
        "media port",
        config.media,
        worker::bind(config.media, 1).map(drop),
    );
}

fn reachable(config: &Config, findings: &mut Findings) -> Vec<SocketAddr> {
    let interfaces = addresses::of_interfaces().unwrap_or_default();
    let candidates = addresses::candidates(config.media, &config.public_ips, &interfaces);
    let list: Vec<String> = candidates
        .iter()
        .map(|address| address.ip().to_string())
        .collect();
    let list = list.join(", ");
    let public = |address: &SocketAddr| match address.ip() {
        IpAddr::V4(v4) => !(v4.is_private() || v4.is_loopback() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    };
    if candidates.is_empty() {
        findings.add(
            Grade::Bad,
            "addresses",
            "none: no client can send media here; set --public-ip",
        );
    } else if candidates.iter().any(public) {
        findings.add(Grade::Good, "addresses", list);
    } else {
        let advice = "only this machine and its own network reach them; behind NAT set --public-ip";
        findings.add(Grade::Doubtful, "addresses", format!("{list}: {advice}"));
    }
    candidates
}

fn clock(findings: &mut Findings) {
    #[expect(clippy::disallowed_methods, reason = "the clock itself is looked at")]
    let now = SystemTime::now();
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let shown = humantime::format_rfc3339_seconds(now).to_string();
    if since_1970 < CLOCK_FLOOR {
        let advice = "signed keys and sender reports need the right time: set up NTP";
        return findings.add(Grade::Bad, "clock", format!("{shown}: {advice}"));
    }
    // Made by systemd-timesyncd once it is in step; others keep time without telling.
    let in_step = std::path::Path::new("/run/systemd/timesync/synchronized").exists();
    let found = if in_step {
        "in step with a time server"
    } else {
        "plausible; whether NTP keeps it cannot be seen"
    };
    findings.add(Grade::Good, "clock", format!("{shown}, {found}"));
}

fn buffers(findings: &mut Findings) {
    match worker::granted_buffers() {
        Ok((granted, wanted)) if granted >= wanted => {
            findings.add(Grade::Good, "UDP buffers", format!("{} KiB", granted / 1024));
        }
        Ok((granted, wanted)) => findings.add(
            Grade::Doubtful,
            "UDP buffers",
            format!(
                "{} KiB of {} KiB: for many viewers `sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}`",
                granted / 1024,
                wanted / 1024
            ),
        ),
        Err(error) => findings.add(Grade::Bad, "UDP buffers", error.to_string()),
    }
}

fn files(findings: &mut Findings) {
    match rlimit::Resource::NOFILE.get_hard() {
        Ok(hard) if hard >= FEW_FILES => findings.add(Grade::Good, "open files", format!("up to {hard}")),
        Ok(hard) => findings.add(
            Grade::Doubtful,
            "open files",
            format!("up to {hard}: each HTTP connection is one; raise `ulimit -n` or LimitNOFILE"),
        ),
        Err(error) => findings.add(Grade::Doubtful, "open files", error.to_string()),
    }
}

fn segmentation(findings: &mut Findings) {
    match worker::max_segments() {
        Ok(1) => findings.add(
            Grade::Doubtful,
            "UDP GSO",
            "not there: each packet is a system call of its own, at about twice the cost (Linux 4.18 and newer has it)",
        ),
        Ok(count) => findings.add(Grade::Good, "UDP GSO", format!("up to {count} packets in one system call")),
        Err(error) => findings.add(Grade::Doubtful, "UDP GSO", error.to_string()),
    }
}

/// Against a server of its own on free ports, so that neither keys nor a running server are in the way.
async fn session(mut settings: ServerConfig, candidates: &[SocketAddr], findings: &mut Findings) {
    settings.http = (Ipv4Addr::LOCALHOST, 0).into();
    settings.media.set_port(0);
    settings.workers = 1;
    settings.api.keys = Keys::default().into();
    let announced = candidates.to_vec();
    let with_port = move |port| {
        let mut announced = announced;
        announced.iter_mut().for_each(|address| address.set_port(port));
        announced
    };
    let server = match Server::start(settings, with_port).await {
        Ok(server) => server,
        Err(error) => return findings.add(Grade::Bad, "session", error.to_string()),
    };
    let http = server.http_address();
    // From each address of this machine that is announced: what a client on that network would see at least.
    let mut locals: Vec<IpAddr> = candidates.iter().map(|address| address.ip()).collect();
    locals.retain(|ip| std::net::UdpSocket::bind((*ip, 0)).is_ok());
    if locals.is_empty() {
        locals.push(Ipv4Addr::LOCALHOST.into());
    }
    for local in locals {
        match loopback::session(http, local).await {
            Ok(took) => findings.add(
                Grade::Good,
                "session",
                format!("from {local}: connected in {} ms", took.as_millis()),
            ),
            Err(why) => findings.add(
                Grade::Bad,
                "session",
                format!("from {local}: {why}; a firewall on UDP?"),
            ),
        }
    }
    server.stop().await;
}
