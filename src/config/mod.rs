//! Defines the settings: what is in force, and where each value comes from.
//!
//! Layers, each above the one before: defaults < `ticklake.toml` < `TICKLAKE_…` variables < flags. A key that no
//! setting has is an error in every layer but `[kafka]`, where any of librdkafka's properties passes through by its
//! own name. What a command does with a setting is the command's: nothing here opens a file but `ticklake.toml`.

mod layers;
mod show;
mod values;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use layers::{Config, Flag};
pub use show::Entry;

use crate::aws::AwsOptions;
use crate::catalog::GlueOptions;
use crate::ingest::{From, Limits, Lost};
use crate::query::{self, AthenaOptions};
use crate::store::{Addressing, S3Options};

/// All settings, by section. `Default` is the lowest layer, and the list of all keys there are.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub athena: Athena,
    pub aws: Aws,
    pub catalog: CatalogAt,
    pub glue: Glue,
    pub ingest: Ingest,
    pub kafka: Kafka,
    pub log: Log,
    pub query: Query,
    pub s3: S3,
    pub shell: Shell,
    pub store: Store,
}

/// Where the catalog is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum CatalogAt {
    /// `sqlite:FILE`, from the working directory.
    Sqlite(PathBuf),
    /// `glue`: AWS Glue's data catalog.
    Glue,
}

/// How AWS is reached; what is not set is looked up by AWS's default chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Aws {
    #[serde(with = "values::optional")]
    pub region: Option<String>,
    #[serde(with = "values::optional")]
    pub profile: Option<String>,
    /// For all services, where they are not AWS's own.
    #[serde(with = "values::optional")]
    pub endpoint: Option<String>,
}

/// The engine in AWS.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Athena {
    #[serde(with = "values::text")]
    pub workgroup: String,
    /// Of names without one.
    #[serde(with = "values::optional")]
    pub database: Option<String>,
    /// Where results go on S3, if the workgroup does not say it.
    #[serde(with = "values::optional")]
    pub output: Option<String>,
    #[serde(with = "values::optional")]
    pub endpoint: Option<String>,
    /// What a terabyte (2⁴⁰ bytes) of scanned data costs, in US dollars.
    #[serde(with = "values::amount")]
    pub price_per_tb: f64,
}

/// The catalog in AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Glue {
    /// The account whose catalog it is, if not the caller's.
    #[serde(with = "values::optional")]
    pub catalog_id: Option<String>,
    #[serde(with = "values::optional")]
    pub endpoint: Option<String>,
}

/// S3, or a server that speaks it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    #[serde(with = "values::optional")]
    pub endpoint: Option<String>,
    #[serde(with = "values::addressing")]
    pub addressing_style: Addressing,
    #[serde(with = "values::optional")]
    pub kms_key: Option<String>,
    #[serde(with = "values::optional")]
    pub storage_class: Option<String>,
    #[serde(with = "values::duration")]
    pub timeout: Duration,
}

/// One ingestion job. `topics` and `table` have no default: a flag or a layer gives them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    #[serde(with = "values::names")]
    pub topics: Vec<String>,
    /// A DDL file, or `DATABASE.TABLE`.
    #[serde(with = "values::optional")]
    pub table: Option<String>,
    /// Above the DDL's own LOCATION.
    #[serde(with = "values::optional")]
    pub location: Option<String>,
    #[serde(with = "values::optional")]
    pub group: Option<String>,
    #[serde(with = "values::start")]
    pub from: From,
    /// What is done where retention was quicker than the group.
    #[serde(with = "values::lost")]
    pub lost_records: Lost,
    #[serde(with = "values::number")]
    pub source_epoch: u32,
    #[serde(with = "values::number")]
    pub flush_rows: usize,
    #[serde(with = "values::bytes")]
    pub flush_bytes: usize,
    #[serde(with = "values::duration")]
    pub flush_age: Duration,
    /// The budget of all buffers and files in flight, in bytes.
    #[serde(with = "values::bytes")]
    pub memory: usize,
    /// Files encoded and put at once.
    #[serde(with = "values::number")]
    pub writes: usize,
    /// Consumers of the group in this process.
    #[serde(with = "values::number")]
    pub workers: usize,
    #[serde(with = "values::duration")]
    pub commit_interval: Duration,
    #[serde(with = "values::duration")]
    pub drain_deadline: Duration,
    #[serde(with = "values::duration")]
    pub catalog_ttl: Duration,
    /// The share of records that may be rejected, of so many one after another.
    #[serde(with = "values::amount")]
    pub rejected_max_ratio: f64,
    #[serde(with = "values::number")]
    pub rejected_window: u64,
    /// `HOST:PORT` where `/metrics` and `/healthz` are served.
    #[serde(with = "values::optional")]
    pub metrics: Option<String>,
}

