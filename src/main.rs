//! The command: read the configuration, run the server, translate its end into an exit code.
//!
//! 0: told to stop. 1: cannot start. 2: wrong configuration. 70: a worker broke. 130, 143: told twice to stop.
//! What people read on the terminal goes to standard output, the log to standard error.

mod signals;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use shibuki::command;
use shibuki::config::{Config, ConfigError, LogFormat};
use shibuki::http::auth::Right;
use shibuki::server::{Server, ServerConfig, addresses, greeting};
use signals::Signals;
use tracing_subscriber::EnvFilter;

/// HTTP is no work beside media.
const HTTP_THREADS: usize = 2;
/// The server itself needs less; whatever hangs then is not worth waiting for.
const STOP_AT_ONCE_AFTER: Duration = Duration::from_secs(2);

/// EX_SOFTWARE of sysexits.h.
const WORKER_BROKE: u8 = 70;

fn main() -> ExitCode {
    let directory = std::env::current_dir().unwrap_or_default();
    let loaded = Config::load_with_command(std::env::args_os(), std::env::vars_os(), &directory);
    let (config, command) = match loaded {
        Ok(loaded) => loaded,
        Err(ConfigError::Flags(error)) => error.exit(),
        Err(error) => return fail(&error, 2),
    };
    if let Some(command) = command {
        return match command::run(&command, &config) {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error, 2),
        };
    }
    start_log(&config);
    if let Some(file) = &config.file {
        tracing::info!(file = %file.display(), "configuration file read");
    }
    raise_open_files();

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .thread_name("http")
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(config)),
        Err(error) => fail(&error, 1),
    }
}

async fn run(config: Config) -> ExitCode {
    let settings = match ServerConfig::try_from(&config) {
        Ok(settings) => settings,
        Err(error) => return fail(&error, 2),
    };
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(&error, 1),
    };
    let interfaces = addresses::of_interfaces().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot list the network interfaces; announcing --public-ip only");
        Vec::new()
    });
    let mut announced = Vec::new();
    let candidates = |port| {
        let mut media = config.media;
        media.set_port(port);
        announced = addresses::candidates(media, &config.public_ips, &interfaces);
        announced.clone()
    };
    let open = [Right::Publish, Right::Watch].map(|right| settings.api.keys.is_open(right));
    let mut server = match Server::start(settings, candidates).await {
        Ok(server) => server,
        Err(error) => return fail(&error, 1),
    };

    let (http, media) = (server.http_address(), server.media_address());
    tracing::info!(%http, %media, workers = config.workers, candidates = ?announced, "serving");
    warn_if_open(open);
    let needs_key = !open[0];
    if config.log_format == LogFormat::Text {
        println!("{}", greeting::greeting(http, media, &announced, needs_key));
    }

    let code = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal = signal.name(), "stopping; once more to stop at once");
            ExitCode::SUCCESS
        }
        failure = server.failed() => {
            tracing::error!(%failure, "stopping, so that a sound process can take over");
            ExitCode::from(WORKER_BROKE)
        }
    };
    tokio::select! {
        stopped = tokio::time::timeout(STOP_AT_ONCE_AFTER, server.stop()) => match stopped {
            Ok(()) => {
                tracing::info!("stopped");
                code
            }
            // Leaving `main` would wait for whatever hangs.
            Err(_) => {
                tracing::warn!("stopped without waiting any longer");
                std::process::exit(1)
            }
        },
        signal = signals.next() => std::process::exit(signal.exit_code()),
    }
}

/// rtc-dtls warns of every extension that browsers send and it does not know, some twenty lines a join. What the
/// configuration says of it wins.
const QUIET: &str = "rtc_dtls=error";

fn start_log(config: &Config) {
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::new(format!("{QUIET},{}", config.log)))
        .with_ansi(ansi);
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Each HTTP connection is an open file, and many systems start with 1,024.
fn raise_open_files() {
    match rlimit::increase_nofile_limit(1 << 20) {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::debug!(%error, "the limit of open files stays as it is"),
    }
}

fn warn_if_open([publish, watch]: [bool; 2]) {
    let open = match (publish, watch) {
        (true, true) => "publish and watch",
        (true, false) => "publish",
        (false, true) => return tracing::info!("anybody may watch: keys.watch is not set"),
        (false, false) => return,
    };
    tracing::warn!(
        "OPEN SERVER: anybody who reaches it may {open}; set keys.publish and keys.watch to change that"
    );
}

fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("shibuki: {error}");
    ExitCode::from(code)
}
