//! Holds the lines of the house: which room may know which library, and which other room.
//!
//! It reads the source as text, so it sees what a compiler lets pass. `check` is data in, data out, and is itself
//! tested on a sample that breaks every line.

use std::fs;
use std::path::{Path, PathBuf};

/// A room of src/, what it may `use crate::…`, beside itself and `error`.
const ROOMS: [(&str, &[&str]); 17] = [
    ("error", &[]),
    ("aws", &[]),
    ("table", &[]),
    ("kafka", &["aws", "table"]),
    ("store", &["aws", "table"]),
    ("catalog", &["aws", "table"]),
    ("ingest", &["table", "kafka", "store", "catalog"]),
    ("verify", &["table", "kafka", "store", "catalog", "ingest"]),
    ("infer", &["table", "kafka", "ingest"]),
    ("check", &["table", "kafka", "store", "catalog", "ingest", "query"]),
    ("metrics", &["ingest"]),
    ("produce", &["table", "kafka"]),
    ("query", &["aws", "table", "store", "catalog"]),
    ("demo", &["table", "kafka", "store", "catalog", "ingest", "produce", "query"]),
    ("bench", &["table", "kafka", "store", "catalog", "ingest", "produce", "query"]),
    ("config", &["aws", "catalog", "ingest", "query", "store"]),
    (
        "cli",
        &[
            "aws", "table", "kafka", "store", "catalog", "ingest", "verify", "metrics", "produce", "query",
            "demo", "bench", "config", "infer", "check",
        ],
    ),
];

/// A library or call, and the only paths whose files may name it.
const LIBRARIES: [(&str, &[&str]); 15] = [
    ("rdkafka", &["kafka/"]),
    ("datafusion", &["query/local.rs", "query/local/"]),
    ("rusqlite", &["catalog/local.rs", "catalog/local/"]),
    ("object_store", &["store/", "query/local.rs", "query/local/"]),
    ("axum", &["metrics.rs"]),
    ("hyper", &["metrics.rs"]),
    ("prometheus_client", &["metrics.rs"]),
    ("aws_config", &["aws.rs"]),
    ("aws_sdk_glue", &["catalog/glue.rs", "catalog/glue/"]),
    ("aws_sdk_athena", &["query/athena.rs", "query/athena/"]),
    ("clap", &["cli/", "main.rs"]),
    ("rustyline", &["cli/shell/"]),
    ("figment", &["config/"]),
    ("plotters", &["bench/"]),
    // A call of C that rdkafka does not wrap.
    ("unsafe", &["kafka/native.rs"]),
];

/// What has no place in `table/`: it is pure.
const IMPURE: [&str; 12] = [
    "std::fs",
    "std::io",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time",
    "tokio",
    "rand",
    "object_store",
    "Utc::now",
    "Local::now",
];

/// The stages of the ingest. One may name what another hands over (its types), and calls nothing of it: `mod`,
/// `pipeline` and `place` join them.
const STAGES: [&str; 6] = ["buffer", "decode", "frontier", "register", "route", "write"];

/// Each is in the lock file once: two would be minutes of build, and types that do not fit each other.
const ONCE: [&str; 8] =
    ["arrow", "arrow-array", "arrow-schema", "datafusion", "object_store", "parquet", "rdkafka", "sqlparser"];

/// The lines of `file` (relative to src/) that cross a line of the house.
fn check(file: &str, text: &str) -> Vec<String> {
    let room = room_of(file);
    let mut crossed = Vec::new();
    for (number, line) in code_of(text) {
        let mut cross = |what: String| crossed.push(format!("src/{file}:{number}: {what}"));
        for (library, homes) in LIBRARIES {
            if has_path(line, library) && !homes.iter().any(|home| file.starts_with(home)) {
                cross(format!("{library} is named outside of {}", homes.join(", ")));
            }
        }
        if let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) {
            for other in
                ROOMS.iter().map(|(name, _)| *name).filter(|other| *other != room && *other != "error")
            {
                if has_path(line, &format!("crate::{other}")) && !allowed.contains(&other) {
                    cross(format!("{room} uses {other}"));
                }
            }
        }
        if room == "table" {
            for impure in IMPURE.iter().filter(|impure| has_path(line, impure)) {
                cross(format!("table/ is pure, and this is {impure}"));
            }
        }
    }
    crossed
}

/// `table` of `table/ddl.rs`, `error` of `error.rs`.
fn room_of(file: &str) -> &str {
    file.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

/// The lines that are code, with their numbers. Comments are left out; unit tests too, which may use anything.
fn code_of(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..tests].lines().enumerate();
    lines.map(|(i, line)| (i + 1, line.split_once("//").map_or(line, |(code, _)| code)))
}

/// Whether `path` (`std::fs`, `rdkafka`) is on the line as a whole, not as a part of a longer name.
fn has_path(line: &str, path: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(is_name) && !line[at + path.len()..].starts_with(is_name))
}

/// What the stage in `file` (relative to src/) calls of other stages: imports of functions, and paths to them.
fn check_stage(file: &str, text: &str) -> Vec<String> {
    let Some(own) = file.strip_prefix("ingest/").and_then(|file| file.strip_suffix(".rs")) else {
        return Vec::new();
    };
    if !STAGES.contains(&own) {
        return Vec::new();
    }
    let mut crossed = Vec::new();
    for (number, line) in code_of(text) {
        for stage in STAGES.iter().filter(|stage| **stage != own) {
            for called in functions_of(line, stage) {
                crossed.push(format!("src/{file}:{number}: the stage {own} calls {stage}::{called}"));
            }
        }
    }
    crossed
}