/// How to reach Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Kafka {
    /// `HOST:PORT,…`; librdkafka's own names for it, `bootstrap.servers` and `metadata.broker.list`, are this key.
    #[serde(with = "values::text")]
    pub brokers: String,
    /// librdkafka's properties, by its names.
    #[serde(flatten, with = "values::properties")]
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    /// `info`, or directives as `RUST_LOG` takes them: `warn,ticklake=debug`.
    #[serde(with = "values::text")]
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// The engine in this process.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Parallel streams of a query; 0: as many as there are cores, 8 at least.
    #[serde(with = "values::number")]
    pub streams: usize,
    /// What sorts, joins and groups hold together before they spill.
    #[serde(with = "values::bytes")]
    pub memory: usize,
    /// What is spilled at one time.
    #[serde(with = "values::bytes")]
    pub spill: usize,
    /// Where; without it, the system's folder of temporary files.
    #[serde(with = "values::optional")]
    pub spill_folder: Option<String>,
}

/// `ticklake query` where a terminal asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Shell {
    /// The file that keeps what was typed, or `off`; without it, one in the user's folder of state.
    #[serde(with = "values::optional")]
    pub history: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Whether a file on a local disk is synced before its offsets are committed.
    #[serde(with = "values::switch")]
    pub fsync: bool,
}

impl Aws {
    pub fn options(&self) -> AwsOptions {
        let Self { region, profile, endpoint } = self.clone();
        AwsOptions { region, profile, endpoint }
    }
}

impl Athena {
    pub fn options(&self) -> AthenaOptions {
        let Self { workgroup, database, output, endpoint, price_per_tb } = self.clone();
        AthenaOptions { workgroup, database, output, endpoint, price_per_tb }
    }
}

impl Glue {
    pub fn options(&self) -> GlueOptions {
        let Self { catalog_id, endpoint } = self.clone();
        GlueOptions { catalog_id, endpoint }
    }
}

impl S3 {
    pub fn options(&self) -> S3Options {
        let Self { endpoint, addressing_style, kms_key, storage_class, timeout } = self.clone();
        S3Options { endpoint, addressing: addressing_style, kms_key, storage_class, timeout }
    }
}

impl Query {
    pub fn limits(&self) -> query::Limits {
        query::Limits {
            memory_bytes: self.memory,
            spill_bytes: self.spill as u64,
            spill_folder: self.spill_folder.as_ref().map(PathBuf::from),
            streams: NonZeroUsize::new(self.streams),
        }
    }
}

impl Ingest {
    /// The consumer group of a table's jobs: the one that is set, or the table's own.
    pub fn group_of(&self, table: &impl std::fmt::Display) -> String {
        self.group.clone().unwrap_or_else(|| format!("ticklake-{table}"))
    }

    pub fn limits(&self) -> Limits {
        Limits {
            flush_rows: self.flush_rows,
            flush_bytes: self.flush_bytes,
            flush_age: self.flush_age,
            memory_bytes: self.memory,
            writes: self.writes,
            workers: self.workers,
            commit_interval: self.commit_interval,
            drain_deadline: self.drain_deadline,
            catalog_ttl: self.catalog_ttl,
            rejected_window: self.rejected_window,
            rejected_max_ratio: self.rejected_max_ratio,
        }
    }
}

impl Default for Athena {
    fn default() -> Self {
        let AthenaOptions { workgroup, database, output, endpoint, price_per_tb } = AthenaOptions::default();
        Self { workgroup, database, output, endpoint, price_per_tb }
    }
}

impl Default for Query {
    fn default() -> Self {
        let limits = query::Limits::default();
        Self {
            streams: 0,
            memory: limits.memory_bytes,
            spill: usize::try_from(limits.spill_bytes).unwrap_or(usize::MAX),
            spill_folder: None,
        }
    }
}

impl Default for S3 {
    fn default() -> Self {
        let S3Options { endpoint, addressing, kms_key, storage_class, timeout } = S3Options::default();
        Self { endpoint, addressing_style: addressing, kms_key, storage_class, timeout }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            topics: Vec::new(),
            table: None,
            location: None,
            group: None,
            from: From::Beginning,
            lost_records: Lost::Stop,
            source_epoch: 0,
            flush_rows: limits.flush_rows,
            flush_bytes: limits.flush_bytes,
            flush_age: limits.flush_age,
            memory: limits.memory_bytes,
            writes: limits.writes,
            workers: limits.workers,
            commit_interval: limits.commit_interval,
            drain_deadline: limits.drain_deadline,
            catalog_ttl: limits.catalog_ttl,
            rejected_max_ratio: limits.rejected_max_ratio,
            rejected_window: limits.rejected_window,
            metrics: None,
        }
    }
}

impl Default for CatalogAt {
    fn default() -> Self {
        Self::Sqlite("ticklake.db".into())
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self { brokers: "localhost:9092".to_owned(), properties: BTreeMap::new() }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { fsync: true }
    }
}
