//! Builds the pages in `web/` with Node, for the feature `pages` (on by default), into `$OUT_DIR/pages`, from
//! where `src/http/assets.rs` embeds them. Without the feature nothing of Node runs.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What the pages are made of. `node_modules` is not named: what it holds follows from the lock file.
const SOURCES: [&str; 15] = [
    "src",
    "index.html",
    "publish.html",
    "watch.html",
    "embed.html",
    "wall.html",
    "console.html",
    "404.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "vite.player.config.ts",
    "plugins.ts",
    "tsconfig.json",
    ".npmrc",
];

/// The oldest Node that the build tool (Vite) runs on.
const OLDEST_NODE: (u32, u32) = (20, 19);

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_PAGES").is_none() {
        return ExitCode::SUCCESS;
    }
    match build_pages() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!(
                "\nThe pages in web/ could not be built: {what}\n\
                 A server without pages (WHIP, WHEP and the API alone) needs no Node: \
                 build it with --no-default-features.\n"
            );
            ExitCode::FAILURE
        }
    }
}

fn build_pages() -> Result<(), String> {
    let web = directory("CARGO_MANIFEST_DIR")?.join("web");
    let out = directory("OUT_DIR")?.join("pages");
    for source in SOURCES {
        println!("cargo:rerun-if-changed={}", web.join(source).display());
    }
    require_node()?;
    install(&web)?;
    run(npm(&web).args(["run", "build"]).env("SHIBUKI_PAGES_OUT", &out))?;
    let built = out.join("index.html");
    if !built.is_file() {
        return Err(format!("npm run build left no {}", built.display()));
    }
    Ok(())
}

fn directory(variable: &str) -> Result<PathBuf, String> {
    env::var_os(variable)
        .map(PathBuf::from)
        .ok_or_else(|| format!("cargo did not set {variable}"))
}

fn require_node() -> Result<(), String> {
    let (major, minor) = OLDEST_NODE;
    let wanted = format!("Node {major}.{minor} or newer, with npm, is needed (https://nodejs.org)");
    let output = Command::new("node")
        .arg("--version")
        .output()
        .map_err(|error| format!("node does not start ({error}). {wanted}."))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut numbers = version
        .trim_start_matches('v')
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST_NODE {
        Err(format!("{wanted}; this is {version}."))
    } else {
        Ok(())
    }
}

/// `npm ci`, where what is installed is not what the lock file says. A copy of the lock file inside
/// `node_modules` tells.
fn install(web: &Path) -> Result<(), String> {
    let lock = web.join("package-lock.json");
    let wanted = fs::read(&lock).map_err(|error| format!("cannot read {}: {error}", lock.display()))?;
    let stamp = web.join("node_modules").join(".installed-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    // The build tools are development dependencies: a NODE_ENV=production around cargo must not omit them.
    run(npm(web).args(["ci", "--include=dev", "--no-audit", "--no-fund"]))?;
    fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))
}

fn npm(web: &Path) -> Command {
    let mut command = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    command.current_dir(web).env_remove("NODE_ENV");
    command
}

/// Runs to the end; an error carries all that the command printed.
fn run(command: &mut Command) -> Result<(), String> {
    let line: Vec<_> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .collect();
    let line = line.join(OsStr::new(" ")).to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("`{line}` does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "`{line}` ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}
