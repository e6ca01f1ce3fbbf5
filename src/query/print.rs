//! Turns an answer into text: for people (a table, Markdown) or for programs (CSV, JSON lines); or into Parquet.
//!
//! Values are arrow's own text forms: an instant is `2026-11-22T13:30:00.123Z`, a decimal has all digits of its
//! scale. Everything streams: what is held is one batch, for a table the rows that decide its widths, and of a Parquet
//! file its row group.

mod parquet;

use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;

use super::Answer;
use crate::error::{Error, Kind, Result};

/// The columns of a table are as wide as its first so many rows need; a longer value after them sticks out.
const WIDTH_ROWS: usize = 1000;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns. Null is an empty cell; control characters are escaped, so that no value can move the cursor.
    Table,
    /// RFC 4180 with a header, lines end in `\n`. Null is empty and the empty text is `""`; where null would make an
    /// empty line (one column), it is `""` too.
    Csv,
    /// One JSON object a row, with every column. Numbers are numbers, decimals with their exact digits; times and
    /// dates are text; NaN and the infinities are null.
    JsonLines,
    /// A table of GitHub's Markdown. Null is an empty cell.
    Markdown,
    /// One file with the answer's own types, compressed by ZSTD.
    Parquet,
}

/// Writes all rows of an answer, and gives their number. On an error of the query, what came before it is written.
pub async fn print(mut answer: Answer, format: Format, out: &mut dyn Write) -> Result<u64> {
    if format == Format::Parquet {
        return parquet::write(answer, out).await;
    }
    let mut printer = Printer::new(format, &answer.schema);
    let mut rows = 0;
    while let Some(batch) = answer.batches.try_next().await? {
        rows += batch.num_rows() as u64;
        printer.write(&batch, out).map_err(failed)?;
        // Where batches are ready one after another, whoever waits beside this for a Ctrl-C gets its turn at each.
        tokio::task::yield_now().await;
    }
    printer.finish(out).map_err(failed)?;
    Ok(rows)
}

/// The cause is the `io::Error` where there is one: a closed pipe is no failure to the command line.
fn failed(error: ArrowError) -> Error {
    let failed = Error::new(Kind::Query, "cannot write the answer");
    match error {
        ArrowError::IoError(_, error) => failed.because(error),
        error => failed.because(error),
    }
}

struct Printer {
    format: Format,
    columns: Vec<Column>,
    /// The rows of a table before its widths are decided.
    waiting: Vec<Vec<String>>,
    begun: bool,
}

struct Column {
    name: String,
    /// In characters.
    width: usize,
    /// To the right, as numbers are.
    right: bool,
}

impl Printer {
    fn new(format: Format, schema: &Schema) -> Self {
        let column = |field: &arrow::datatypes::FieldRef| {
            let name = visible(field.name());
            Column { width: name.chars().count(), name, right: field.data_type().is_numeric() }
        };
        Self {
            format,
            columns: schema.fields().iter().map(column).collect(),
            waiting: Vec::new(),
            begun: false,
        }
    }

    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), ArrowError> {
        if self.format == Format::JsonLines {
            // Every line has every column, so that a reader that looks at the first lines knows them all.
            let mut writer =
                WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut *out);
            writer.write(batch)?;
            return writer.finish();
        }
        let options = FormatOptions::new().with_display_error(true);
        let columns: Vec<ArrayFormatter<'_>> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let cells = columns.iter().zip(batch.columns()).map(|(column, array)| {
                // A null and an empty text are not the same.
                array.is_valid(row).then(|| column.value(row).try_to_string()).transpose()
            });
            let cells: Vec<Option<String>> = cells.collect::<Result<_, _>>()?;
            self.write_row(cells, out)?;
        }
        Ok(())
    }

    fn write_row(&mut self, cells: Vec<Option<String>>, out: &mut dyn Write) -> Result<(), ArrowError> {
        match self.format {
            Format::Table => {
                let cells: Vec<String> =
                    cells.into_iter().map(|cell| visible(&cell.unwrap_or_default())).collect();
                if self.begun {
                    return self.write_table_row(&cells, out);
                }
                for (column, cell) in self.columns.iter_mut().zip(&cells) {
                    column.width = column.width.max(cell.chars().count());
                }
                self.waiting.push(cells);
                if self.waiting.len() == WIDTH_ROWS { self.begin(out) } else { Ok(()) }
            }
            Format::Markdown => {
                self.begin(out)?;
                let cells = cells.into_iter().map(|cell| markdown(&cell.unwrap_or_default()));
                Ok(writeln!(out, "| {} |", cells.collect::<Vec<_>>().join(" | "))?)
            }
            Format::Csv => {
                self.begin(out)?;
                write_csv(cells.iter().map(Option::as_deref), out)
            }
            Format::JsonLines | Format::Parquet => unreachable!("arrow writes these by batches"),
        }
    }

    /// Writes what stands above the rows, once.
    fn begin(&mut self, out: &mut dyn Write) -> Result<(), ArrowError> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        match self.format {
            Format::Table => {
                let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
                self.write_table_row(&names, out)?;
                let lines = self.columns.iter().map(|column| "-".repeat(column.width + 2));
                writeln!(out, "{}", lines.collect::<Vec<_>>().join("+"))?;
                for cells in std::mem::take(&mut self.waiting) {
                    self.write_table_row(&cells, out)?;
                }
            }
            Format::Markdown => {
                let names = self.columns.iter().map(|column| markdown(&column.name));
                writeln!(out, "| {} |", names.collect::<Vec<_>>().join(" | "))?;
                let lines = self.columns.iter().map(|column| if column.right { "---:" } else { "---" });
                writeln!(out, "| {} |", lines.collect::<Vec<_>>().join(" | "))?;
            }
            Format::Csv => write_csv(self.columns.iter().map(|column| Some(column.name.as_str())), out)?,
            Format::JsonLines | Format::Parquet => {}
        }
        Ok(())
    }

    fn finish(mut self, out: &mut dyn Write) -> Result<(), ArrowError> {
        self.begin(out)?;
        Ok(out.flush()?)
    }

    fn write_table_row(&self, cells: &[String], out: &mut dyn Write) -> Result<(), ArrowError> {
        let padded = self.columns.iter().zip(cells).map(|(column, cell)| {
            let width = column.width;
            if column.right { format!(" {cell:>width$} ") } else { format!(" {cell:<width$} ") }
        });
        let line = padded.collect::<Vec<_>>().join("|");
        Ok(writeln!(out, "{}", line.trim_end())?)
    }
}

/// Control characters as Rust writes them: `\n`, `\u{1b}`.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

fn markdown(text: &str) -> String {
    visible(text).replace('|', "\\|")
}

fn write_csv<'a>(
    cells: impl ExactSizeIterator<Item = Option<&'a str>>,
    out: &mut dyn Write,
) -> Result<(), ArrowError> {
    let alone = cells.len() == 1;
    for (i, cell) in cells.enumerate() {
        if i > 0 {
            out.write_all(b",")?;
        }
        match cell {
            None if !alone => {}
            None | Some("") => out.write_all(b"\"\"")?,
            Some(text) if text.contains(['"', ',', '\n', '\r']) => {
                write!(out, "\"{}\"", text.replace('"', "\"\""))?;
            }
            Some(text) => out.write_all(text.as_bytes())?,
        }
    }
    Ok(out.write_all(b"\n")?)
}
