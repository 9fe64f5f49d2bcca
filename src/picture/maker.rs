//! The server's side: a process for each picture, few at once, none for long.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::{COMMAND, Coded, MAX_JPEG, decoder};

/// Processes at once, whoever asks for what.
const AT_ONCE: usize = 2;
/// From the wish to the JPEG: a 4K picture takes 0.2 s.
const TIMEOUT: Duration = Duration::from_secs(2);
/// For a place among those at once.
const WAIT: Duration = Duration::from_secs(1);

/// Makes JPEGs.
#[derive(Debug)]
pub struct Maker {
    program: Option<PathBuf>,
    places: Semaphore,
}

/// Why there is no JPEG.
#[derive(Debug, thiserror::Error)]
pub enum MakerError {
    #[error("this server makes no pictures")]
    Off,
    #[error("as many pictures are made as the server does at once")]
    Busy,
    #[error("the keyframe cannot be decoded")]
    Undecodable,
    #[error("decoding took too long")]
    TooLong,
    #[error("the decoder cannot be started: {0}")]
    Start(std::io::Error),
}

impl Maker {
    /// `program` understands [`COMMAND`]; without one no pictures are made.
    pub fn new(program: Option<PathBuf>) -> Self {
        Self {
            program,
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// The picture, its longer side at most `size` pixels.
    pub async fn jpeg(&self, coded: &Coded, size: u16) -> Result<Bytes, MakerError> {
        let program = self.program.as_ref().ok_or(MakerError::Off)?;
        let place = tokio::time::timeout(WAIT, self.places.acquire()).await;
        let _place = place.ok().and_then(Result::ok).ok_or(MakerError::Busy)?;
        let mut child = Command::new(program)
            .arg(COMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(MakerError::Start)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(MakerError::Undecodable);
        };
        let input = decoder::write(coded, size);
        let exchange = async {
            let feed = async move {
                // A decoder that ends early tells why by its status.
                let _ = stdin.write_all(&input).await;
            };
            let mut jpeg = Vec::new();
            let mut limited = stdout.take(MAX_JPEG as u64 + 1);
            let (read, ()) = tokio::join!(limited.read_to_end(&mut jpeg), feed);
            drop(limited);
            let status = child.wait().await;
            let good = read.is_ok() && status.is_ok_and(|status| status.success());
            (good && is_jpeg(&jpeg)).then(|| Bytes::from(jpeg))
        };
        // Dropped, the process is killed.
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(Some(jpeg)) => Ok(jpeg),
            Ok(None) => Err(MakerError::Undecodable),
            Err(_) => Err(MakerError::TooLong),
        }
    }
}

/// Whatever a decoder that was broken into may write, it is called nothing but a JPEG, and a short one.
fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_JPEG && bytes.starts_with(&[0xff, 0xd8, 0xff]) && bytes.ends_with(&[0xff, 0xd9])
}
