//! Owns the terminal while a text is typed: the prompt, editing, Tab, and the history of what was typed.

use std::path::PathBuf;
use std::time::Duration;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Helper};
use tokio::runtime::Handle;

use super::command::is_end;
use super::completion::{Wanted, request};
use super::names::{Candidate, Names};
use crate::cli::query::EngineName;
use crate::cli::xdg;
use crate::config::Settings;
use crate::error::{self, Error, Kind, Result};
use crate::query::text::statements;

/// Texts that are kept, in a file that only its owner may read.
const HISTORY_MAX: usize = 10_000;
/// A catalog that does not answer by then has no candidates: whoever pressed Tab waits.
const PATIENCE: Duration = Duration::from_secs(3);

/// The line editor. To be read on a thread of the runtime that may block.
pub struct Editor {
    lines: rustyline::Editor<Lines, FileHistory>,
    /// None where it is off, or cannot be written.
    history: Option<PathBuf>,
}

/// What was typed.
pub enum Typed {
    /// A command, or statements with their end.
    Text(String),
    /// Ctrl-C: the line is given up.
    Dropped,
    /// Ctrl-D.
    End,
}

impl Editor {
    pub fn open(settings: &Settings, names: Names) -> Result<Self> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .history_ignore_space(true)
            .max_history_size(HISTORY_MAX)
            .map_err(unusable)?
            .build();
        let mut lines = rustyline::Editor::with_config(config).map_err(unusable)?;
        lines.set_helper(Some(Lines { names, files: FilenameCompleter::new() }));
        let mut editor = Self { lines, history: history_file(settings) };
        editor.recall();
        Ok(editor)
    }

    /// Waits for a text.
    pub fn read(&mut self, engine: EngineName) -> Result<Typed> {
        if let Some(lines) = self.lines.helper_mut() {
            lines.names.renew(engine);
        }
        let prompt = match engine {
            EngineName::Local => "ticklake> ",
            EngineName::Athena => "athena> ",
        };
        match self.lines.readline(prompt) {
            Ok(text) => {
                self.keep(&text);
                Ok(Typed::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Dropped),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(e) => Err(unusable(e)),
        }
    }

    fn recall(&mut self) {
        let Some(file) = &self.history else { return };
        let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        let loaded = match folder {
            Ok(()) if file.exists() => self.lines.load_history(file),
            made => made.map_err(ReadlineError::from),
        };
        if let Err(e) = loaded {
            self.forget(&e);
        }
    }

    /// At once: the process may be killed.
    fn keep(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let kept = self.lines.add_history_entry(text).and_then(|_| match &self.history {
            Some(file) => self.lines.append_history(file),
            None => Ok(()),
        });
        if let Err(e) = kept {
            self.forget(&e);
        }
    }

    /// The shell works without it.
    fn forget(&mut self, e: &ReadlineError) {
        let file = self.history.take().unwrap_or_default();
        tracing::warn!(
            file = %file.display(),
            error = error::chain(e),
            "no history is kept: the setting shell.history names another file, or is off"
        );
    }
}

fn unusable(e: ReadlineError) -> Error {
    Error::new(Kind::System, "cannot read from the terminal: lead the statements into stdin, or give -f FILE")
        .because(e)
}

/// The one that is set; else where programs keep their state (the XDG base directories).
fn history_file(settings: &Settings) -> Option<PathBuf> {
    match settings.shell.history.as_deref() {
        Some("off") => None,
        Some(file) => Some(file.into()),
        None => Some(xdg::folder("XDG_STATE_HOME", ".local/state")?.join("ticklake/history")),
    }
}

/// What the editor asks while a text is typed.
struct Lines {
    names: Names,
    files: FilenameCompleter,
}

impl Completer for Lines {
    type Candidate = Pair;

    fn complete(&self, text: &str, cursor: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let request = request(text, cursor);
        if request.wanted == Wanted::File {
            return self.files.complete_path(text, cursor);
        }
        let looked = async { tokio::time::timeout(PATIENCE, self.names.candidates(text, &request)).await };
        // What goes wrong is seen when the statement is asked.
        let candidates = match Handle::current().block_on(looked) {
            Ok(Ok(candidates)) => candidates,
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        let pair = |Candidate { shown, text }| Pair { display: shown, replacement: text };
        Ok((request.start, candidates.into_iter().map(pair).collect()))
    }
}

impl Validator for Lines {
    /// Enter ends a command, and statements behind their `;`.
    fn validate(&self, typed: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = typed.input();
        let is_command = text.trim_start().starts_with('\\') || is_end(text);
        Ok(match is_command || !statements(text).open {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Highlighter for Lines {}

impl Hinter for Lines {
    type Hint = String;
}

impl Helper for Lines {}
