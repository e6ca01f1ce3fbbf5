//! Turns the text of one statement into a [`Ddl`], by recursive descent over its tokens.
//!
//! Bounded: the text by [`TEXT_BYTES_MAX`], the nesting of types in [`types`]. No input panics.

use std::collections::{HashMap, HashSet};

use super::tokens::{Location, Token, Tokens, refuse, short};
use super::{Ddl, PARQUET_INPUT, PARQUET_OUTPUT, PARQUET_SERDE, Property, location, types};
use crate::error::{Error, Result};
use crate::table::columns::{Column, ColumnType};
use crate::table::name::TableName;

/// Some ten thousand columns; more is no statement that a person or Athena wrote.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Glue's limits (FACTS 2.3).
const PROPERTY_KEY_BYTES_MAX: usize = 255;
const PROPERTY_VALUE_BYTES_MAX: usize = 512_000;

const STORE_AS_PARQUET: &str = "ticklake writes Parquet: write STORED AS PARQUET, without ROW FORMAT";

pub(super) fn parse(text: &str) -> Result<Ddl> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::usage(format!(
            "the DDL has {} bytes: give one CREATE EXTERNAL TABLE statement of at most {TEXT_BYTES_MAX}",
            text.len()
        )));
    }
    statement(&mut Tokens::new(text.strip_prefix('\u{feff}').unwrap_or(text))?)
}

/// A value and where it stands.
type Located<T> = (T, Location);

/// The clauses after the columns, each at most once.
#[derive(Default)]
struct Clauses {
    comment: Option<String>,
    partitioned_by: Option<Vec<Located<Column>>>,
    row_format: Option<()>,
    stored: Option<()>,
    location: Option<String>,
    properties: Option<Vec<Property>>,
}

fn statement(tokens: &mut Tokens) -> Result<Ddl> {
    head(tokens)?;
    let name = table_name(tokens)?;
    let columns = columns(tokens, "after the table's name")?;
    let clauses = clauses(tokens)?;
    let at = tokens.at();
    tokens.take(&Token::SemiColon);
    if *tokens.peek() != Token::EOF {
        return tokens.unexpected("the end: give one statement, with each clause once");
    }
    if clauses.stored.is_none() {
        return Err(refuse(at, format!("the statement has no STORED AS: {STORE_AS_PARQUET}")));
    }
    let partitioned_by = clauses.partitioned_by.unwrap_or_default();
    check_columns(&columns, &partitioned_by)?;
    Ok(Ddl {
        name,
        columns: columns.into_iter().map(|(column, _)| column).collect(),
        comment: clauses.comment,
        partitioned_by: partitioned_by.into_iter().map(|(column, _)| column).collect(),
        location: clauses.location,
        properties: clauses.properties.unwrap_or_default(),
    })
}

/// `CREATE EXTERNAL TABLE [IF NOT EXISTS]`
fn head(tokens: &mut Tokens) -> Result<()> {
    if !tokens.take_word("create") {
        return tokens.unexpected("CREATE EXTERNAL TABLE");
    }
    if !tokens.take_word("external") {
        return tokens.unexpected(
            "EXTERNAL: write CREATE EXTERNAL TABLE, the files of such a table are not the catalog's to delete",
        );
    }
    tokens.word("table", "TABLE")?;
    if tokens.take_word("if") {
        tokens.word("not", "IF NOT EXISTS")?;
        tokens.word("exists", "IF NOT EXISTS")?;
    }
    Ok(())
}

/// `` `db`.`table` ``, `db.table`, or both in one name as `SHOW CREATE TABLE` prints them.
fn table_name(tokens: &mut Tokens) -> Result<TableName> {
    let at = tokens.at();
    let mut name = tokens.name("the table's name")?;
    while tokens.take(&Token::Period) {
        name.push('.');
        name.push_str(&tokens.name("the table's name after '.'")?);
    }
    name.parse().map_err(|e| refuse(at, format!("{e}")))
}

