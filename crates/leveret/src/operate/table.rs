//! Printing what was told as a table: columns as wide as what is in them.

use std::io::{self, Write};

use serde_json::Value;

/// A value in a line: texts as they are, nothing for null.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            let items: Vec<String> = items.iter().map(|item| cell(Some(item))).collect();
            items.join(", ")
        }
        Some(other) => other.to_string(),
    }
}

/// What stands under a name, which may have points.
pub(super) fn at<'v>(item: &'v Value, name: &str) -> Option<&'v Value> {
    name.split('.').try_fold(item, |item, name| item.get(name))
}

/// Prints a list, or one thing as a list of its own.
pub(super) fn print(out: &mut impl Write, columns: &[&str], told: &Value) -> io::Result<()> {
    let items = match told {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let head = columns.iter().map(|column| (*column).to_owned()).collect();
    let rows = items.iter();
    let rows = rows.map(|item| {
        columns
            .iter()
            .map(|column| cell(at(item, column)))
            .collect()
    });
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for line in &lines {
        let cells = line.iter().zip(&widths);
        let padded: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(out, "{}", padded.join("  ").trim_end())?;
    }
    Ok(())
}
