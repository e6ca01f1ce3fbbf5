//! The one integration test binary: features at the boundary of the crate.

mod athena;
mod catalog;
mod cli;
mod ddl;
mod decoding;
mod feeds;
mod fuzz;
mod grammar;
mod iam;
mod infer;
mod ingest;
mod jobs;
mod layers;
mod metrics;
mod pages;
mod partition;
mod paths;
mod produce;
mod query;
mod schemas;
mod servers;
mod simulation;
mod spec;
mod store;
mod tapped;
mod verify;
