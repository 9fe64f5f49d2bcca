//! What the program does instead of serving, as a person types it.

use std::process::{Command, Output};

fn shibuki(args: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_shibuki"))
        .args(args)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output, String::from_utf8(text).unwrap())
}

#[test]
fn the_doctor_connects_to_itself() {
    let (output, text) = shibuki(&["--http", "127.0.0.1:0", "doctor"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("from 127.0.0.1: connected in"), "{text}");
    assert!(!text.contains("FAIL"), "{text}");
}

#[test]
fn the_doctor_says_what_will_not_work() {
    // An address of a documentation network: no machine has it.
    let (output, text) = shibuki(&["--http", "203.0.113.9:8080", "doctor"]);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("FAIL  HTTP port"), "{text}");
}

#[test]
fn a_configuration_is_checked_without_a_start() {
    let (output, text) = shibuki(&[
        "--http",
        "127.0.0.1:9000",
        "--keys-publish",
        "hush",
        "check-config",
    ]);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("127.0.0.1:9000") && text.contains("one of 1 keys"),
        "{text}"
    );
    assert!(!text.contains("hush"), "{text}");
    for bad in [
        &["--keys-public-key", "/nowhere.pem", "check-config"][..],
        &["--keys-hook", "http://127.0.0.1/may", "check-config"],
        &["--keys-secret", "short", "check-config"],
    ] {
        let (output, text) = shibuki(bad);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("keys."), "{text}");
    }
}
