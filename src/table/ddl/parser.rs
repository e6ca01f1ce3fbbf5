//! Turns the text of one statement into a [`Ddl`], by recursive descent over sqlparser's tokens.
//!
//! Bounded: the text by [`TEXT_BYTES_MAX`], the nesting of types by [`TYPE_DEPTH_MAX`]. No input panics.

use sqlparser::dialect::Dialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use super::{Ddl, Property, literal, location};
use crate::error::{Error, Result};
use crate::table::columns::{Column, ColumnType, StructField};
use crate::table::name::TableName;

/// Some ten thousand columns; more is no statement that a person or Athena wrote.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// A type within a type within …: deeper ones would be read by recursion without end.
const TYPE_DEPTH_MAX: usize = 32;
/// Glue's limits (FACTS 2.3).
const NAME_BYTES_MAX: usize = 255;
const PROPERTY_KEY_BYTES_MAX: usize = 255;
const PROPERTY_VALUE_BYTES_MAX: usize = 512_000;

const PARQUET_SERDE: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
const PARQUET_INPUT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat";
const PARQUET_OUTPUT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat";
const STORE_AS_PARQUET: &str = "ticklake writes Parquet: write STORED AS PARQUET, without ROW FORMAT";

/// Hive's names and literals: back-ticks quote names, both kinds of quotes quote texts.
#[derive(Debug)]
struct AthenaDdl;

impl Dialect for AthenaDdl {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_'
    }

    fn supports_numeric_prefix(&self) -> bool {
        true
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }
}

pub(super) fn parse(text: &str) -> Result<Ddl> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::usage(format!(
            "the DDL has {} bytes: give one CREATE EXTERNAL TABLE statement of at most {TEXT_BYTES_MAX}",
            text.len()
        )));
    }
    Parser::new(text.strip_prefix('\u{feff}').unwrap_or(text))?.statement()
}

struct Parser {
    tokens: Vec<(Token, Location)>,
    next: usize,
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

impl Parser {
    /// Tokens without space and comments; `>>` is two tokens, as it closes two types. The last is the end.
    fn new(text: &str) -> Result<Self> {
        let mut read: Vec<TokenWithSpan> = Vec::new();
        Tokenizer::new(&AthenaDdl, text)
            .with_unescape(false)
            .tokenize_with_location_into_buf(&mut read)
            .map_err(|e| {
                let fix = if e.message.contains("string literal") {
                    "close the text with the quote it begins with"
                } else if e.message.contains("comment") {
                    "close the comment with */"
                } else if e.message.contains("close delimiter") {
                    "close the name with a back-tick"
                } else {
                    "put names into back-ticks and texts into single quotes"
                };
                refuse(e.location, format!("{}: {fix}", lower_first(&e.message)))
            })?;
        let end = read.last().map_or(Location::new(1, 1), |t| t.span.end);
        let mut tokens = Vec::with_capacity(read.len() + 1);
        for TokenWithSpan { token, span } in read {
            match token {
                Token::Whitespace(_) => {}
                Token::ShiftRight => {
                    let second = Location::new(span.start.line, span.start.column + 1);
                    tokens.extend([(Token::Gt, span.start), (Token::Gt, second)]);
                }
                token => tokens.push((token, span.start)),
            }
        }
        tokens.push((Token::EOF, end));
        Ok(Self { tokens, next: 0 })
    }