/// `(name type [COMMENT text], …)`
fn columns(tokens: &mut Tokens, place: &str) -> Result<Vec<Located<Column>>> {
    tokens.expect(&Token::LParen, &format!("'(' and the columns {place}"))?;
    let mut columns = Vec::new();
    loop {
        let at = tokens.at();
        let name = tokens.column_name("a column's name")?;
        if *tokens.peek() == Token::LParen || matches!(tokens.peek(), Token::Comma | Token::RParen) {
            return tokens.unexpected(&format!(
                "the type of `{name}`; a transform stands in TBLPROPERTIES, \
                 as in 'ticklake.partition.date' = 'day(ts)'"
            ));
        }
        let column_type = types::column_type(tokens, 1)?;
        let comment = if tokens.take_word("comment") { Some(tokens.text("a comment")?) } else { None };
        columns.push((Column { name, column_type, comment }, at));
        if tokens.take(&Token::RParen) {
            return Ok(columns);
        }
        tokens.expect(&Token::Comma, "',' or ')' after a column (COMMENT is all that may follow a type)")?;
    }
}

/// In any order; Athena's own is the one that `Display` prints.
fn clauses(tokens: &mut Tokens) -> Result<Clauses> {
    let mut clauses = Clauses::default();
    loop {
        let at = tokens.at();
        if tokens.take_word("comment") {
            let comment = tokens.text("the table's comment")?;
            once(&mut clauses.comment, comment, "COMMENT", at)?;
        } else if tokens.take_word("partitioned") {
            tokens.word("by", "PARTITIONED BY")?;
            let columns = columns(tokens, "after PARTITIONED BY")?;
            once(&mut clauses.partitioned_by, columns, "PARTITIONED BY", at)?;
        } else if tokens.take_word("row") {
            row_format(tokens)?;
            once(&mut clauses.row_format, (), "ROW FORMAT", at)?;
        } else if tokens.take_word("stored") {
            stored_as(tokens)?;
            once(&mut clauses.stored, (), "STORED AS", at)?;
        } else if tokens.take_word("location") {
            let at_text = tokens.at();
            let text = tokens.text("the location of the table's files")?;
            let text = location(&text).map_err(|e| refuse(at_text, e.to_string()))?;
            once(&mut clauses.location, text, "LOCATION", at)?;
        } else if tokens.take_word("tblproperties") {
            let properties = properties(tokens)?;
            once(&mut clauses.properties, properties, "TBLPROPERTIES", at)?;
        } else if tokens.take_word("clustered") || tokens.take_word("skewed") {
            return Err(refuse(at, "files are cut by partition only: leave out CLUSTERED BY and SKEWED BY"));
        } else if matches!(tokens.peek(), Token::Word(_)) {
            return tokens.unexpected(
                "COMMENT, PARTITIONED BY, ROW FORMAT SERDE, STORED AS, LOCATION or TBLPROPERTIES",
            );
        } else {
            return Ok(clauses);
        }
    }
}

/// `ROW FORMAT SERDE '…' [WITH SERDEPROPERTIES (…)]`, after ROW
fn row_format(tokens: &mut Tokens) -> Result<()> {
    tokens.word("format", "ROW FORMAT")?;
    let at = tokens.at();
    if !tokens.take_word("serde") {
        return tokens.unexpected(&format!("SERDE; {STORE_AS_PARQUET}"));
    }
    let serde = tokens.text("the name of a SERDE")?;
    if serde != PARQUET_SERDE {
        return Err(refuse(at, format!("the table is read by {serde}: {STORE_AS_PARQUET}")));
    }
    if tokens.take_word("with") {
        tokens.word("serdeproperties", "WITH SERDEPROPERTIES")?;
        // Ours have no meaning, and `serialization.format` is always there.
        for property in properties(tokens)? {
            if property.key == "parquet.column.index.access" && property.value == "true" {
                return Err(refuse(
                    Location::new(property.line, 1),
                    "parquet.column.index.access reads columns by their place, and files of several versions \
                     of a table differ in it: leave it out",
                ));
            }
        }
    }
    Ok(())
}

