use std::net::SocketAddr;
use clap::Parser;
use shibuki::server::{Server, ServerConfig};
#[derive(Parser)]
struct Args { #[arg(long, default_value="0.0.0.0:8080")] http: SocketAddr, #[arg(long)] media_port: Option<u16>, #[arg(long, default_value="info")] log: String }
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_env_filter(&args.log).init();
    let media = SocketAddr::from(([0,0,0,0], args.media_port.unwrap_or(args.http.port())));
    let config = ServerConfig { http: args.http, media, workers: 2, control: Default::default(), engine: Default::default(), api: Default::default() };
    let server = Server::start(config, |port| if_addrs::get_if_addrs().unwrap().into_iter().filter(|i| i.ip().is_ipv4()).map(|i| SocketAddr::new(i.ip(), port)).collect()).await?;
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = term.recv() => {} }
    server.stop().await;
    Ok(())
}
