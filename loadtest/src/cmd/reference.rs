//! `reference`: the small server of the async `webrtc` crate, by itself.

use std::net::SocketAddr;
use std::time::Duration;

use super::pace::{Beat, Pace};
use crate::reference::ReferenceServer;

#[derive(Clone, Debug, clap::Args)]
pub struct ReferenceArgs {
    /// Where it listens; media takes free ports of the loopback interface
    #[arg(long, default_value = "127.0.0.1:8090")]
    http: SocketAddr,
}

/// Serves until Ctrl-C.
pub fn run(args: &ReferenceArgs) -> anyhow::Result<bool> {
    let server = ReferenceServer::start_at(args.http)?;
    println!("{} and {}", server.url("whip"), server.url("whep"));
    let mut pace = Pace::start(Duration::from_secs(3600), None)?;
    while pace.wait() == Beat::Step {}
    Ok(true)
}
