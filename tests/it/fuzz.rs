//! Laws that hold for anything that comes from outside: records, DDL, paths, settings, metrics.
//!
//! Each runs few enough cases to cost seconds; `PROPTEST_CASES=100000 cargo test --test it fuzz` makes it long. What
//! such a run found is a named case in the law's own file, so that it is tried every time.

mod cell;
mod config;
mod ddl;
mod decode;
mod infer;
mod json;
#[cfg(target_os = "linux")]
mod memory;
mod metrics;
mod paths;
mod reference;
mod tree;

use proptest::prelude::ProptestConfig;

/// So many cases, or as many as `PROPTEST_CASES` says.
fn cases(few: u32) -> ProptestConfig {
    let told = ProptestConfig::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => told,
        None => ProptestConfig { cases: few, ..told },
    }
}
