//! `shibuki key new`: a key to paste into OBS, into a page's link, or to give to a program.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;

use super::CommandError;
use crate::config::{Config, DIGEST, NewKey};
use crate::http::auth::{Claims, Scope};
use crate::server::settings;

const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn new(new: &NewKey, config: &Config) -> Result<String, CommandError> {
    if new.publish.is_empty() && new.watch.is_empty() && !new.admin {
        return Err(CommandError::Usage(
            "say what the key is for: --publish STREAM, --watch STREAM (* is every stream), --admin",
        ));
    }
    let linked = match (&new.link, &new.watch[..]) {
        (None, _) => None,
        (Some(server), [stream]) if !stream.ends_with('*') => Some((server, stream)),
        (Some(_), _) => {
            return Err(CommandError::Usage(
                "--link needs exactly one stream to watch, such as --watch live",
            ));
        }
    };
    let (key, note) = if config.tokens.secret.is_some() {
        signed(new, config)?
    } else {
        random(new)?
    };
    let mut text = match linked {
        Some((server, stream)) => format!("{}/watch/{stream}?token={key}\n", server.trim_end_matches('/')),
        None => format!("{key}\n"),
    };
    text.push_str(&note);
    Ok(text)
}

fn signed(new: &NewKey, config: &Config) -> Result<(String, String), CommandError> {
    let keys = settings::keys(config)?;
    let tokens = keys.tokens.ok_or(CommandError::Usage("keys-secret is not set"))?;
    let expires = wall_clock() + new.expires.unwrap_or(LIFETIME);
    let since_1970 = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let key = tokens.sign(Claims {
        publish: Scope(new.publish.clone()),
        watch: Scope(new.watch.clone()),
        admin: new.admin,
        exp: since_1970.as_secs(),
        ..Claims::default()
    })?;
    let until = humantime::format_rfc3339_seconds(expires);
    Ok((
        key,
        format!("# good until {until}, at every server with this keys-secret\n"),
    ))
}

/// A key that the configuration has to name, by its digest alone.
fn random(new: &NewKey) -> Result<(String, String), CommandError> {
    if new.expires.is_some() {
        return Err(CommandError::Usage(
            "only a signed key expires: set keys-secret (such as from `openssl rand -hex 32`) to sign keys",
        ));
    }
    if new
        .publish
        .iter()
        .chain(&new.watch)
        .any(|name| name != "*" && name.ends_with('*'))
    {
        return Err(CommandError::Usage(
            "only a signed key can be for all names that begin alike: set keys-secret to sign keys",
        ));
    }
    let key = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let hash = digest::digest(&digest::SHA256, key.as_bytes());
    let hex = hash.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let mut note = String::from(
        "# The server knows it by these lines of shibuki.toml (and nothing leads back from them to the key):\n[keys]\n",
    );
    for (right, streams) in [("publish", &new.publish), ("watch", &new.watch)] {
        if !streams.is_empty() {
            let entries: Vec<String> = streams
                .iter()
                .map(|stream| format!("\"{stream}\" = \"{DIGEST}{hex}\""))
                .collect();
            let _ = writeln!(note, "{right} = {{ {} }}", entries.join(", "));
        }
    }
    if new.admin {
        let _ = writeln!(note, "admin = [\"{DIGEST}{hex}\"]");
    }
    Ok((key, note))
}

#[expect(clippy::disallowed_methods, reason = "a key's end is told by the calendar")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Command, KeyCommand};

    /// What `shibuki ARGS` prints, with `file` as its configuration.
    fn run(args: &[&str], file: &str) -> Result<String, String> {
        let directory = std::env::temp_dir().join(format!("shibuki-key-new-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("shibuki.toml"), file).unwrap();
        let args = std::iter::once("shibuki")
            .chain(args.iter().copied())
            .map(Into::into);
        let loaded = Config::load_with_command(args, [], &directory);
        std::fs::remove_dir_all(directory).unwrap();
        let (config, command) = loaded.map_err(|error| error.to_string())?;
        let command = command.unwrap();
        assert!(matches!(command, Command::Key(KeyCommand::New(_))));
        super::super::run(&command, &config).map_err(|error| error.to_string())
    }

    #[test]
    fn a_random_key_opens_what_its_lines_say() {
        let text = run(&["key", "new", "--publish", "live", "--watch", "*"], "").unwrap();
        let (key, note) = text.split_once('\n').unwrap();
        assert!(key.len() == 64 && !note.contains(key));
        let file = note.split_once("[keys]").unwrap().1;
        let again = run(&["key", "new", "--admin"], &format!("[keys]{file}")).unwrap();
        assert!(again.contains("admin = [\"sha256:"), "{again}");
    }

    #[test]
    fn a_signed_key_needs_a_secret_and_says_until_when() {
        let secret = "[keys]\nsecret = \"0123456789abcdef0123456789abcdef\"";
        let text = run(&["key", "new", "--watch", "live", "--expires", "2h"], secret).unwrap();
        let (key, note) = text.split_once('\n').unwrap();
        assert_eq!(key.split('.').count(), 3);
        assert!(note.starts_with("# good until 20"), "{note}");
        let link = ["key", "new", "--watch", "live", "--link", "https://example.org/"];
        let text = run(&link, secret).unwrap();
        assert!(
            text.starts_with("https://example.org/watch/live?token=ey"),
            "{text}"
        );
        let error = run(&["key", "new", "--watch", "live", "--expires", "2h"], "").unwrap_err();
        assert!(error.contains("keys-secret"), "{error}");
    }

    #[test]
    fn a_key_for_nothing_is_refused() {
        for args in [
            &["key", "new"][..],
            &["key", "new", "--watch", "*", "--link", "https://x"],
        ] {
            run(args, "").unwrap_err();
        }
        for args in [
            &["key", "new", "--watch", "a b"][..],
            &["key", "new", "--watch", "live", "--expires", "1s"],
            &["key", "new", "--watch", "live", "--expires", "soon"],
        ] {
            let error = run(args, "[keys]\nsecret = \"0123456789abcdef0123456789abcdef\"").unwrap_err();
            assert!(error.contains("invalid value"), "{error}");
        }
        let error = run(&["key", "new", "--watch", "live"], "[keys]\nsecret = \"short\"").unwrap_err();
        assert!(error.contains("at least 32"), "{error}");
    }
}
