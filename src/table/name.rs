//! Defines the name of a table, `database.table`, as Glue takes it.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A table's name.
///
/// * Both parts are 1 to 255 of `a-z`, `0-9`, `_`: upper-case letters are lowered, as Glue does,
///   and anything else is refused (AWS Glue, "Best practices": names).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    database: String,
    table: String,
}

impl TableName {
    pub fn new(database: &str, table: &str) -> Result<Self> {
        Ok(Self { database: part("database", database)?, table: part("table", table)? })
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    pub fn table(&self) -> &str {
        &self.table
    }

    /// The sibling table that holds what could not be decoded: `<name>_rejected`.
    pub fn rejected(&self) -> Result<Self> {
        Self::new(&self.database, &format!("{}_rejected", self.table))
    }
}

fn part(what: &str, text: &str) -> Result<String> {
    let lower = text.to_ascii_lowercase();
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if lower.is_empty() || lower.len() > 255 || !lower.bytes().all(valid) {
        return Err(Error::usage(format!(
            "'{text}' is no name of a {what}: use 1 to 255 lower-case letters, digits and underscores"
        )));
    }
    Ok(lower)
}

impl FromStr for TableName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('.') {
            Some((database, table)) => Self::new(database, table),
            None => Err(Error::usage(format!("'{text}' names no database: write DATABASE.TABLE"))),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}
