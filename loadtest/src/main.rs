//! The command: reads its arguments, runs a subcommand, and says by its exit code whether the result stands.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use shibuki_loadtest::cmd::{bench, compare, publish, reference, run, watch};

/// Publishes to and watches any WHIP/WHEP server, and measures what it does
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publish one or many synthetic streams
    Publish(publish::PublishArgs),
    /// Watch with many viewers and measure
    Watch(watch::WatchArgs),
    /// Run scenarios and hold the results against their limits
    Run(run::RunArgs),
    /// Run the same scenario against several servers in turn
    Compare(compare::CompareArgs),
    /// Start a server and measure what forwarding costs it
    Bench(bench::BenchArgs),
    /// A small server of the async webrtc crate, to compare with: one stream, WHIP and WHEP
    Reference(reference::ReferenceArgs),
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error,rtc_dtls=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let result = match Cli::parse().command {
        Command::Publish(args) => publish::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Reference(args) => reference::run(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}
