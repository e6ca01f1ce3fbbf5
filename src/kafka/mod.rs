//! The one room that knows rdkafka: connections, the admin calls, the producer, the source of records and the
//! in-process cluster.

pub mod client;

pub use client::Connection;
