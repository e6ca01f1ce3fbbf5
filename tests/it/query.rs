//! Parquet files in, SQL answers out: the local engine over a catalog, and how answers are printed.

mod estimate;
pub mod lake;
mod printing;
mod pruning;
mod reading;
mod statements;
