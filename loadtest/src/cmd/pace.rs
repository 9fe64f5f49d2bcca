//! Waiting for the next second, the end of the time given, or Ctrl-C.

use std::time::{Duration, Instant};

use crate::driver::clock;

pub struct Pace {
    runtime: tokio::runtime::Runtime,
    start: Instant,
    end: Option<Instant>,
    next: Instant,
    step: Duration,
}

/// Why waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// A step is over.
    Step,
    /// The time is up, or Ctrl-C came.
    Over,
}

impl Pace {
    /// `duration` of None goes on until Ctrl-C.
    pub fn start(step: Duration, duration: Option<Duration>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let start = clock::now().instant;
        Ok(Self {
            runtime,
            start,
            end: duration.map(|duration| start + duration),
            next: start + step,
            step,
        })
    }

    pub fn elapsed(&self) -> Duration {
        clock::now().instant.saturating_duration_since(self.start)
    }

    /// Waits for the next step.
    pub fn wait(&mut self) -> Beat {
        let until = self.end.map_or(self.next, |end| end.min(self.next));
        let over = self.end.is_some_and(|end| end <= self.next);
        self.next += self.step;
        let interrupted = self.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => false,
                _ = tokio::signal::ctrl_c() => true,
            }
        });
        if over || interrupted {
            Beat::Over
        } else {
            Beat::Step
        }
    }
}

/// For a server to listen, a publisher to connect, all viewers to be served: each.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until `met`; `otherwise` is the error when it takes too long.
pub fn until(otherwise: &str, mut met: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = clock::now().instant + PATIENCE;
    while !met()? {
        anyhow::ensure!(
            clock::now().instant < deadline,
            "{otherwise} within {} s",
            PATIENCE.as_secs()
        );
        rest(Duration::from_millis(50));
    }
    Ok(())
}

pub fn rest(time: Duration) {
    let end = clock::now().instant + time;
    while let Some(left) = end
        .checked_duration_since(clock::now().instant)
        .filter(|left| !left.is_zero())
    {
        std::thread::park_timeout(left);
    }
}
