//! Asks an engine how it would run a statement.

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;

use super::Engine;
use crate::error::{Error, Kind, Place, Result};

/// The engine's own plan of the statement, as its `EXPLAIN` tells it. Nothing runs.
pub async fn plan(engine: &dyn Engine, sql: &str) -> Result<String> {
    // On a line of its own, so that columns are as they were typed.
    let mut answer = engine.query(&format!("EXPLAIN\n{sql}")).await.map_err(one_line_up)?;
    let mut lines = Vec::new();
    while let Some(batch) = answer.batches.try_next().await? {
        let options = FormatOptions::new();
        let texts: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()
            .map_err(|e| Error::new(Kind::Query, "cannot read the engine's plan").because(e))?;
        for row in 0..batch.num_rows() {
            let cells = texts.iter().zip(batch.columns()).filter(|(_, column)| column.is_valid(row));
            lines.extend(cells.map(|(text, _)| text.value(row).to_string().trim_end().to_owned()));
        }
    }
    Ok(lines.join("\n"))
}

fn one_line_up(e: Error) -> Error {
    match e.place() {
        Some(Place { line, column }) => e.at(Place { line: line.saturating_sub(1), column }),
        None => e,
    }
}
