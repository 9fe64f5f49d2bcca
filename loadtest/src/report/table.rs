//! Aligned text tables for a terminal.

use std::fmt::Write;

/// Two columns, names padded to the longest.
pub fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:width$}  {value}");
    }
    text
}

/// `1.234` with a unit, or a dash.
pub fn optional(value: Option<f64>, digits: usize, unit: &str) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$} {unit}"))
}
