//! A server process of ours on free ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use crate::cmd::pace::until;

/// Started with `--http ADDRESS --media-port PORT --log warn`, as shibuki understands it; killed when dropped.
pub struct ServerProcess {
    process: Child,
    http: SocketAddr,
}

impl ServerProcess {
    /// Waits until it listens.
    pub fn start(binary: &Path) -> anyhow::Result<Self> {
        let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let media = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port();
        let process = Command::new(binary)
            .args([
                "--http",
                &http.to_string(),
                "--media-port",
                &media.to_string(),
                "--log",
                "warn",
            ])
            .stdin(Stdio::null())
            // Its greeting is for people.
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut server = Self { process, http };
        until("the server does not listen", || {
            if let Some(status) = server.process.try_wait()? {
                anyhow::bail!("the server ended at once: {status}");
            }
            Ok(TcpStream::connect(http).is_ok())
        })?;
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Whether it still runs; a server that died is a finding of its own.
    pub fn has_ended(&mut self) -> Option<String> {
        let status = self.process.try_wait().ok().flatten()?;
        Some(status.to_string())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
