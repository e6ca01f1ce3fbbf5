//! The one integration test binary: features at the boundary of the crate.

mod cli;
mod ingest;
mod layers;
mod produce;
