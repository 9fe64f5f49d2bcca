//! Our own use of the machine, and the verdict whether we, not the server, limited a result.

use std::collections::HashSet;

use hdrhistogram::Histogram;

use crate::client::viewer::new_histogram;

/// Above this share of a core a driver thread has no room left for bursts.
const MAX_CPU_SHARE: f64 = 0.85;
/// Timers (frames, reports) later than this at p99 distort what is measured.
const MAX_TIMER_DELAY_MS: f64 = 20.0;

/// Counters of one driver thread since its start.
#[derive(Clone)]
pub struct OwnUse {
    /// CPU time of the thread.
    pub cpu_ns: u64,
    pub receive_calls: u64,
    pub datagrams: u64,
    pub send_failures: u64,
    /// Datagrams the kernel dropped because a socket's buffer was full.
    pub socket_drops: u64,
    /// µs between a timer's due time and its run.
    pub timer_delay: Histogram<u64>,
    /// µs between the kernel's receive stamp and our reading the datagram.
    pub receive_delay: Histogram<u64>,
}

impl OwnUse {
    pub fn start() -> Self {
        Self {
            cpu_ns: 0,
            receive_calls: 0,
            datagrams: 0,
            send_failures: 0,
            socket_drops: 0,
            timer_delay: new_histogram(2),
            receive_delay: new_histogram(2),
        }
    }

    /// Reads the calling thread's CPU time.
    pub fn sample(&mut self) {
        self.cpu_ns = thread_cpu_ns().unwrap_or(self.cpu_ns);
    }
}

/// What a driver thread did in an interval, as it stands in reports.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct OwnReport {
    /// Of one core.
    pub cpu_share: f64,
    pub cpu_us_per_datagram: f64,
    pub datagrams_per_receive: f64,
    pub send_failures: u64,
    pub socket_drops: u64,
    pub timer_delay_p99_ms: f64,
    pub receive_delay_p99_ms: f64,
}

impl OwnReport {
    pub fn between(from: &OwnUse, to: &OwnUse, seconds: f64) -> Self {
        let cpu = to.cpu_ns.saturating_sub(from.cpu_ns) as f64;
        let datagrams = to.datagrams.saturating_sub(from.datagrams).max(1) as f64;
        let p99 = |from: &Histogram<u64>, to: &Histogram<u64>| {
            difference(to, from).value_at_quantile(0.99) as f64 / 1e3
        };
        Self {
            cpu_share: cpu / 1e9 / seconds.max(1e-9),
            cpu_us_per_datagram: cpu / 1e3 / datagrams,
            datagrams_per_receive: datagrams
                / to.receive_calls.saturating_sub(from.receive_calls).max(1) as f64,
            send_failures: to.send_failures - from.send_failures,
            socket_drops: to.socket_drops.saturating_sub(from.socket_drops),
            timer_delay_p99_ms: p99(&from.timer_delay, &to.timer_delay),
            receive_delay_p99_ms: p99(&from.receive_delay, &to.receive_delay),
        }
    }

    /// Why the result says more about us than about the server; empty when it is valid.
    pub fn objections(&self, name: &str) -> Vec<String> {
        let mut objections = Vec::new();
        if self.cpu_share > MAX_CPU_SHARE {
            objections.push(format!(
                "the {name} thread used {:.0} % of its core",
                self.cpu_share * 100.0
            ));
        }
        if self.socket_drops > 0 {
            objections.push(format!(
                "the kernel dropped {} datagrams at {name} sockets",
                self.socket_drops
            ));
        }
        if self.send_failures > 0 {
            objections.push(format!(
                "{} datagrams of {name} could not be sent",
                self.send_failures
            ));
        }
        if self.timer_delay_p99_ms > MAX_TIMER_DELAY_MS {
            objections.push(format!(
                "timers of {name} ran {:.0} ms late (p99)",
                self.timer_delay_p99_ms
            ));
        }
        objections
    }
}

/// What `later` recorded beyond `earlier`.
pub fn difference(later: &Histogram<u64>, earlier: &Histogram<u64>) -> Histogram<u64> {
    let mut result = later.clone();
    // Both come from the same thread, so the earlier one is contained in the later.
    if result.subtract(earlier).is_err() {
        return later.clone();
    }
    result
}

/// CPU time of the calling thread.
pub fn thread_cpu_ns() -> Option<u64> {
    // Run time in nanoseconds, waiting time, time slices (Documentation/scheduler/sched-stats.rst).
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Datagrams dropped at full buffers of the UDP sockets bound to `ports`, since these were opened.
pub fn socket_drops(ports: &HashSet<u16>) -> u64 {
    ["/proc/self/net/udp", "/proc/self/net/udp6"]
        .iter()
        .map(|path| drops_in(path, ports))
        .sum()
}

fn drops_in(path: &str, ports: &HashSet<u16>) -> u64 {
    let Ok(table) = std::fs::read_to_string(path) else {
        return 0;
    };
    let drops = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let port = u16::from_str_radix(fields.nth(1)?.rsplit(':').next()?, 16).ok()?;
        let drops: u64 = fields.next_back()?.parse().ok()?;
        ports.contains(&port).then_some(drops)
    });
    drops.sum()
}
