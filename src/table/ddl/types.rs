//! Reads the types of columns: `array<struct<a:int,b:decimal(18,4)>>`.

use std::collections::HashSet;

use super::tokens::{Location, Token, Tokens, refuse};
use crate::error::Result;
use crate::table::columns::{ColumnType, StructField};

/// A type within a type within …: deeper ones would be read by recursion without end.
const TYPE_DEPTH_MAX: usize = 32;

/// Reads one type; `depth` is 1 for a column's own.
pub(super) fn column_type(tokens: &mut Tokens, depth: usize) -> Result<ColumnType> {
    let at = tokens.at();
    if depth > TYPE_DEPTH_MAX {
        return Err(refuse(
            at,
            format!(
                "types are nested deeper than {TYPE_DEPTH_MAX}: flatten them, or keep the field as string"
            ),
        ));
    }
    let name = tokens.keyword("a type, without back-ticks")?;
    Ok(match name.as_str() {
        "boolean" => ColumnType::Boolean,
        "tinyint" => ColumnType::TinyInt,
        "smallint" => ColumnType::SmallInt,
        "int" | "integer" => ColumnType::Int,
        "bigint" => ColumnType::BigInt,
        "float" => ColumnType::Float,
        "double" => ColumnType::Double,
        "decimal" => decimal(tokens, at)?,
        "string" => ColumnType::String,
        "binary" => ColumnType::Binary,
        "date" => ColumnType::Date,
        "timestamp" => ColumnType::Timestamp,
        "array" => {
            tokens.expect(&Token::Lt, "'<' after array, as in array<string>")?;
            let element = column_type(tokens, depth + 1)?;
            tokens.expect(&Token::Gt, "'>' after the type of an array's elements")?;
            ColumnType::Array(Box::new(element))
        }
        "map" => map(tokens, depth)?,
        "struct" => struct_fields(tokens, depth)?,
        other => return Err(refuse(at, format!("'{other}' is no type here: {}", type_fix(other)))),
    })
}

/// `decimal`, `decimal(p)`, `decimal(p,s)`; Hive's default is (10,0).
fn decimal(tokens: &mut Tokens, at: Location) -> Result<ColumnType> {
    let (mut precision, mut scale) = (10, 0);
    if tokens.take(&Token::LParen) {
        precision = tokens.number("the precision of a decimal, 1 to 38")?;
        if tokens.take(&Token::Comma) {
            scale = tokens.number("the scale of a decimal, 0 to its precision")?;
        }
        tokens.expect(&Token::RParen, "')' after a decimal's precision and scale")?;
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

fn map(tokens: &mut Tokens, depth: usize) -> Result<ColumnType> {
    tokens.expect(&Token::Lt, "'<' after map, as in map<string,double>")?;
    let at = tokens.at();
    let key = column_type(tokens, depth + 1)?;
    if matches!(key, ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_)) {
        return Err(refuse(
            at,
            format!("a map's key cannot be {key}: use a plain type, as in map<string,…>"),
        ));
    }
    tokens.expect(&Token::Comma, "',' after the type of a map's keys")?;
    let value = column_type(tokens, depth + 1)?;
    tokens.expect(&Token::Gt, "'>' after the type of a map's values")?;
    Ok(ColumnType::Map(Box::new(key), Box::new(value)))
}

fn struct_fields(tokens: &mut Tokens, depth: usize) -> Result<ColumnType> {
    tokens.expect(&Token::Lt, "'<' after struct, as in struct<bid:double,ask:double>")?;
    let mut fields = Vec::new();
    let mut names = HashSet::new();
    loop {
        let at = tokens.at();
        let name = tokens.column_name("the name of a struct's field")?;
        if !names.insert(name.clone()) {
            return Err(refuse(
                at,
                format!("the struct has two fields `{name}`: name one of them otherwise"),
            ));
        }
        tokens.expect(&Token::Colon, "':' between the name and the type of a struct's field")?;
        let field_type = column_type(tokens, depth + 1)?;
        fields.push(StructField { name, field_type });
        if tokens.take(&Token::Gt) {
            return Ok(ColumnType::Struct(fields));
        }
        tokens.expect(&Token::Comma, "',' or '>' after a struct's field (no COMMENT within a type)")?;
    }
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
