//! The one room that knows rdkafka: connections, the admin calls, the producer, the source of records and the
//! in-process cluster.

pub mod admin;
pub mod client;
pub mod cluster;
mod hearing;
pub mod iam;
mod native;
pub mod producer;
pub mod records;
pub mod source;

pub use admin::Admin;
pub use client::Connection;
pub use cluster::Cluster;
pub use producer::Producer;
pub use records::{Record, RecordSet, TopicPartition};
pub use source::{
    Commit, Delivery, Found, FromSources, Offer, Source, SourceCommand, SourceEvent, SourceOptions, ToJob,
};
