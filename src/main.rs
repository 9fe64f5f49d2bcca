//! The command: read the configuration, run the server, translate its end into an exit code.
//!
//! 0: told to stop. 1: cannot start. 2: wrong configuration. 70: a worker broke. 130, 143: told twice to stop.
//! What people read on the terminal goes to standard output, the log to standard error.

mod signals;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use shibuki::command;
use shibuki::config::{Command, Config, ConfigError, LogFormat};
use shibuki::http::auth::Right;
use shibuki::http::{self, Reloaded};
use shibuki::picture;
use shibuki::server::{Server, ServerConfig, addresses, greeting, settings};
use shibuki::traces::Traces;
use signals::Signals;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

/// HTTP is no work beside media.
const HTTP_THREADS: usize = 2;
/// The server itself needs less; whatever hangs then is not worth waiting for.
const STOP_AT_ONCE_AFTER: Duration = Duration::from_secs(2);

/// EX_SOFTWARE of sysexits.h.
const WORKER_BROKE: u8 = 70;

fn main() -> ExitCode {
    // Before anything else is read: a decoder knows no configuration.
    if std::env::args_os().skip(1).eq([picture::COMMAND]) {
        return picture::decoder::run();
    }
    let (config, command) = match load() {
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
    let filter = start_log(&config);
    if let Some(file) = &config.file {
        tracing::info!(file = %file.display(), "configuration file read");
    }
    raise_open_files();

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .thread_name("http")
        .enable_all()
        .build();
    let traces = match config.otlp_endpoint.as_deref().map(Traces::new).transpose() {
        Ok(traces) => traces,
        Err(error) => return fail(&error, 2),
    };
    let code = match runtime {
        Ok(runtime) => runtime.block_on(run(config, filter, traces.clone())),
        Err(error) => return fail(&error, 1),
    };
    if let Some(traces) = traces {
        traces.stop();
    }
    code
}

/// Reads the configuration again. What is wrong changes nothing: a running server is worth more than a new setting.
fn reload(server: &Server, config: &mut Config, filter: &LogFilter) -> Result<Reloaded, String> {
    let read = load().map_err(|error| error.to_string()).and_then(|(new, _)| {
        server.reload(&new).map_err(|error| error.to_string())?;
        Ok(new)
    });
    let new = read.inspect_err(|error| tracing::error!(%error, "the configuration stays as it was"))?;
    if new.log != config.log
        && let Err(error) = filter.reload(log_filter(&new))
    {
        tracing::error!(%error, "the log stays as it was");
    }
    let reloaded = Reloaded {
        changed: settings::changed(config, &new),
        needs_restart: settings::needs_restart(config, &new),
    };
    let changed = reloaded.changed.join(", ");
    if reloaded.needs_restart.is_empty() {
        tracing::info!(changed, "configuration read again");
    } else {
        tracing::warn!(
            changed,
            keys = reloaded.needs_restart.join(", "),
            "configuration read again; these count only after a restart"
        );
    }
    // What waits for a restart is told each time, until it happens.
    let old = std::mem::replace(config, new);
    settings::keep_until_restart(config, old);
    Ok(reloaded)
}

/// From what the process was started with: also later, when the file or nothing of it has changed.
fn load() -> Result<(Config, Option<Command>), ConfigError> {
    let directory = std::env::current_dir().unwrap_or_default();
    Config::load_with_command(std::env::args_os(), std::env::vars_os(), &directory)
}

async fn run(mut config: Config, filter: LogFilter, traces: Option<Traces>) -> ExitCode {
    let mut settings = match ServerConfig::try_from(&config) {
        Ok(settings) => settings,
        Err(error) => return fail(&error, 2),
    };
    let (reloader, mut reloads) = http::reloads();
    settings.api.reloader = Some(reloader);
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
    let open = [Right::Publish, Right::Watch].map(|right| settings.api.keys.load().is_open(right));
    let mut server = match Server::start(settings, candidates).await {
        Ok(server) => server,
        Err(error) => return fail(&error, 1),
    };

    if let Some(traces) = traces {
        server.control().trace_joins(move |join| traces.join(join));
    }
    let (http, media) = (server.http_address(), server.media_address());
    tracing::info!(%http, %media, workers = config.workers, candidates = ?announced, "serving");
    warn_if_open(open);
    let needs_key = !open[0];
    if config.log_format == LogFormat::Text {
        println!("{}", greeting::greeting(http, media, &announced, needs_key));
    }

    let at_terminal = std::io::stderr().is_terminal();
    let code = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Some(signal) => {
                    tracing::info!(signal = signal.name(), "stopping; once more to stop at once");
                    break ExitCode::SUCCESS;
                }
                // The same signal comes when the terminal's window is closed, and then nobody could stop it any more.
                None if at_terminal && !std::io::stderr().is_terminal() => break ExitCode::SUCCESS,
                // It is logged.
                None => {
                    let _ = reload(&server, &mut config, &filter);
                }
            },
            // This end keeps none of the others, but the server does.
            Some(wish) = reloads.recv() => {
                // Whoever asked may be gone.
                let _ = wish.send(reload(&server, &mut config, &filter));
            }
            failure = server.failed() => {
                tracing::error!(%failure, "stopping, so that a sound process can take over");
                break ExitCode::from(WORKER_BROKE);
            }
        }
    };
    stop(server, signals, code).await
}

/// Says goodbye to everybody, within bounds, and at once when told so again.
async fn stop(server: Server, mut signals: Signals, code: ExitCode) -> ExitCode {
    let again = async {
        loop {
            if let Some(signal) = signals.next().await {
                return signal;
            }
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
        signal = again => std::process::exit(signal.exit_code()),
    }
}

/// rtc-dtls warns of every extension that browsers send and it does not know, some twenty lines a join. What the
/// configuration says of it wins.
const QUIET: &str = "rtc_dtls=error";

type LogFilter = tracing_subscriber::reload::Handle<EnvFilter, Registry>;

fn log_filter(config: &Config) -> EnvFilter {
    EnvFilter::new(format!("{QUIET},{}", config.log))
}

/// The handle changes what is logged from then on.
fn start_log(config: &Config) -> LogFilter {
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let (filter, handle) = tracing_subscriber::reload::Layer::new(log_filter(config));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(ansi);
    let registry = Registry::default().with(filter);
    match config.log_format {
        LogFormat::Text => registry.with(lines).init(),
        LogFormat::Json => registry.with(lines.json()).init(),
    }
    handle
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
