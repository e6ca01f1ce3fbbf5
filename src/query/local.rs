//! Runs queries in this process, by DataFusion.
//!
//! SQL ─ parse ─▶ names ─ `lake`: look up the catalog ─▶ plan ─ `scan`: partitions, files ─▶ Parquet ─▶ batches
//!
//! `pruning` decides which partitions a query needs: no other file is opened. Within a file, row groups and pages are left
//! out by their statistics. `tail` reads the end of a file once, and ahead. `cost` adds up what a plan would read.

mod cost;
mod lake;
mod pruning;
mod scan;
mod tail;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, TryStreamExt};

use self::lake::Lake;
use super::{Answer, Engine, Estimate};
use crate::catalog::Catalog;
use crate::error::{Error, Kind, Place, Result};
use crate::store::Stores;

/// The database of a table that is named without one (Athena's).
const DEFAULT_DATABASE: &str = "default";

/// What the catalog is called in a name of three parts, as in Athena.
const CATALOG: &str = "awsdatacatalog";

/// Without another number there are as many streams as cores, and so many at least: where the store is far away, a stream
/// mostly waits for its file. Where it is near, more streams take no more CPU (BENCHMARKS.md).
const STREAMS_LEAST: usize = 8;

/// Each of a query's operators has a task and its buffers for each stream: what is far above all use is a slip.
const STREAMS_MAX: usize = 1024;

/// The limits of an engine, over all of its queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What sorts, joins and groups hold together. Past it they spill to disk, and what cannot spill fails. The
    /// batches on their way between the operators come on top: some megabytes for each stream.
    pub memory_bytes: usize,
    /// What is spilled at one time.
    pub spill_bytes: u64,
    /// Where; the system's folder of temporary files unless another is named.
    pub spill_folder: Option<PathBuf>,
    /// Parallel streams of one query. Without it: as many as there are cores, 8 at least.
    pub streams: Option<NonZeroUsize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 1 << 30, spill_bytes: 100 << 30, spill_folder: None, streams: None }
    }
}

/// DataFusion over the tables of a catalog.
#[derive(Clone)]
pub struct LocalEngine {
    catalog: Arc<dyn Catalog>,
    stores: Stores,
    /// Everything of a session but the catalog, which each query looks up anew.
    session: SessionState,
}

impl LocalEngine {
    pub fn new(catalog: Arc<dyn Catalog>, stores: Stores, limits: &Limits) -> Result<Self> {
        let runtime = runtime(limits).map_err(failed)?;
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, DEFAULT_DATABASE)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(true);
        // `1.1` is an exact decimal, as in Athena: a price compares with it digit by digit.
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        // Errors of a plan tell their place.
        config.options_mut().sql_parser.collect_spans = true;
        // `now()` is an instant, as the timestamps of tables are.
        config.options_mut().execution.time_zone = Some("UTC".to_owned());
        let streams = limits.streams.map_or(config.target_partitions().max(STREAMS_LEAST), NonZeroUsize::get);
        if streams > STREAMS_MAX {
            return Err(Error::usage(format!("a query takes up to {STREAMS_MAX} streams"))
                .with("query.streams", streams));
        }
        config = config.with_target_partitions(streams);
        // Each sort keeps this much aside for merging what it spilled: all of them together a quarter at most.
        let share = limits.memory_bytes / config.target_partitions() / 4;
        let reserved = config.options().execution.sort_spill_reservation_bytes.min(share);
        config = config.with_sort_spill_reservation_bytes(reserved);
        let session = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::new(runtime))
            .with_default_features()
            .build();
        Ok(Self { catalog, stores, session })
    }

    /// With another database for names without one, as a session of Athena's may have.
    #[must_use]
    pub fn with_database(mut self, database: &str) -> Self {
        let config = self.session.config_mut().options_mut();
        config.catalog.default_schema = database.to_owned();
        self
    }

    /// What a statement would read at most. Nothing of a table is read for it but, where its files are few, footers.
    pub async fn estimate(&self, sql: &str) -> Result<Estimate> {
        let (session, plan) = self.plan(sql).await.map_err(failed)?;
        cost::estimate(&session, &plan).await.map_err(failed)
    }

    async fn start(&self, sql: &str) -> Result<Answer, DataFusionError> {
        let (session, plan) = self.plan(sql).await?;
        let plan = session.create_physical_plan(&plan).await?;
        let stream = execute_stream(plan, session.task_ctx())?;
        Ok(Answer { schema: stream.schema(), batches: stream.map_err(failed).boxed(), scanned: None })
    }

    /// The plan of a statement that only reads, in a session of its own.
    async fn plan(&self, sql: &str) -> Result<(SessionState, LogicalPlan), DataFusionError> {
        let dialect = self.session.config_options().sql_parser.dialect;
        let statement = self.session.sql_to_statement(sql, &dialect)?;
        let names = self.session.resolve_table_references(&statement)?;
        let lake = Lake::new(self.catalog.clone(), self.stores.clone(), self.session.clone());
        // Its tables list what is in the catalog, and cannot wait for it.
        let lists_tables = names.iter().any(|name| name.schema() == Some("information_schema"));
        let lake = if lists_tables { lake.listed().await? } else { lake };

        let mut session = SessionStateBuilder::new_from_existing(self.session.clone())
            .with_catalog_list(Arc::new(lake))
            .build();
        session.mark_start_execution(); // what `now()` and `current_date` are
        let plan = session.statement_to_plan(statement).await?;
        let only_queries =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        only_queries.verify_plan(&plan)?;
        Ok((session, plan))
    }
}

