//! The one integration test binary: features at the boundary of the crate.

mod ddl;
mod ingest;
mod partition;
mod produce;
mod schemas;
mod spec;
