//! The server: as a process of its own, or inside the test's.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shibuki::control::ControlConfig;
use shibuki::server::{Server, ServerConfig};
use shibuki::webhooks::WebhookSettings;

use super::{DEADLINE, now};

/// Both addresses of a running server.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub http: SocketAddr,
    pub media: SocketAddr,
}

/// The real binary.
pub struct Process {
    child: Child,
    pub at: Addresses,
    log: PathBuf,
}

/// What a process has used up to now.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Bytes.
    pub resident: usize,
    pub cpu: Duration,
}

impl Process {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(flags: &[&str]) -> Self {
        // The port is free when chosen; another test may take it before the server does.
        for _ in 0..10 {
            if let Some(process) = Self::try_start(flags) {
                return process;
            }
        }
        panic!("the server does not start");
    }

    fn try_start(flags: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("server-{}-{count}.log", std::process::id()));
        let port = free_port()?;
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stderr = File::create(&log).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_shibuki"))
            .args([
                "--http",
                &address(port).to_string(),
                "--media-port",
                &port.to_string(),
            ])
            .args(["--log", "warn"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(stderr.try_clone().unwrap())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let end = now() + DEADLINE;
        // Its own word, not that somebody answers at the port: that could be another test's server.
        let is_up = || fs::read_to_string(&log).is_ok_and(|text| text.contains(" is up."));
        while !is_up() {
            if child.try_wait().unwrap().is_some() || now() > end {
                let _ = child.kill();
                let _ = child.wait();
                eprintln!("{}", fs::read_to_string(&log).unwrap_or_default());
                return None;
            }
            std::thread::yield_now();
        }
        Some(Self {
            child,
            at: Addresses {
                http: address(port),
                media: address(port),
            },
            log,
        })
    }

    pub fn usage(&self) -> Usage {
        usage(&self.child.id().to_string())
    }

    /// The process runs and no thread of it has panicked.
    #[track_caller]
    pub fn is_sound(&mut self) {
        let log = fs::read_to_string(&self.log).unwrap();
        let exited = self.child.try_wait().unwrap();
        assert!(exited.is_none(), "the server ended with {exited:?}:\n{log}");
        assert!(!log.contains("panicked"), "{log}");
    }

    /// Sends `TERM`, `INT`…
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &command])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Its status, once it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// Of a process by its id, or of `self`.
pub fn usage(process: &str) -> Usage {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let resident = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<usize>()
            .ok()
    });
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; `utime` and `stime` are the 12th and 13th field after it, in
    // hundredths of a second on every Linux.
    let ticks: Vec<u64> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| {
            rest.split(' ')
                .skip(11)
                .take(2)
                .filter_map(|field| field.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    Usage {
        resident: resident.expect("the process runs") * 1024,
        cpu: Duration::from_millis(ticks.iter().sum::<u64>() * 10),
    }
}

/// One number that is free for TCP and for UDP.
fn free_port() -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    let port = listener.local_addr().ok()?.port();
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).ok().map(|_| port)
}

/// A server inside the test's process, for settings that no flag has.
pub async fn in_process(control: ControlConfig) -> (Server, Addresses) {
    in_process_with(control, WebhookSettings::default()).await
}

pub async fn in_process_with(control: ControlConfig, webhooks: WebhookSettings) -> (Server, Addresses) {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = ServerConfig {
        http: loopback,
        media: loopback,
        workers: 2,
        control,
        engine: Default::default(),
        api: Default::default(),
        webhooks,
    };
    let candidates = |port| vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
    let server = Server::start(config, candidates).await.unwrap();
    let at = Addresses {
        http: server.http_address(),
        media: server.media_address(),
    };
    (server, at)
}
