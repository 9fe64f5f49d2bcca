//! The `SHIBUKI_*` variables. Each is read as the flag of the same name, by the same parser.

use std::ffi::{OsStr, OsString};

use clap::{CommandFactory, Parser};

use super::ConfigError;
use super::flags::Flags;
use super::values::nearest;

const PREFIX: &str = "SHIBUKI_";

/// Other variables than `SHIBUKI_*`, and empty ones, are passed over.
pub(super) fn parse(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Flags, ConfigError> {
    let command = Flags::command();
    let known: Vec<String> = command
        .get_arguments()
        .filter_map(|a| a.get_long())
        .map(variable)
        .collect();
    let longs: Vec<&str> = command.get_arguments().filter_map(|a| a.get_long()).collect();

    let mut set: Vec<(OsString, OsString)> = environment
        .into_iter()
        .filter(|(name, value)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) && !value.is_empty())
        .collect();
    set.sort();
    let mut args = vec![OsString::from("shibuki")];
    for (name, value) in set {
        let Some(long) = known
            .iter()
            .position(|k| name == k.as_str())
            .and_then(|i| longs.get(i))
        else {
            let name = name.to_string_lossy();
            if is_kubernetes(&name, &value) {
                continue;
            }
            let names = known.iter().map(String::as_str);
            return Err(ConfigError::Environment(format!(
                "unknown environment variable {name}{}",
                nearest(&name, names)
            )));
        };
        let mut arg = OsString::from(format!("--{long}="));
        arg.push(&value);
        // Alone first, so that an error can name the variable.
        let alone = Flags::try_parse_from([OsString::from("shibuki"), arg.clone()]);
        let problem = match alone {
            Ok(flags) => flags.layer.check().err().map(|problem| problem.message),
            Err(error) => Some(reason(&error)),
        };
        if let Some(problem) = problem {
            return Err(ConfigError::Environment(format!(
                "{}: {problem}",
                name.to_string_lossy()
            )));
        }
        args.push(arg);
    }
    Ok(Flags::try_parse_from(args)?)
}

fn variable(long: &str) -> String {
    PREFIX.to_owned() + &long.to_uppercase().replace('-', "_")
}

/// What Kubernetes puts into every container beside a service named `shibuki`.
fn is_kubernetes(name: &str, value: &OsStr) -> bool {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    name == "SERVICE_HOST"
        || name.starts_with("SERVICE_PORT")
        || name.starts_with("PORT_")
        || (name == "PORT" && value.to_string_lossy().contains("://"))
}

/// Clap's explanation without its `error:` and its advice about flags.
fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}