#[async_trait]
impl Engine for LocalEngine {
    async fn query(&self, sql: &str) -> Result<Answer> {
        self.start(sql).await.map_err(failed)
    }
}

impl fmt::Debug for LocalEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEngine").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}

fn runtime(limits: &Limits) -> Result<RuntimeEnv, DataFusionError> {
    // The error of a query that does not fit names the five operators that hold the most.
    let named = NonZeroUsize::new(5).expect("5 is not 0");
    let pool = TrackConsumersPool::new(FairSpillPool::new(limits.memory_bytes), named);
    let mode = match &limits.spill_folder {
        Some(folder) => DiskManagerMode::Directories(vec![folder.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let disk = DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(limits.spill_bytes);
    RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).with_disk_manager_builder(disk).build()
}

/// An error of ours that went through the engine comes out as it went in.
fn failed(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::new(Kind::Query, error.to_string()),
        },
        DataFusionError::Context(_, error) | DataFusionError::Diagnostic(_, error)
            if matches!(error.find_root(), DataFusionError::External(_)) =>
        {
            failed(*error)
        }
        error => {
            let place = place_of(&error);
            let is_full = matches!(error.find_root(), DataFusionError::ResourcesExhausted(_));
            let mut error = Error::new(Kind::Query, error.strip_backtrace());
            if is_full {
                error = error.with("raise", "query.memory, query.spill");
            }
            match place {
                Some(place) => error.at(place),
                None => error,
            }
        }
    }
}

/// The planner's errors have a span; the parser's say it: `… at Line: 1, Column: 8`.
fn place_of(error: &DataFusionError) -> Option<Place> {
    let known = |line: u64, column: u64| {
        let place = Place { line: usize::try_from(line).ok()?, column: usize::try_from(column).ok()? };
        (line > 0 && column > 0).then_some(place)
    };
    if let Some(span) = error.diagnostic().and_then(|diagnostic| diagnostic.span) {
        return known(span.start.line, span.start.column);
    }
    let DataFusionError::SQL(e, _) = error.find_root() else { return None };
    let text = e.to_string();
    let (_, place) = text.rsplit_once("Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let digits = column.find(|c: char| !c.is_ascii_digit()).unwrap_or(column.len());
    known(line.parse().ok()?, column[..digits].parse().ok()?)
}
