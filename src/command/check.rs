//! `shibuki check-config`: what the configuration amounts to, before a server depends on it.

use std::fmt::Write as _;

use super::CommandError;
use crate::config::Config;
use crate::http::auth::Right;
use crate::server::ServerConfig;

/// Everything a start would read is read; nothing is bound, and nobody is asked.
pub(super) fn check(config: &Config) -> Result<String, CommandError> {
    let settings = ServerConfig::try_from(config)?;
    let mut text = String::from("The configuration is good.\n");
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "  {what:<18}{value}");
    };
    let file = config.file.as_ref();
    line(
        "file",
        file.map_or("none".into(), |file| file.display().to_string()),
    );
    line("HTTP", config.http.to_string());
    line("media (UDP)", config.media.to_string());
    line("workers", config.workers.to_string());
    for (right, keys) in [
        (Right::Publish, config.publish_keys.len()),
        (Right::Watch, config.watch_keys.len()),
    ] {
        let who = if settings.api.keys.load().is_open(right) {
            "anybody".to_owned()
        } else {
            let mut ways = vec![format!("who has one of {keys} keys")];
            ways.extend((!config.tokens.is_empty()).then(|| "a signed key".to_owned()));
            ways.extend(
                config
                    .hook
                    .as_ref()
                    .map(|hook| format!("whom {} admits", hook.url)),
            );
            ways.join(", or ")
        };
        line(&format!("may {}", right.as_str()), who);
    }
    Ok(text)
}
