//! `ticklake query` on a terminal: a prompt, statements that end in `;`, commands that begin with a backslash.
//!
//! line editor ─ text ─▶ `command`, or statements ─▶ the desk ─▶ answer, or an error ─▶ the next prompt
//!
//! `editor` owns the terminal while a text is typed, `completion` says what could stand at the cursor, and `names` looks
//! it up in the catalog. Ctrl-C ends the statement that runs, in Athena too; Ctrl-D ends the shell.

mod command;
mod completion;
mod describe;
mod editor;
mod names;

use std::io::Write;
use std::path::Path;

use tokio::time::Instant;

use self::command::{COMMANDS, Command};
use self::editor::{Editor, Typed};
use self::names::Names;
use super::query::{Desk, Detail, FormatName, Task, run_script};
use super::terminal::{Stdout, Terminal, unwritable};
use super::{block_on, signals, tell};
use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::query::text::{Statement, statements};
use crate::query::{self, Format};

/// What the statements and commands of a session are run with.
#[derive(Debug)]
pub struct Shell {
    desk: Desk,
    format: Format,
    timing: Timing,
}

/// Whether the time of each statement is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timing {
    Off,
    On,
}

impl Timing {
    fn turned(self) -> Self {
        match self {
            Self::Off => Self::On,
            Self::On => Self::Off,
        }
    }
}

/// What comes after a text.
enum Next {
    Prompt,
    End,
}

pub fn run(mut shell: Shell, settings: &Settings, terminal: &Terminal) -> Result<()> {
    block_on(async {
        // Before the first prompt: a catalog that is not there is no place to ask.
        let engines = shell.desk.engines.clone();
        engines.get(shell.desk.engine).await?;
        let mut editor = Editor::open(settings, Names::new(engines.clone()))?;
        signals::end_at_terminate_after(async move { engines.cancel().await })?;
        terminal.say("statements end with ; and commands begin with \\: \\? lists them. Ctrl-D ends");
        loop {
            let typed = tokio::task::block_in_place(|| editor.read(shell.desk.engine))?;
            let next = match typed {
                Typed::Text(text) => shell.obey(&text, terminal).await,
                Typed::Dropped => Ok(Next::Prompt),
                Typed::End => return Ok(()),
            };
            match next {
                Ok(Next::Prompt) => {}
                Ok(Next::End) => return Ok(()),
                Err(e) if e.kind() == Kind::Interrupted => terminal.say("cancelled"),
                Err(e) => tell(&e),
            }
        }
    })
}

impl Shell {
    pub fn new(desk: Desk, format: Format) -> Self {
        Self { desk, format, timing: Timing::Off }
    }

    async fn obey(&mut self, text: &str, terminal: &Terminal) -> Result<Next> {
        if command::is_end(text) {
            return Ok(Next::End);
        }
        if !text.trim_start().starts_with('\\') {
            self.ask(&statements(text).all, Task::Answer(self.format), terminal).await?;
            return Ok(Next::Prompt);
        }
        match Command::parse(text)? {
            Command::Quit => return Ok(Next::End),
            Command::Help => terminal.say(COMMANDS),
            Command::Engine(name) => {
                self.desk.engines.get(name).await?;
                self.desk.engine = name;
            }
            Command::Format(FormatName::Parquet) => {
                return Err(Error::usage(
                    "Parquet is nothing to read on a terminal: ticklake query -o FILE.parquet 'SQL' writes it",
                ));
            }
            Command::Format(name) => self.format = name.into(),
            Command::Timing(timing) => {
                self.timing = timing.unwrap_or(self.timing.turned());
                terminal.say(match self.timing {
                    Timing::Off => "timing is off",
                    Timing::On => "timing is on",
                });
            }
            Command::Include(file) => {
                let all = include(&file)?;
                self.ask(&all, Task::Answer(self.format), terminal)
                    .await
                    .map_err(|e| e.with("file", file.display()))?;
            }
            Command::Explain(sql) => {
                self.ask(&statements(&sql).all, Task::Explain(Detail::Cost), terminal).await?
            }
            Command::Plan(sql) => {
                self.ask(&statements(&sql).all, Task::Explain(Detail::Plan), terminal).await?
            }
            described => self.describe(&described).await?,
        }
        Ok(Next::Prompt)
    }

    async fn ask(&self, statements: &[Statement], task: Task, terminal: &Terminal) -> Result<()> {
        let mut out = Stdout::buffered();
        let started = Instant::now();
        let asked = run_script(&self.desk, statements, task, &mut out, terminal);
        let done = signals::or_interrupted(asked, self.desk.engines.cancel()).await;
        // What came before an error is seen.
        out.flush().map_err(unwritable)?;
        if self.timing == Timing::On && !statements.is_empty() {
            terminal.say(&format!("{:.3} s", started.elapsed().as_secs_f64()));
        }
        done
    }

    /// What the catalog says, in the format of answers.
    async fn describe(&self, command: &Command) -> Result<()> {
        let looked = async {
            let catalog = &*self.desk.engines.lake(self.desk.engine).await?.catalog;
            match command {
                Command::Describe(name) => describe::table(name, catalog).await,
                Command::Partitions(name) => describe::partitions(name, catalog).await,
                _ => describe::tables(catalog).await,
            }
        };
        let answers = signals::or_interrupted(looked, async { Ok(()) }).await?;
        let mut out = Stdout::buffered();
        for answer in answers {
            query::print(answer, self.format, &mut out).await?;
        }
        out.flush().map_err(unwritable)
    }
}

fn include(file: &Path) -> Result<Vec<Statement>> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::usage("cannot read the statements").with("file", file.display()).because(e))?;
    Ok(statements(&text).all)
}
