//! Measuring what a piece of code holds: in a process of its own, where nothing else runs and which may die.

use std::process::{Command, ExitStatus, Stdio};

use super::server::usage;

const CHILD: &str = "SHIBUKI_TEST_CHILD";

/// What came of code that ran alone.
pub struct Outcome {
    pub status: ExitStatus,
    /// Bytes held when it was done more than before; `None` if it did not get that far.
    pub grown: Option<usize>,
}

/// Runs `code` in a process of its own: this test's binary, told to run nothing but the test named `test`, which
/// has to be the one that calls this. What `code` returns is still held when its memory is measured.
pub fn alone<T>(test: &str, code: impl FnOnce() -> T) -> Outcome {
    if std::env::var_os(CHILD).is_some_and(|name| name == test) {
        let before = usage("self").resident;
        let held = code();
        let grown = usage("self").resident.saturating_sub(before);
        println!("\ngrown={grown}");
        drop(held);
        std::process::exit(0);
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!(
        "alone: {} {}",
        output.status,
        text.lines()
            .find(|line| line.starts_with("grown="))
            .unwrap_or_default()
    );
    let grown = text
        .lines()
        .find_map(|line| line.strip_prefix("grown=")?.parse().ok());
    Outcome {
        status: output.status,
        grown,
    }
}
