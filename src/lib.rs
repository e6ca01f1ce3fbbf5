//! ticklake: JSON ticks from Kafka become a partitioned Parquet lake, exactly once.

pub mod catalog;
pub mod cli;
pub mod config;
pub mod demo;
pub mod error;
pub mod ingest;
pub mod kafka;
pub mod produce;
pub mod query;
pub mod store;
pub mod table;

pub use error::{Error, Result};
