//! The one room that knows rdkafka: connections, the admin calls, the producer, the source of records, the reader
//! that only looks, and the in-process cluster.

pub mod admin;
mod asking;
pub mod client;
pub mod cluster;
mod hearing;
pub mod iam;
mod native;
pub mod producer;
pub mod reader;
pub mod records;
pub mod source;

pub use admin::Admin;
pub use client::Connection;
pub use cluster::Cluster;
pub use producer::Producer;
pub use reader::{Reader, ReaderTopic};
pub use records::{Record, RecordSet, TopicPartition};
pub use source::{
    Commit, Delivery, Found, FromSources, Offer, Source, SourceCommand, SourceEvent, SourceOptions, ToJob,
};
