//! What a hostile record makes the decoder hold: a small multiple of its bytes, whatever it is.
//!
//! Memory is a process' own, and Linux tells the most that it was, so each record is decoded in a process that does nothing else: this test, started again.

use std::process::Command;

use ticklake::ingest::trial::{Outcome, trial};
use ticklake::kafka::{RecordSet, TopicPartition};
use ticklake::table::Ddl;

const TEST: &str = "fuzz::memory::a_record_takes_a_small_multiple_of_its_bytes";
/// Which of [`RECORDS`] the started process decodes.
const VARIABLE: &str = "FUZZ_MEMORY_RECORD";

const RECORD_BYTES: usize = 16 << 20;
const TIMES_MAX: usize = 12;

/// What a record is made of: before, again and again, after. All of them are short texts that could be much in memory.
const RECORDS: [(&str, &str, &str, &str); 3] = [
    ("int", "[", "1,", "1]"),
    ("map<string,int>", "{\"c\":{", "\"\":1,", "\"\":1}}"),
    ("array<struct<a:int,b:int>>", "{\"c\":[", "{},", "{}]}"),
];

/// The most memory that this process has had.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a system that says it there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// Decodes one record; gives its reason and by how many bytes the process grew.
fn decode((column_type, before, again, after): (&str, &str, &str, &str)) -> (&'static str, usize) {
    let ddl = format!(
        "CREATE EXTERNAL TABLE m.t (c {column_type}) PARTITIONED BY (s string) STORED AS PARQUET \
         TBLPROPERTIES ('ticklake.partition.s' = 'identity(/s)')"
    );
    let ddl = Ddl::parse(&ddl).expect("a table");
    let value = format!("{before}{}{after}", again.repeat(RECORD_BYTES / again.len()));
    let mut records = RecordSet::new(TopicPartition::new("feed", 0), 1);
    records.push(0, None, None, Some(value.as_bytes()));
    let before = peak_bytes();
    match &trial(&ddl, &records).expect("a trial fails at no record")[..] {
        [Outcome::Rejected { reason, .. }] => (reason, peak_bytes() - before),
        other => panic!("{} outcomes", other.len()),
    }
}

#[test]
fn a_record_takes_a_small_multiple_of_its_bytes() {
    if let Some(record) = std::env::var_os(VARIABLE) {
        let record = record.to_str().and_then(|at| at.parse::<usize>().ok()).expect("its index");
        let (reason, bytes) = decode(RECORDS[record]);
        println!("{reason} {bytes} bytes");
        return;
    }
    for (at, record) in RECORDS.iter().enumerate() {
        let mut child = Command::new(std::env::current_exe().expect("this test"));
        child.args([TEST, "--exact", "--nocapture"]).env(VARIABLE, at.to_string());
        let output = child.output().expect("it starts, and is waited for");
        let text = String::from_utf8_lossy(&output.stdout);
        let told = text.lines().find_map(|line| line.split("too_large ").nth(1)?.strip_suffix(" bytes"));
        let bytes: usize =
            told.and_then(|bytes| bytes.parse().ok()).unwrap_or_else(|| panic!("{record:?}: {text}"));
        let times = bytes as f64 / RECORD_BYTES as f64;
        println!("{record:?}: {times:.1} times its bytes");
        assert!(bytes < TIMES_MAX * RECORD_BYTES, "{record:?} took {times:.1} times its bytes");
    }
}
