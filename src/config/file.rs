//! The TOML file.

use std::ops::Range;
use std::path::Path;

use clap::CommandFactory;
use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::flags::Flags;
use super::layer::Layer;
use super::values::nearest;

pub(super) fn parse(path: &Path, text: &str) -> Result<Layer, ConfigError> {
    let name = path.display();
    let explain =
        |error: toml::de::Error| ConfigError::File(format!("{name}: {error}").trim_end().to_owned());
    let table = DeTable::parse(text).map_err(explain)?;
    let at = |span: Range<usize>| format!("{name}:{}", line(text, span.start));

    let known = known();
    check_keys(table.get_ref(), &known, "", &at)?;
    for (key, value) in table.get_ref() {
        let prefix = format!("{}-", key.get_ref());
        if let DeValue::Table(inner) = value.get_ref()
            && known.iter().any(|k| k.starts_with(&prefix))
        {
            check_keys(inner, &known, &prefix, &at)?;
        }
    }

    let layer: Layer = toml::from_str(text).map_err(explain)?;
    layer.check().map_err(|problem| {
        let place = span_of(table.get_ref(), problem.key).map_or_else(|| name.to_string(), at);
        ConfigError::File(format!("{place}: {}: {}", problem.key, problem.message))
    })?;
    Ok(layer)
}

/// The keys as flags spell them: those of a table with its name before them.
fn known() -> Vec<String> {
    let command = Flags::command();
    let longs = command.get_arguments().filter_map(|arg| arg.get_long());
    longs
        .filter(|long| *long != "config")
        .map(str::to_owned)
        .collect()
}

fn check_keys(
    table: &DeTable<'_>,
    known: &[String],
    prefix: &str,
    at: &impl Fn(Range<usize>) -> String,
) -> Result<(), ConfigError> {
    // A table's name is itself no flag, but the beginning of some.
    let here = known.iter().filter_map(|k| k.strip_prefix(prefix));
    let tables = (prefix.is_empty()).then_some("keys");
    let names: Vec<&str> = here.filter(|k| !k.starts_with("keys-")).chain(tables).collect();
    for key in table.keys() {
        let written: &str = key.get_ref();
        if !names.contains(&written) {
            return Err(ConfigError::File(format!(
                "{}: unknown key '{written}'{}",
                at(key.span()),
                nearest(written, names.iter().copied())
            )));
        }
    }
    Ok(())
}

/// Where `key`, spelled as a flag, stands.
fn span_of(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    if let Some((span, _)) = find(table, key) {
        return Some(span);
    }
    let (first, rest) = key.split_once('-')?;
    let (span, value) = find(table, first)?;
    match value {
        DeValue::Table(inner) => find(inner, rest).map(|(span, _)| span),
        _ => Some(span),
    }
}

fn find<'t>(table: &'t DeTable<'_>, name: &str) -> Option<(Range<usize>, &'t DeValue<'t>)> {
    let (key, value) = table.iter().find(|(key, _)| **key.get_ref() == *name)?;
    Some((key.span(), value.get_ref()))
}

/// Counted from 1.
fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}
