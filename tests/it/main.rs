//! The one integration test binary: features at the boundary of the crate.

mod ddl;
mod partition;
mod schemas;
mod spec;
