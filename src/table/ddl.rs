//! Defines a table's DDL: `CREATE EXTERNAL TABLE` in Athena's dialect, read and printed.

use std::fmt;

use super::columns::Column;
use super::name::TableName;
use crate::error::Result;

/// One `CREATE EXTERNAL TABLE` statement.
///
/// * Names are lower-case.
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
    pub fn parse(_text: &str) -> Result<Self> {
        todo!()
    }

    /// The value of a property.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.properties.iter().find(|p| p.key == key).map(|p| p.value.as_str())
    }
}

impl fmt::Display for Ddl {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
