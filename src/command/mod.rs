//! What the program does instead of serving. Each command returns what it prints.
//!
//! - [`key`]: makes keys.
//! - [`check`]: tells what the configuration amounts to.
//! - [`doctor`]: whether this machine can do it.

mod check;
mod doctor;
mod key;

use crate::config::{Command, Config, KeyCommand};
use crate::http::auth::TokenSettingsError;
use crate::server::settings::SettingsError;

/// Why a command failed. The text is for the person who typed it.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Tokens(#[from] TokenSettingsError),
    #[error("cannot start threads: {0}")]
    Runtime(std::io::Error),
    /// The doctor's whole report: something in it will not work.
    #[error("this will not work:\n{0}")]
    Doctor(String),
    #[error("{0}")]
    Usage(&'static str),
}

pub fn run(command: &Command, config: &Config) -> Result<String, CommandError> {
    match command {
        Command::Key(KeyCommand::New(new)) => key::new(new, config),
        Command::CheckConfig => check::check(config),
        Command::Doctor => doctor::run(config),
    }
}
