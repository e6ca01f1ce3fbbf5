//! Turns SQL over the tables of a catalog into rows.
//!
//! [`text`] cuts what was typed into statements, [`parameters`] fills their values in. An [`Engine`] takes the text of
//! one and gives an [`Answer`], a stream of record batches; `print` writes it for people (a table, Markdown) or for
//! programs (CSV, JSON lines, Parquet). An [`Estimate`] is what it would read, before it runs; [`place`] shows where
//! it is wrong. Engines only read: a statement that would write, make or drop anything is refused.

mod athena;
mod estimate;
mod explain;
mod local;
pub mod parameters;
pub mod place;
pub mod price;
mod print;
pub mod text;

use std::fmt::Debug;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};

pub use athena::{AthenaEngine, AthenaOptions, Results, Workgroup};
pub use estimate::{Estimate, Extent, Reads};
pub use explain::plan;
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
    /// words, here or in the stream; with its place in the text, where the engine tells it.
    async fn query(&self, sql: &str) -> Result<Answer>;

    /// Ends the queries that go on without this process. Those that end with their answer are left to that.
    async fn cancel(&self) -> Result<()> {
        Ok(())
    }

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
    /// What the engine read and asks to be paid for, where it says so.
    pub scanned: Option<Scanned>,
}

impl Answer {
    /// Rows that are known.
    pub fn of(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), batches: futures::stream::iter([Ok(batch)]).boxed(), scanned: None }
    }
}

/// What a query read, and what that costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scanned {
    pub bytes: u64,
    /// US dollars, by the price that is set.
    pub dollars: f64,
}
