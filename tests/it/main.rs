//! The one integration test binary: features at the boundary of the crate.

mod catalog;
mod query;
mod store;
