//! Defines a table's DDL: `CREATE EXTERNAL TABLE` in Athena's dialect, read and printed.
//!
//! What Athena's `SHOW CREATE TABLE` prints and our short form (DESIGN §2) are read into the same value. What the
//! `ticklake.` properties mean is no part of it: that is [`Spec`](super::Spec)'s.

mod literal;
mod parser;
mod tokens;
mod types;

use std::fmt;

use self::tokens::{Token, Tokens};
use super::columns::{Column, ColumnType};
use super::name::TableName;
use crate::error::{Error, Result};

/// What `STORED AS PARQUET` stands for, in Hive's names.
pub const PARQUET_SERDE: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
pub const PARQUET_INPUT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat";
pub const PARQUET_OUTPUT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat";

/// One `CREATE EXTERNAL TABLE` statement.
///
/// * Names are lower-case letters, digits and underscores, as Glue keeps them; no column's is there twice,
///   partition columns included.
/// * There is at least one column. Partition columns are strings (FACTS 2.11).
/// * `properties` keeps the order of the statement, without doubles.
/// * `Display` prints the short form, which `parse` reads back as the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ddl {
    pub name: TableName,
    pub columns: Vec<Column>,
    pub comment: Option<String>,
    pub partitioned_by: Vec<Column>,
    /// As written, with a slash at the end; `None` where the statement has none.
    pub location: Option<String>,
    pub properties: Vec<Property>,
}

/// One entry of `TBLPROPERTIES`.
#[derive(Clone, Debug)]
pub struct Property {
    pub key: String,
    pub value: String,
    /// The line of the statement it stands on, from 1; 0 where it was not read from a text.
    pub line: u64,
}

impl PartialEq for Property {
    /// Where a property stood is no part of what it says.
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Eq for Property {}

impl Ddl {
    /// Reads one statement, at most 1 MiB of text. An error is of kind `Usage`, begins with the line and the column
    /// and says what to write instead.
    pub fn parse(text: &str) -> Result<Self> {
        parser::parse(text)
    }

    /// The value of a property.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.properties.iter().find(|p| p.key == key).map(|p| p.value.as_str())
    }

    /// Whether both say the same: a catalog keeps no order of properties.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let sorted = |ddl: &Self| {
            let mut ddl = ddl.clone();
            ddl.properties.sort_by(|a, b| a.key.cmp(&b.key));
            ddl
        };
        sorted(self) == sorted(other)
    }

    /// Whether the catalog is to index the table's partitions, and Athena to ask it by that (FACTS 2.12).
    pub fn is_indexed(&self) -> bool {
        self.property("partition_filtering.enabled").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Whether Athena computes the table's partitions, and does not look at those that are registered (FACTS 3.10).
    pub fn is_projected(&self) -> bool {
        self.property("projection.enabled").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// A text as the DDL has it: in single quotes, on one line.
pub fn quoted(text: &str) -> String {
    literal::quote(text)
}

/// Reads a type alone, as a catalog keeps it: `array<struct<a:int>>`.
pub fn read_type(text: &str) -> Result<ColumnType> {
    let mut tokens = Tokens::new(&with_quoted_names(text))?;
    let column_type = types::column_type(&mut tokens, 1)?;
    match tokens.peek() {
        Token::EOF => Ok(column_type),
        _ => tokens.unexpected("the end of the type"),
    }
}

/// A type with the names of its fields in back-ticks, without which `0` and `1e5` would be numbers: a catalog's text
/// has none, as its reader looks for the colon.
fn with_quoted_names(text: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut quoted = String::with_capacity(text.len() + 16);
    let mut parts = text.split(':').peekable();
    while let Some(part) = parts.next() {
        let (before, name) = part.split_at(part.trim_end_matches(is_name).len());
        let is_field = parts.peek().is_some();
        quoted.push_str(before);
        match is_field && !name.is_empty() {
            true => quoted.extend(["`", name, "`"]),
            false => quoted.push_str(name),
        }
        if is_field {
            quoted.push(':');
        }
    }
    quoted
}

/// A location as a table keeps it: with a slash at the end. Refused is what Athena would not find again (FACTS 2.9).
pub fn location(text: &str) -> Result<String> {
    let refuse = |why: &str| Err(Error::usage(format!("'{text}' is no location of a table: {why}")));
    let path = text.split_once("://").map_or(text, |(_, path)| path);
    if text.is_empty() {
        return refuse("name a folder, as in 's3://bucket/prefix/'");
    }
    if let Some(scheme) = ["s3a", "s3n"].iter().find(|s| text.starts_with(&format!("{s}://"))) {
        return refuse(&format!("write s3:// where it has {scheme}://"));
    }
    if path.contains("//") {
        return refuse("write '//' as '/'; Athena finds nothing under an empty name");
    }
    if text.starts_with("s3://") && path.contains(['*', '?']) {
        return refuse("name the folder itself, without '*' and '?'");
    }
    Ok(if text.ends_with('/') { text.to_owned() } else { format!("{text}/") })
}

impl fmt::Display for Ddl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE EXTERNAL TABLE `{}`.`{}` (", self.name.database(), self.name.table())?;
        print_columns(f, &self.columns)?;
        f.write_str("\n)")?;
        if let Some(comment) = &self.comment {
            write!(f, "\nCOMMENT {}", literal::quote(comment))?;
        }
        if !self.partitioned_by.is_empty() {
            f.write_str("\nPARTITIONED BY (")?;
            print_columns(f, &self.partitioned_by)?;
            f.write_str("\n)")?;
        }
        f.write_str("\nSTORED AS PARQUET")?;
        if let Some(location) = &self.location {
            write!(f, "\nLOCATION {}", literal::quote(location))?;
        }
        if !self.properties.is_empty() {
            f.write_str("\nTBLPROPERTIES (")?;
            for (i, property) in self.properties.iter().enumerate() {
                let comma = if i == 0 { "" } else { "," };
                let (key, value) = (literal::quote(&property.key), literal::quote(&property.value));
                write!(f, "{comma}\n  {key} = {value}")?;
            }
            f.write_str("\n)")?;
        }
        Ok(())
    }
}

fn print_columns(f: &mut fmt::Formatter<'_>, columns: &[Column]) -> fmt::Result {
    for (i, column) in columns.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(f, "{comma}\n  `{}` ", column.name)?;
        print_type(f, &column.column_type)?;
        if let Some(comment) = &column.comment {
            write!(f, " COMMENT {}", literal::quote(comment))?;
        }
    }
    Ok(())
}

/// As [`ColumnType`]'s own `Display`, but with the names of fields in back-ticks: in DDL they may be reserved words.
fn print_type(f: &mut fmt::Formatter<'_>, column_type: &ColumnType) -> fmt::Result {
    match column_type {
        ColumnType::Array(element) => {
            f.write_str("array<")?;
            print_type(f, element)?;
        }
        ColumnType::Map(key, value) => {
            f.write_str("map<")?;
            print_type(f, key)?;
            f.write_str(",")?;
            print_type(f, value)?;
        }
        ColumnType::Struct(fields) => {
            f.write_str("struct<")?;
            for (i, field) in fields.iter().enumerate() {
                let comma = if i == 0 { "" } else { "," };
                write!(f, "{comma}`{}`:", field.name)?;
                print_type(f, &field.field_type)?;
            }
        }
        scalar => return write!(f, "{scalar}"),
    }
    f.write_str(">")
}
