//! `ticklake verify` and `ticklake table repair` as they are typed: what they print, and what they end with.

use std::process::{Command, Output, Stdio};

use super::lake::{AAPL, Copy, GROUP, sound};

/// Runs the program on a copy's catalog.
fn ticklake(copy: &Copy, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticklake"));
    command.args(["--catalog", "sqlite:catalog.db"]).args(args).current_dir(copy.path());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TICKLAKE_")) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).output().expect("it starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_table_ends_with_0() {
    let copy = Copy::new().await;
    let output = ticklake(&copy, &["verify", "market.ticks"]);
    assert_eq!((code(&output), text(&output.stderr)), (0, ""));
    let out = text(&output.stdout);
    assert!(out.ends_with("\nno problem was found\n"), "{out}");
    assert!(out.contains("\n  ticks-0: "), "{out}");

    let brokers = sound().await.cluster.connection().brokers;
    let args = ["verify", "market.ticks", "--records", "--group", GROUP, "--brokers", &brokers];
    let output = ticklake(&copy, &args);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("; compared with 45 records from 0 up to 45, committed 45"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_problem_ends_with_1_and_says_what_to_do() {
    let copy = Copy::new().await;
    let (start, _) = copy.links(AAPL)[1];
    copy.remove(&copy.link(AAPL, start));
    let output = ticklake(&copy, &["verify", "market.ticks"]);
    assert_eq!(code(&output), 1);
    assert_eq!(text(&output.stderr), "error: there is a problem (table: market.ticks)\n");
    let out = text(&output.stdout);
    assert!(
        out.contains("\na file is lost: 1\n  market.ticks date=2026-11-22/symbol=AAPL/k-ticks-0-"),
        "{out}"
    );
    assert!(out.contains("\n    ticks-0: the offsets from 15 up to 30 are missing before it\n"), "{out}");
    assert!(out.contains("\n  to do: restore the file."), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_documented_keys() {
    let copy = Copy::new().await;
    copy.write(&format!("{AAPL}/x.parquet"), b"x");
    let output = ticklake(&copy, &["verify", "market.ticks", "--json"]);
    assert_eq!(code(&output), 1);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys =
        |value: &serde_json::Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&report), ["checked", "gaps", "location", "problems", "sources", "table"]);
    assert_eq!(keys(&report["checked"]), ["bytes", "expired", "links", "partitions", "rows"]);
    assert_eq!(keys(&report["sources"][0]), ["chain_end", "epoch", "links", "partition", "topic"]);
    assert_eq!(report["location"], copy.location("ticks"));
    assert_eq!(
        report["problems"],
        serde_json::json!([{
            "kind": "foreign-file",
            "table": "market.ticks",
            "partition": "date=2026-11-22/symbol=AAPL",
            "file": "date=2026-11-22/symbol=AAPL/x.parquet",
            "source": null,
            "detail": "its name is no link's",
            "fix": "move it out of the table's folder: some engines read it as a part of the table",
        }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_ends_with_2() {
    let copy = Copy::new().await;
    for args in [
        &["verify"][..],
        &["verify", "ticks"],
        &["verify", "market.ticks", "--dates", "2026-11-31..2026-12-01"],
        &["verify", "market.ticks", "--dates", "2026-11-02..2026-11-01"],
        &["verify", "market.ticks", "--group", "g"],
        &["table", "repair"],
    ] {
        assert_eq!(code(&ticklake(&copy, args)), 2, "{args:?}");
    }
    std::fs::write(
        copy.at("yearly.sql"),
        "CREATE EXTERNAL TABLE market.yearly (ts timestamp) PARTITIONED BY (y string) STORED AS PARQUET LOCATION 'y/' \
         TBLPROPERTIES ('ticklake.partition.y' = 'year(ts)')",
    )
    .unwrap();
    assert_eq!(code(&ticklake(&copy, &["table", "create", "yearly.sql"])), 0);
    let output = ticklake(&copy, &["verify", "market.yearly", "--dates", "2026-11-01..2026-11-02"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("no partition column `date`"), "{}", text(&output.stderr));
    // Of a table that is not there, that is the problem.
    assert_eq!(code(&ticklake(&copy, &["verify", "market.none"])), 1);
    assert_eq!(code(&ticklake(&copy, &["table", "repair", "market.none"])), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_says_what_it_did() {
    let copy = Copy::new().await;
    let copy = copy
        .registering(|_, partition| (partition.values.last().unwrap() != "AAPL").then_some(partition))
        .await;
    let at = copy.location("ticks");
    let output = ticklake(&copy, &["table", "repair", "market.ticks"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let aapl = "date=2026-11-22/symbol=AAPL";
    assert_eq!(text(&output.stdout), format!("market.ticks: {aapl} is registered, at {at}{aapl}/\n"));
    let output = ticklake(&copy, &["table", "repair", "market.ticks"]);
    assert_eq!(text(&output.stdout), "market.ticks: the catalog lacks nothing that is there\n");
    let output = ticklake(&copy, &["table", "repair", "market.ticks", "--json"]);
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap(),
        serde_json::json!({"table": "market.ticks", "location": at, "made": [], "registered": [], "problems": []})
    );
}
