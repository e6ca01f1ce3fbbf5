//! Owns where tables are named: a table's DDL and its partitions, as AWS Glue keeps them.
//!
//! Does not own the files: nothing here reads or writes a store.

mod glue;
mod local;

use std::fmt::Debug;

use async_trait::async_trait;

pub use glue::{GlueCatalog, GlueOptions};
pub use local::LocalCatalog;

use crate::error::{Error, Kind, Result};
use crate::table::{Column, Ddl, TableName};

/// What a request to Glue's catalog costs in us-east-1 beyond the first million of a month, in US dollars: 1 a million, in
/// November 2026 (aws.amazon.com/glue/pricing).
pub const CALL_DOLLARS: f64 = 1.0 / 1_000_000.0;

/// One partition of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    /// Raw (unescaped), in the order of the table's partition columns; null is `__HIVE_DEFAULT_PARTITION__`.
    pub values: Vec<String>,
    /// Literal, with a slash at the end.
    pub location: String,
}

/// What became of one partition of a `create_partitions` call.
#[derive(Debug)]
pub enum Registered {
    Created,
    /// There is one of these values, maybe with another location: the caller compares.
    AlreadyExists,
    Failed(Error),
}

/// An index of a catalog over a table's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Partition columns; it serves conditions on the first one.
    pub columns: Vec<String>,
    pub state: IndexState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexState {
    Missing,
    /// It is being made, or removed. Meanwhile no other one of the table can be.
    Changing,
    Ready,
    /// With what the catalog says of it.
    Failed(String),
}

/// A query that has a name, as a table has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub name: TableName,
    /// What the query gives.
    pub columns: Vec<Column>,
    /// Of a form that Athena, Trino and DataFusion all read, with its tables' databases named.
    pub sql: String,
}

/// One condition on the raw value of a partition column; strings compare by their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Index of the partition column.
    pub column: usize,
    pub op: Op,
    pub value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

impl Op {
    fn sql(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::NotEq => "<>",
            Self::Lt => "<",
            Self::LtEq => "<=",
            Self::Gt => ">",
            Self::GtEq => ">=",
        }
    }
}

/// A catalog of tables. Every implementation passes the conformance suite in `tests/it/catalog.rs`.
#[async_trait]
pub trait Catalog: Debug + Send + Sync {
    /// Makes a table, and its database where it is not there. `false` where a table has that name: it is untouched.
    async fn create_table(&self, ddl: &Ddl) -> Result<bool>;

    /// A view is none: that is an error, as it is an engine's own text.
    async fn table(&self, name: &TableName) -> Result<Option<Ddl>>;

    /// Makes a view, in the place of an earlier one of that name that was made here; any other name that is taken is an
    /// error.
    async fn put_view(&self, view: &View) -> Result<()>;

    /// The SQL of a view that was made here; `None` for any other, and where there is none.
    async fn view(&self, name: &TableName) -> Result<Option<String>>;

    /// All tables and views, by name; of one database, or of all.
    async fn tables(&self, database: Option<&str>) -> Result<Vec<TableName>>;

    /// Changes a table from the DDL that was read to another of the same name; its partitions stay as they are. `false` where
    /// the table says something else by now: another one changed it, and it is untouched. A table that already is what is
    /// wanted is `true`, whoever made it so.
    async fn alter_table(&self, was: &Ddl, to: &Ddl) -> Result<bool>;

    /// Gives partitions the columns of their table where they were registered with other types, and tells how many got them:
    /// engines read a partition by its own. Nothing to do where partitions have none.
    async fn renew_partitions(&self, name: &TableName) -> Result<u64>;

    /// The indexes over partitions that a table's DDL asks for, as they stand; none from a catalog that needs none.
    async fn indexes(&self, _: &Ddl) -> Result<Vec<Index>> {
        Ok(Vec::new())
    }

    /// Begins to make an index over these partition columns.
    async fn create_index(&self, name: &TableName, columns: &[String]) -> Result<()> {
        let _ = columns;
        Err(Error::usage("the catalog makes no indexes: it needs none").with("table", name))
    }

    /// Forgets a table and its partitions, or a view that was made here; files stay. `false` where there was none.
    async fn drop_table(&self, name: &TableName) -> Result<bool>;

    /// What tells a table from one that is made anew under its name. `None` where `create_partitions` is one transaction,
    /// so that a table with a partition has all that were added with it.
    async fn incarnation(&self, name: &TableName) -> Result<Option<String>>;

    /// Whether a table has any partition.
    async fn has_partitions(&self, name: &TableName) -> Result<bool>;

    /// The partitions that meet all conditions, by values. It may give more than those: the caller filters what it
    /// must.
    async fn partitions(&self, name: &TableName, conditions: &[Condition]) -> Result<Vec<Partition>>;

    /// Those of the partitions named that are there, in no order. Any number may be asked for.
    async fn find_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<Partition>>;

    /// Adds partitions, any number; the answers are in their order. Not atomic: some may be there and others not.
    /// A partition that exists is left as it is.
    async fn create_partitions(&self, name: &TableName, partitions: &[Partition]) -> Result<Vec<Registered>>;

    /// Forgets partitions, any number, and tells how many were there; files stay. Not atomic.
    async fn drop_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<u64>;
}

fn no_table(name: &TableName) -> Error {
    Error::new(Kind::Catalog, "the catalog has no such table: make it with `ticklake table create`")
        .with("table", name)
}

fn is_view(name: &TableName) -> Error {
    Error::new(Kind::Catalog, "it is a view, which is an engine's own text: ask Athena (--engine athena)")
        .with("table", name)
}

fn is_taken(name: &TableName) -> Error {
    Error::new(Kind::Catalog, "a view cannot have the name of what is there already: drop that, or rename it")
        .with("name", name)
}

fn wrong_count(name: &TableName, values: &[String], columns: usize) -> Error {
    Error::new(Kind::Catalog, "a partition has one value for each partition column of its table")
        .with("table", name)
        .with("partition columns", columns)
        .with("values", format_args!("{values:?}"))
}
