//! What the program does instead of serving. Each command returns what it prints.
//!
//! - [`key`]: makes keys.
//! - [`check`]: tells what the configuration amounts to.

mod check;
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
    #[error("{0}")]
    Usage(&'static str),
}

pub fn run(command: &Command, config: &Config) -> Result<String, CommandError> {
    match command {
        Command::Key(KeyCommand::New(new)) => key::new(new, config),
        Command::CheckConfig => check::check(config),
    }
}