/// `STORED AS PARQUET` or the two classes it stands for, after STORED
fn stored_as(tokens: &mut Tokens) -> Result<()> {
    if !tokens.take_word("as") {
        return tokens.unexpected(&format!("AS; {STORE_AS_PARQUET}"));
    }
    if tokens.take_word("parquet") {
        return Ok(());
    }
    if !tokens.take_word("inputformat") {
        return tokens.unexpected(&format!("PARQUET; {STORE_AS_PARQUET}"));
    }
    let at = tokens.at();
    let input = tokens.text("the name of an INPUTFORMAT")?;
    tokens.word("outputformat", "OUTPUTFORMAT after INPUTFORMAT")?;
    let output = tokens.text("the name of an OUTPUTFORMAT")?;
    if input != PARQUET_INPUT || output != PARQUET_OUTPUT {
        return Err(refuse(at, format!("the table is stored as {input} and {output}: {STORE_AS_PARQUET}")));
    }
    Ok(())
}

/// `('key' = 'value', …)`
fn properties(tokens: &mut Tokens) -> Result<Vec<Property>> {
    tokens.expect(&Token::LParen, "'(' and the properties, as in ('key' = 'value')")?;
    let mut properties: Vec<Property> = Vec::new();
    let mut lines = HashMap::new();
    loop {
        let at = tokens.at();
        let key = tokens.text("a property's key in quotes")?;
        tokens.expect(&Token::Eq, &format!("'=' after the property '{}'", short(&key)))?;
        let value = tokens.text(&format!("the value of '{}' in quotes", short(&key)))?;
        if key.is_empty() || key.len() > PROPERTY_KEY_BYTES_MAX {
            return Err(refuse(
                at,
                format!(
                    "a property's key has 1 to {PROPERTY_KEY_BYTES_MAX} bytes: shorten '{}'",
                    short(&key)
                ),
            ));
        }
        if value.len() > PROPERTY_VALUE_BYTES_MAX {
            return Err(refuse(
                at,
                format!(
                    "the value of '{key}' has {} bytes: shorten it to {PROPERTY_VALUE_BYTES_MAX}",
                    value.len()
                ),
            ));
        }
        if let Some(first) = lines.insert(key.clone(), at.line) {
            return Err(refuse(
                at,
                format!("the property '{key}' is on line {first} already: remove one of the two"),
            ));
        }
        properties.push(Property { key, value, line: at.line });
        if tokens.take(&Token::RParen) {
            return Ok(properties);
        }
        tokens.expect(&Token::Comma, "',' or ')' after a property")?;
    }
}

/// Names are unique over both kinds of columns, and partition columns are strings.
fn check_columns(columns: &[Located<Column>], partitioned_by: &[Located<Column>]) -> Result<()> {
    let mut names = HashSet::new();
    for (column, at) in columns {
        if !names.insert(&column.name) {
            return Err(refuse(*at, format!("the table has two columns `{}`: remove one", column.name)));
        }
    }
    for (column, at) in partitioned_by {
        let name = &column.name;
        if name.starts_with('_') {
            return Err(refuse(
                *at,
                format!("Athena does not look into a folder `{name}=…`: name it without the underscore"),
            ));
        }
        if !names.insert(name) {
            return Err(refuse(
                *at,
                format!(
                    "`{name}` is a column already: a partition column is in no file, so name it once, \
                     here or among the columns"
                ),
            ));
        }
        if column.column_type != ColumnType::String {
            return Err(refuse(
                *at,
                format!(
                    "the partition column `{name}` is {}: write `{name}` string, which Glue prunes in the catalog",
                    column.column_type
                ),
            ));
        }
    }
    Ok(())
}

fn once<T>(clause: &mut Option<T>, value: T, name: &str, at: Location) -> Result<()> {
    if clause.replace(value).is_some() {
        return Err(refuse(at, format!("{name} stands there twice: remove one of the two")));
    }
    Ok(())
}