    fn statement(mut self) -> Result<Ddl> {
        self.head()?;
        let name = self.table_name()?;
        let columns = self.columns("after the table's name")?;
        let clauses = self.clauses()?;
        let at = self.at();
        self.take(&Token::SemiColon);
        if *self.peek() != Token::EOF {
            return self.unexpected("the end: give one statement, with each clause once");
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
    fn head(&mut self) -> Result<()> {
        if !self.take_word("create") {
            return self.unexpected("CREATE EXTERNAL TABLE");
        }
        if !self.take_word("external") {
            return self.unexpected(
                "EXTERNAL: write CREATE EXTERNAL TABLE, the files of such a table are not the catalog's to delete",
            );
        }
        self.word("table", "TABLE")?;
        if self.take_word("if") {
            self.word("not", "IF NOT EXISTS")?;
            self.word("exists", "IF NOT EXISTS")?;
        }
        Ok(())
    }

    /// `` `db`.`table` ``, `db.table`, or both in one name as `SHOW CREATE TABLE` prints them.
    fn table_name(&mut self) -> Result<TableName> {
        let at = self.at();
        let mut name = self.name("the table's name")?;
        while self.take(&Token::Period) {
            name.push('.');
            name.push_str(&self.name("the table's name after '.'")?);
        }
        name.parse().map_err(|e| refuse(at, format!("{e}")))
    }

    /// `(name type [COMMENT text], …)`
    fn columns(&mut self, place: &str) -> Result<Vec<Located<Column>>> {
        self.expect(&Token::LParen, &format!("'(' and the columns {place}"))?;
        let mut columns = Vec::new();
        loop {
            let at = self.at();
            let name = self.column_name("a column's name")?;
            if *self.peek() == Token::LParen || matches!(self.peek(), Token::Comma | Token::RParen) {
                return self.unexpected(&format!(
                    "the type of `{name}`; a transform stands in TBLPROPERTIES, \
                     as in 'ticklake.partition.date' = 'day(ts)'"
                ));
            }
            let column_type = self.column_type(1)?;
            let comment = if self.take_word("comment") { Some(self.text("a comment")?) } else { None };
            columns.push((Column { name, column_type, comment }, at));
            if self.take(&Token::RParen) {
                return Ok(columns);
            }
            self.expect(&Token::Comma, "',' or ')' after a column (COMMENT is all that may follow a type)")?;
        }
    }

    fn column_type(&mut self, depth: usize) -> Result<ColumnType> {
        let at = self.at();
        if depth > TYPE_DEPTH_MAX {
            return Err(refuse(
                at,
                format!(
                    "types are nested deeper than {TYPE_DEPTH_MAX}: flatten them, or keep the field as string"
                ),
            ));
        }
        let name = match self.peek() {
            Token::Word(Word { value, quote_style: None, .. }) => value.to_ascii_lowercase(),
            _ => return self.unexpected("a type, without back-ticks"),
        };
        self.next += 1;
        Ok(match name.as_str() {
            "boolean" => ColumnType::Boolean,
            "tinyint" => ColumnType::TinyInt,
            "smallint" => ColumnType::SmallInt,
            "int" | "integer" => ColumnType::Int,
            "bigint" => ColumnType::BigInt,
            "float" => ColumnType::Float,
            "double" => ColumnType::Double,
            "decimal" => self.decimal(at)?,
            "string" => ColumnType::String,
            "binary" => ColumnType::Binary,
            "date" => ColumnType::Date,
            "timestamp" => ColumnType::Timestamp,
            "array" => {
                self.expect(&Token::Lt, "'<' after array, as in array<string>")?;
                let element = self.column_type(depth + 1)?;
                self.expect(&Token::Gt, "'>' after the type of an array's elements")?;
                ColumnType::Array(Box::new(element))
            }
            "map" => self.map(depth)?,
            "struct" => self.struct_fields(depth)?,
            other => return Err(refuse(at, format!("'{other}' is no type here: {}", type_fix(other)))),
        })
    }

    /// `decimal`, `decimal(p)`, `decimal(p,s)`; Hive's default is (10,0).
    fn decimal(&mut self, at: Location) -> Result<ColumnType> {
        let (mut precision, mut scale) = (10, 0);
        if self.take(&Token::LParen) {
            precision = self.number("the precision of a decimal, 1 to 38")?;
            if self.take(&Token::Comma) {
                scale = self.number("the scale of a decimal, 0 to its precision")?;
            }
            self.expect(&Token::RParen, "')' after a decimal's precision and scale")?;
        }
        if !(1..=38).contains(&precision) || scale > precision {
            return Err(refuse(
                at,
                format!(
                    "decimal({precision},{scale}) cannot be: use a precision of 1 to 38 digits, \
                     of which at most all are the scale, as in decimal(18,4)"
                ),
            ));
        }
        Ok(ColumnType::Decimal { precision, scale })
    }

    fn map(&mut self, depth: usize) -> Result<ColumnType> {
        self.expect(&Token::Lt, "'<' after map, as in map<string,double>")?;
        let at = self.at();
        let key = self.column_type(depth + 1)?;
        if matches!(key, ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_)) {
            return Err(refuse(
                at,
                format!("a map's key cannot be {key}: use a plain type, as in map<string,…>"),
            ));
        }
        self.expect(&Token::Comma, "',' after the type of a map's keys")?;
        let value = self.column_type(depth + 1)?;
        self.expect(&Token::Gt, "'>' after the type of a map's values")?;
        Ok(ColumnType::Map(Box::new(key), Box::new(value)))
    }

    fn struct_fields(&mut self, depth: usize) -> Result<ColumnType> {
        self.expect(&Token::Lt, "'<' after struct, as in struct<bid:double,ask:double>")?;
        let mut fields: Vec<StructField> = Vec::new();
        loop {
            let at = self.at();
            let name = self.column_name("the name of a struct's field")?;
            if fields.iter().any(|f| f.name == name) {
                return Err(refuse(
                    at,
                    format!("the struct has two fields `{name}`: name one of them otherwise"),
                ));
            }
            self.expect(&Token::Colon, "':' between the name and the type of a struct's field")?;
            let field_type = self.column_type(depth + 1)?;
            fields.push(StructField { name, field_type });
            if self.take(&Token::Gt) {
                return Ok(ColumnType::Struct(fields));
            }
            self.expect(&Token::Comma, "',' or '>' after a struct's field (no COMMENT within a type)")?;
        }
    }

    /// In any order; Athena's own is the one that `Display` prints.
    fn clauses(&mut self) -> Result<Clauses> {
        let mut clauses = Clauses::default();
        loop {
            let at = self.at();
            if self.take_word("comment") {
                let comment = self.text("the table's comment")?;
                once(&mut clauses.comment, comment, "COMMENT", at)?;
            } else if self.take_word("partitioned") {
                self.word("by", "PARTITIONED BY")?;
                let columns = self.columns("after PARTITIONED BY")?;
                once(&mut clauses.partitioned_by, columns, "PARTITIONED BY", at)?;
            } else if self.take_word("row") {
                self.row_format()?;
                once(&mut clauses.row_format, (), "ROW FORMAT", at)?;
            } else if self.take_word("stored") {
                self.stored_as()?;
                once(&mut clauses.stored, (), "STORED AS", at)?;
            } else if self.take_word("location") {
                let at_text = self.at();
                let text = self.text("the location of the table's files")?;
                let text = location(&text).map_err(|e| refuse(at_text, e.to_string()))?;
                once(&mut clauses.location, text, "LOCATION", at)?;
            } else if self.take_word("tblproperties") {
                let properties = self.properties()?;
                once(&mut clauses.properties, properties, "TBLPROPERTIES", at)?;
            } else if self.take_word("clustered") || self.take_word("skewed") {
                return Err(refuse(
                    at,
                    "files are cut by partition only: leave out CLUSTERED BY and SKEWED BY",
                ));
            } else if matches!(self.peek(), Token::Word(_)) {
                return self.unexpected(
                    "COMMENT, PARTITIONED BY, ROW FORMAT SERDE, STORED AS, LOCATION or TBLPROPERTIES",
                );
            } else {
                return Ok(clauses);
            }
        }
    }

    /// `ROW FORMAT SERDE '…' [WITH SERDEPROPERTIES (…)]`, after ROW
    fn row_format(&mut self) -> Result<()> {
        self.word("format", "ROW FORMAT")?;
        let at = self.at();
        if !self.take_word("serde") {
            return self.unexpected(&format!("SERDE; {STORE_AS_PARQUET}"));
        }
        let serde = self.text("the name of a SERDE")?;
        if serde != PARQUET_SERDE {
            return Err(refuse(at, format!("the table is read by {serde}: {STORE_AS_PARQUET}")));
        }
        if self.take_word("with") {
            self.word("serdeproperties", "WITH SERDEPROPERTIES")?;
            // Ours have no meaning, and `serialization.format` is always there.
            for property in self.properties()? {
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
    fn stored_as(&mut self) -> Result<()> {
        if !self.take_word("as") {
            return self.unexpected(&format!("AS; {STORE_AS_PARQUET}"));
        }
        if self.take_word("parquet") {
            return Ok(());
        }
        if !self.take_word("inputformat") {
            return self.unexpected(&format!("PARQUET; {STORE_AS_PARQUET}"));
        }
        let at = self.at();
        let input = self.text("the name of an INPUTFORMAT")?;
        self.word("outputformat", "OUTPUTFORMAT after INPUTFORMAT")?;
        let output = self.text("the name of an OUTPUTFORMAT")?;
        if input != PARQUET_INPUT || output != PARQUET_OUTPUT {
            return Err(refuse(
                at,
                format!("the table is stored as {input} and {output}: {STORE_AS_PARQUET}"),
            ));
        }
        Ok(())
    }

    /// `('key' = 'value', …)`
    fn properties(&mut self) -> Result<Vec<Property>> {
        self.expect(&Token::LParen, "'(' and the properties, as in ('key' = 'value')")?;
        let mut properties: Vec<Property> = Vec::new();
        loop {
            let at = self.at();
            let key = self.text("a property's key in quotes")?;
            self.expect(&Token::Eq, &format!("'=' after the property '{}'", short(&key)))?;
            let value = self.text(&format!("the value of '{}' in quotes", short(&key)))?;
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
            if let Some(first) = properties.iter().find(|p| p.key == key) {
                return Err(refuse(
                    at,
                    format!("the property '{key}' is on line {} already: remove one of the two", first.line),
                ));
            }
            properties.push(Property { key, value, line: at.line });
            if self.take(&Token::RParen) {
                return Ok(properties);
            }
            self.expect(&Token::Comma, "',' or ')' after a property")?;
        }
    }

    fn column_name(&mut self, what: &str) -> Result<String> {
        let at = self.at();
        let name = self.name(what)?.to_ascii_lowercase();
        let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(valid) {
            return Err(refuse(
                at,
                format!(
                    "'{}' is no name of a column: use 1 to {NAME_BYTES_MAX} letters, digits and underscores, and say \
                     where it comes from, as in 'ticklake.source.adj_close' = '/Adj Close'",
                    short(&name)
                ),
            ));
        }
        Ok(name)
    }

    /// An identifier as written. A reserved word is one too, since every place for a name has no other meaning.
    fn name(&mut self, what: &str) -> Result<String> {
        match self.peek() {
            Token::Word(Word { value, .. }) => {
                let name = value.clone();
                self.next += 1;
                Ok(name)
            }
            _ => self.unexpected(&format!("{what}; names stand in back-ticks, as in `price`")),
        }
    }

    fn text(&mut self, what: &str) -> Result<String> {
        let (raw, quote) = match self.peek() {
            Token::SingleQuotedString(raw) => (raw, '\''),
            Token::DoubleQuotedString(raw) => (raw, '"'),
            _ => return self.unexpected(&format!("{what}, in single quotes")),
        };
        let Some(text) = literal::unescape(raw, quote) else {
            return Err(refuse(
                self.at(),
                "a \\u escape gives half a character: write both halves of the pair",
            ));
        };
        self.next += 1;
        Ok(text)
    }

    fn number(&mut self, what: &str) -> Result<u8> {
        let number = match self.peek() {
            Token::Number(digits, false) => digits.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => {
                self.next += 1;
                Ok(number)
            }
            None => self.unexpected(what),
        }
    }

    fn word(&mut self, keyword: &str, what: &str) -> Result<()> {
        if self.take_word(keyword) { Ok(()) } else { self.unexpected(what) }
    }

    fn take_word(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(Word { value, quote_style: None, .. })
            if value.eq_ignore_ascii_case(keyword));
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, token: &Token, what: &str) -> Result<()> {
        if self.take(token) { Ok(()) } else { self.unexpected(what) }
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        self.next += usize::from(found);
        found
    }

    /// The end repeats: it is never taken.
    fn peek(&self) -> &Token {
        &self.tokens[self.next].0
    }

    fn at(&self) -> Location {
        self.tokens[self.next].1
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T> {
        let found = match self.peek() {
            Token::EOF => "the end of the text".to_owned(),
            token => format!("'{}'", short(&token.to_string())),
        };
        Err(refuse(self.at(), format!("found {found}, expected {expected}")))
    }
}

/// Names are unique over both kinds of columns, and partition columns are strings.
fn check_columns(columns: &[Located<Column>], partitioned_by: &[Located<Column>]) -> Result<()> {
    let mut names = std::collections::HashSet::new();
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

fn type_fix(name: &str) -> &'static str {
    match name {
        "varchar" | "char" | "text" | "character" | "json" | "uuid" => "use string",
        "real" => "use float",
        "long" | "int64" | "int8" => "use bigint",
        "numeric" | "dec" | "number" => "use decimal(p,s), as in decimal(18,4)",
        "datetime" | "timestamptz" => "use timestamp",
        "bool" => "use boolean",
        "varbinary" | "bytes" => "use binary",
        "row" => "use struct<name:type,…>",
        _ => {
            "use boolean, tinyint, smallint, int, bigint, float, double, decimal(p,s), string, binary, date, timestamp, \
             array<…>, map<string,…> or struct<name:type,…>"
        }
    }
}

fn refuse(at: Location, message: impl AsRef<str>) -> Error {
    let message = message.as_ref();
    Error::usage(format!("line {}, column {}: {message}", at.line, at.column))
}

/// What was found, short enough for a message of one line.
fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn lower_first(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}
