//! The command line: options, and what to do instead of serving.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::layer::Layer;
use super::values::{lifetime, scope};

/// A Selective Forwarding Unit: publish one stream by WHIP, watch it by WHEP.
///
/// Without any option it serves http://localhost:8080, takes media on UDP port 8080, and anybody may publish and
/// watch. Publish from OBS to http://HOST:8080/whip/NAME, watch at http://HOST:8080/watch/NAME.
#[derive(Debug, Parser)]
#[command(name = "shibuki", version, max_term_width = 110, after_help = AFTER_HELP)]
pub(super) struct Flags {
    /// Read this TOML file [default: ./shibuki.toml, if there is one]
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub layer: Layer,
}

/// What to do instead of serving. Options stand before it: they say what the configuration is.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Make keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Read the configuration, say what is in force or what is wrong, and end
    CheckConfig,
    /// Look whether this machine can do what the configuration asks: ports, addresses, clock, limits, a session
    Doctor,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum KeyCommand {
    /// Make a key and print it: signed with keys-secret if that is set, else a random one to be put into the file
    New(NewKey),
}

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct NewKey {
    /// Streams it may publish; * is every stream, team-* all that begin so
    #[arg(long, value_name = "STREAM", value_delimiter = ',', value_parser = scope)]
    pub publish: Vec<String>,
    /// Streams it may watch, in the same way
    #[arg(long, value_name = "STREAM", value_delimiter = ',', value_parser = scope)]
    pub watch: Vec<String>,
    /// It may administer the server
    #[arg(long)]
    pub admin: bool,
    /// How long it is good, such as 30d, 12h or 90m; only for signed keys [default: 30d]
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub expires: Option<Duration>,
    /// Print the link to the stream's page with the key in it: the server's URL, as https://HOST
    #[arg(long, value_name = "URL")]
    pub link: Option<String>,
}

const AFTER_HELP: &str = "\
Every option can also stand in the file and in the environment: --on-conflict takeover is
  on-conflict = \"takeover\"         in shibuki.toml
  SHIBUKI_ON_CONFLICT=takeover      in the environment (lists: separated by commas; empty: not set)
Flags win over the environment, the environment over the file. What is not known is an error.

In the file only: keys for single streams, and the keys' table:
  [keys]
  publish = { live = \"key of stream live\", \"*\" = \"key of all streams\" }
  watch = [\"one key\", \"sha256:…\"]        the latter as `shibuki key new` prints it
  [[ice-servers]]
  url = \"turn:turn.example.org:3478\"
  username = \"user\"
  credential = \"secret\"";
