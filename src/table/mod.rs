//! What a table is: its DDL, its columns, its partitions and its spec.
//!
//! Pure: no IO, no clock, no randomness. Everything else in the crate is written in these words.

pub mod columns;
pub mod ddl;
pub mod evolve;
pub mod name;
pub mod partition;
pub mod pointer;
pub mod spec;
pub mod transform;

pub use columns::{Column, ColumnType};
pub use ddl::Ddl;
pub use evolve::Evolution;
pub use name::TableName;
pub use partition::PartitionKey;
pub use spec::Spec;
pub use transform::{Calendar, Transform};
