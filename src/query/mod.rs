//! Turns SQL over the tables of a catalog into rows.
//!
//! An [`Engine`] takes the text of one query and gives an [`Answer`], a stream of record batches; `print` writes it
//! for people (a table, Markdown) or for programs (CSV, JSON lines). Engines only read: a statement that would
//! write, make or drop anything is refused.

mod local;
mod print;

use std::fmt::Debug;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;

pub use local::{Limits, LocalEngine};
pub use print::{Format, print};

use crate::error::Result;
use crate::table::TableName;

/// What runs queries.
///
/// * Tables are named `database.table`; a name without a database is of the database `default`, as in Athena.
/// * Partition columns are columns, the last ones of their table; the partition `__HIVE_DEFAULT_PARTITION__` is null.
/// * A query sees the catalog and the files as they are when it starts.
#[async_trait]
pub trait Engine: Debug + Send + Sync {
    /// Starts one query. A query that the engine does not take is an error of `Kind::Query` in the engine's own
    /// words, here or in the stream.
    async fn query(&self, sql: &str) -> Result<Answer>;

    /// Some rows of a table, at most `limit`, in no order.
    async fn preview(&self, table: &TableName, limit: usize) -> Result<Answer> {
        let (database, table) = (table.database(), table.table());
        self.query(&format!(r#"SELECT * FROM "{database}"."{table}" LIMIT {limit}"#)).await
    }
}

/// The rows of a query, as they come.
pub struct Answer {
    pub schema: SchemaRef,
    /// Each batch has that schema. Ends after the first error; dropping it ends the query.
    pub batches: BoxStream<'static, Result<RecordBatch>>,
}
