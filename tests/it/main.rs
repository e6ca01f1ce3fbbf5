//! The one integration test binary: features at the boundary of the crate.

mod cli;
mod ddl;
mod ingest;
mod layers;
mod partition;
mod produce;
mod schemas;
mod spec;
