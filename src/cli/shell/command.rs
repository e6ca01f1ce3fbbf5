//! Defines the commands of the shell: a backslash, a word, what it is about; one a line.

use std::path::PathBuf;

use clap::ValueEnum;

use super::Timing;
use crate::cli::query::{EngineName, FormatName};
use crate::error::{Error, Result};
use crate::table::TableName;

/// What `\?` prints.
pub const COMMANDS: &str = r"\d               the tables
\d DB.NAME       a table: its columns, what it is partitioned by, where it is
\p DB.NAME       how many partitions it has, and the newest
\explain SQL     what a statement would read and cost, without running it
\plan SQL        the same, and the engine's plan
\format FORMAT   table, csv, jsonl or markdown
\engine ENGINE   local or athena
\timing [on|off] tell how long each statement takes
\i FILE          run the statements of a file
\q               end, as Ctrl-D does
A statement ends with ; and may have many lines. Tab completes keywords, tables, columns, and in quotes
the values of partition columns. Ctrl-C ends what runs, in Athena too.";

/// The words that `parse` takes.
pub const WORDS: [&str; 10] =
    ["\\?", "\\d", "\\engine", "\\explain", "\\format", "\\i", "\\p", "\\plan", "\\q", "\\timing"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Tables,
    Describe(TableName),
    Partitions(TableName),
    Explain(String),
    Plan(String),
    Format(FormatName),
    Engine(EngineName),
    /// Without a value it turns.
    Timing(Option<Timing>),
    Include(PathBuf),
    Help,
    Quit,
}

impl Command {
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let (word, about) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        // A statement's end is soon typed here too.
        let about = about.trim().trim_end_matches(';').trim_end();
        let unfit = |wanted: &str| Error::usage(format!("{word} wants {wanted}")).with("typed", text);
        let table = || about.parse().map_err(|e: Error| unfit("a table, DB.NAME").because(e));
        let statement = || (!about.is_empty()).then(|| about.to_owned()).ok_or_else(|| unfit("a statement"));
        Ok(match (word, about) {
            ("\\d", "") => Self::Tables,
            ("\\d", _) => Self::Describe(table()?),
            ("\\p", _) => Self::Partitions(table()?),
            ("\\explain", _) => Self::Explain(statement()?),
            ("\\plan", _) => Self::Plan(statement()?),
            ("\\format", _) => Self::Format(
                FormatName::from_str(about, true).map_err(|_| unfit("table, csv, jsonl or markdown"))?,
            ),
            ("\\engine", _) => {
                Self::Engine(EngineName::from_str(about, true).map_err(|_| unfit("local or athena"))?)
            }
            ("\\timing", "") => Self::Timing(None),
            ("\\timing", "on") => Self::Timing(Some(Timing::On)),
            ("\\timing", "off") => Self::Timing(Some(Timing::Off)),
            ("\\timing", _) => return Err(unfit("on or off")),
            ("\\i", "") => return Err(unfit("a file")),
            ("\\i", _) => Self::Include(about.into()),
            ("\\?" | "\\h" | "\\help", _) => Self::Help,
            ("\\q", _) => Self::Quit,
            _ => return Err(Error::usage(format!("{word} is no command: \\? lists them"))),
        })
    }
}

/// As people leave other shells.
pub fn is_end(text: &str) -> bool {
    matches!(text.trim().trim_end_matches(';'), "exit" | "quit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_command() {
        let parse = |text| Command::parse(text).expect(text);
        assert_eq!(parse(" \\d "), Command::Tables);
        assert_eq!(parse("\\d market.ticks;"), Command::Describe("market.ticks".parse().expect("a name")));
        assert_eq!(parse("\\explain SELECT 1\nFROM t;"), Command::Explain("SELECT 1\nFROM t".to_owned()));
        assert_eq!(parse("\\format JSONL"), Command::Format(FormatName::Jsonl));
        assert_eq!(parse("\\timing"), Command::Timing(None));
        assert_eq!(parse("\\i a b.sql"), Command::Include("a b.sql".into()));
    }

    #[test]
    fn what_is_wrong_says_what_is_wanted() {
        for (text, words) in [
            ("\\d ticks", "DB.NAME"),
            ("\\p", "DB.NAME"),
            ("\\format yaml", "jsonl"),
            ("\\engine trino", "athena"),
            ("\\timing maybe", "on or off"),
            ("\\explain", "a statement"),
            ("\\drop x", "\\? lists them"),
        ] {
            let error = Command::parse(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn every_word_is_told_and_taken() {
        for word in WORDS {
            assert!(word == "\\?" || COMMANDS.lines().any(|line| line.starts_with(word)), "{word}");
            let refused = Command::parse(word).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(!refused.contains("is no command"), "{word}");
        }
    }
}
