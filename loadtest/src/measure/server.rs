//! CPU time, memory and threads of the server process, from `/proc`.

use std::fs;

/// `USER_HZ`, which `/proc/PID/stat` counts in; 100 on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct ServerUse {
    /// User and system time since the process began, ended threads included.
    pub cpu_seconds: f64,
    pub rss_bytes: u64,
    pub threads: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("no process {pid} to measure: {reason}")]
pub struct NoProcess {
    pid: u32,
    reason: String,
}

impl ServerUse {
    pub fn read(pid: u32) -> Result<Self, NoProcess> {
        let lacking = |reason: String| NoProcess { pid, reason };
        let read = |name: &str| {
            fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(|error| lacking(error.to_string()))
        };
        let stat = read("stat")?;
        let status = read("status")?;
        Self::parse(&stat, &status).ok_or_else(|| lacking("/proc reads unexpectedly".to_owned()))
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The second field is the name in parentheses, which may hold anything (proc(5)).
        let after_name = stat.rsplit_once(')')?.1;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // utime is field 14, counted from 1; the list begins with field 3.
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let value = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()?.parse().ok()
        };
        Some(Self {
            cpu_seconds: ticks as f64 / TICKS_PER_SECOND,
            rss_bytes: value("VmRSS:").unwrap_or(0) * 1024,
            threads: value("Threads:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_process_name_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        let status = "Name:\ta\nVmRSS:\t  2048 kB\nThreads:\t3\n";
        let expected = ServerUse {
            cpu_seconds: 2.0,
            rss_bytes: 2048 * 1024,
            threads: 3,
        };
        assert_eq!(ServerUse::parse(stat, status), Some(expected));
    }

    #[test]
    fn our_own_process_can_be_read() {
        let own = ServerUse::read(std::process::id()).expect("we are running");
        assert!(own.rss_bytes > 0 && own.threads > 0);
    }
}