/// The functions of a stage that a line names: `stage::run`, or `run` in `stage::{Type, run}`. The whole stage
/// (`super::stage;`) counts as one.
fn functions_of(line: &str, stage: &str) -> Vec<String> {
    let is_function = |name: &&str| name.starts_with(|c: char| c.is_lowercase()) || name.is_empty();
    let mut named = Vec::new();
    for (at, _) in line.match_indices(stage).filter(|(at, _)| line[..*at].ends_with("super::")) {
        let rest = &line[at + stage.len()..];
        match rest.strip_prefix("::") {
            Some(list) if list.starts_with('{') => {
                let list = list[1..].split('}').next().unwrap_or_default();
                named.extend(list.split(',').map(str::trim).filter(|name| !name.is_empty()));
            }
            Some(path) => {
                named.push(path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
            }
            None if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {}
            None => named.push(""),
        }
    }
    named.into_iter().filter(is_function).map(str::to_owned).collect()
}

/// How often each of [`ONCE`] is in a lock file, where that is not once.
fn check_lock(lock: &str) -> Vec<String> {
    let times = |name: &str| lock.lines().filter(|line| *line == format!("name = \"{name}\"")).count();
    ONCE.iter()
        .filter(|name| times(name) != 1)
        .map(|name| format!("Cargo.lock: {name} is there {} times", times(name)))
        .collect()
}

/// Files of src/ and below, relative to it.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path).expect("a folder of the source") {
            let path = entry.expect("an entry of it").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let name =
                    path.strip_prefix(folder).expect("it is below").to_str().expect("UTF-8").to_owned();
                found.push((name, fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    found.sort();
    found
}

fn at_root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn no_line_of_the_house_is_crossed() {
    let sources = sources(&at_root("src"));
    assert!(sources.len() > 20, "the source is not where it was");
    let crossed: Vec<String> = sources
        .iter()
        .flat_map(|(file, text)| [check(file, text), check_stage(file, text)])
        .flatten()
        .collect();
    assert!(crossed.is_empty(), "{}", crossed.join("\n"));
}

#[test]
fn every_room_has_its_lines() {
    for (file, _) in sources(&at_root("src")) {
        let room = room_of(&file);
        let known = ROOMS.iter().any(|(name, _)| *name == room) || ["lib", "main"].contains(&room);
        assert!(known, "src/{file} is in a room that this test does not know: give it its line in ROOMS");
    }
}

#[test]
fn the_large_crates_are_compiled_once() {
    let lock = fs::read_to_string(at_root("Cargo.lock")).expect("the lock file");
    assert_eq!(check_lock(&lock), Vec::<String>::new());
}

#[test]
fn the_check_finds_what_crosses_a_line() {
    let finds = |file: &str, text: &str| check(file, text).len();
    assert_eq!(finds("ingest/decode.rs", "use rdkafka::Message;"), 1);
    assert_eq!(finds("kafka/source.rs", "use rdkafka::Message;"), 0);
    assert_eq!(finds("query/mod.rs", "use datafusion::prelude::*;"), 1);
    assert_eq!(finds("query/local/lake.rs", "use datafusion_expr::Expr; use datafusion::prelude::*;"), 0);
    assert_eq!(finds("store/mod.rs", "fn f() {}\nuse crate::catalog::Catalog;"), 1);
    assert_eq!(finds("kafka.rs", "use crate::ingest;"), 1);
    assert_eq!(finds("ingest/mod.rs", "use crate::catalog::Catalog; use crate::error::Result;"), 0);
    assert_eq!(finds("table/ddl.rs", "let text = std::fs::read(path)?;"), 1);
    assert_eq!(finds("table/ddl.rs", "let now = chrono::Utc::now();"), 1);
    assert_eq!(finds("table/ddl.rs", "let brand = operand; // std::fs, and unsafe"), 0);
    assert_eq!(finds("store/mod.rs", "let x = unsafe { *p };"), 1);
    assert_eq!(finds("table/ddl.rs", "x\n#[cfg(test)]\nmod tests {\nuse std::fs;\n}"), 0);
    assert!(check("table/ddl.rs", "\nuse tokio::fs;")[0].starts_with("src/table/ddl.rs:2: "));
}

#[test]
fn the_check_finds_a_stage_that_calls_another() {
    let finds = |file: &str, text: &str| check_stage(file, text).len();
    assert_eq!(finds("ingest/register.rs", "use super::write::{Target, retried};"), 1);
    assert_eq!(finds("ingest/register.rs", "super::write::retried(1);"), 1);
    assert_eq!(finds("ingest/register.rs", "use super::write;"), 1);
    assert_eq!(finds("ingest/register.rs", "use super::write::Target;"), 0);
    assert_eq!(finds("ingest/register.rs", "use super::writes::all;"), 0);
    assert_eq!(finds("ingest/pipeline.rs", "use super::write::retried;"), 0);
    assert_eq!(finds("catalog/write.rs", "use super::register::all;"), 0);
}

#[test]
fn the_check_finds_a_crate_that_is_there_twice() {
    let once: String = ONCE.iter().map(|name| format!("[[package]]\nname = \"{name}\"\n")).collect();
    assert_eq!(check_lock(&once).len(), 0);
    assert_eq!(check_lock(&format!("{once}name = \"arrow\"\n")).len(), 1);
    assert_eq!(check_lock("").len(), ONCE.len());
}
