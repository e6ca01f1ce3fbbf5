//! Runs the statements of a text in their order, and stops at the first that fails.

use std::io::{self, Write};

use super::desk::{Desk, Detail};
use crate::cli::terminal::{Terminal, unwritable};
use crate::error::{Error, Result};
use crate::query::Format;
use crate::query::text::{Statement, statements};

use super::scanned_line;

/// What is done with each statement.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    Answer(Format),
    Explain(Detail),
}

/// The statements of a text; none is wrong usage.
pub fn read(text: &str) -> Result<Vec<Statement>> {
    let all = statements(text).all;
    match all.is_empty() {
        true => Err(Error::usage(
            "no statement: write it as the argument, name its file with -f, or lead it into stdin",
        )),
        false => Ok(all),
    }
}

pub async fn run(
    desk: &Desk,
    statements: &[Statement],
    task: Task,
    out: &mut dyn Write,
    terminal: &Terminal,
) -> Result<()> {
    for (i, statement) in statements.iter().enumerate() {
        // JSON lines need nothing between two answers.
        let is_apart = i > 0 && !matches!(task, Task::Answer(Format::JsonLines));
        let mut out = Apart { out: &mut *out, line_end: is_apart };
        let out = &mut out;
        let done = match task {
            Task::Explain(detail) => desk.explain(statement, detail, out).await.map(|()| None),
            Task::Answer(format) => desk.answer(statement, format, out).await,
        };
        let scanned = match done {
            Err(e) if statements.len() > 1 => {
                // What came before is whole, and is seen before the error.
                out.flush().map_err(unwritable)?;
                return Err(e.with("statement", i + 1).with("line", statement.line));
            }
            done => done?,
        };
        if let Some(scanned) = scanned {
            out.flush().map_err(unwritable)?;
            terminal.say(&scanned_line(scanned));
        }
    }
    out.flush().map_err(unwritable)
}

/// Puts an empty line between what was written and what is: where nothing is, none.
struct Apart<'a> {
    out: &'a mut dyn Write,
    line_end: bool,
}

impl Write for Apart<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.line_end) {
            writeln!(self.out)?;
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
