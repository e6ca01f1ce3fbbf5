//! `ticklake query` on a terminal: what is typed, and what is shown.

mod pty;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, Int64Array, TimestampMillisecondArray};
use tempfile::TempDir;
use ticklake::catalog::{Catalog, LocalCatalog};
use ticklake::store::{Durability, Stores};
use ticklake::table::Ddl;

pub use self::pty::{CTRL_C, CTRL_D, Pty, UP};
use crate::query::lake::{partition_of, write};

const PROMPT: &str = "ticklake> ";

/// A folder with a catalog, whose `market.ticks` has a row in each of its partitions.
pub fn lake() -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let catalog = LocalCatalog::open(home.path().join("ticklake.db")).expect("a catalog");
        let stores = Stores::new(Durability::NoFsync);
        let ddl = Ddl::parse(&format!(
            "CREATE EXTERNAL TABLE market.ticks (ts timestamp COMMENT 'event time', price decimal(18,4), size bigint)
             PARTITIONED BY (`date` string, symbol string) STORED AS PARQUET LOCATION 'file://{}/ticks/'",
            home.path().display()
        ))
        .expect("a DDL");
        assert!(catalog.create_table(&ddl).await.expect("it is made"));
        for (i, (date, symbol)) in
            [("2026-11-22", "AAPL"), ("2026-11-22", "MSFT"), ("2026-11-23", "MSFT")].iter().enumerate()
        {
            let folder = partition_of(&ddl, &[date, symbol], &catalog, &stores).await;
            let ts = TimestampMillisecondArray::from(vec![1_795_354_200_000 + i as i64]).with_timezone("UTC");
            let price = Decimal128Array::from(vec![15_000]).with_precision_and_scale(18, 4).expect("it fits");
            let columns: [(&str, ArrayRef); 3] = [
                ("ts", Arc::new(ts)),
                ("price", Arc::new(price)),
                ("size", Arc::new(Int64Array::from(vec![i as i64 * 100]))),
            ];
            assert!(columns.iter().all(|(_, column)| column.len() == 1));
            write(&folder, "k.parquet", &columns, 10).await;
        }
    });
    home
}

fn shell(home: &Path, args: &[&str]) -> Pty {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticklake"));
    command.arg("query").args(args).current_dir(home).env("XDG_STATE_HOME", home.join("state"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TICKLAKE_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
    }
    Pty::start(command)
}

#[test]
fn statements_and_commands_are_answered() {
    let home = lake();
    let mut shell = shell(home.path(), &["--param", "s=MSFT"]);
    shell.sees(PROMPT);
    shell.enter("SELECT symbol, sum(size) AS total");
    shell.enter("FROM market.ticks WHERE symbol = :s");
    shell.enter("GROUP BY symbol;");
    shell.sees(" symbol | total");
    shell.sees(" MSFT   |   300");
    shell.sees(PROMPT);

    for (typed, shown) in [
        ("\\d", " market.ticks"),
        ("\\d market.ticks", " ts     | timestamp     |           | event time"),
        ("\\p market.ticks", "          3 | date=2026-11-23 |         1"),
        ("\\explain SELECT size FROM market.ticks WHERE date = '2026-11-22'", "partitions  2 of 3"),
        ("\\timing", "timing is on"),
        ("\\format csv", ""),
        ("SELECT 1 AS one, 2 AS two;", "one,two\n1,2\n0."),
        ("\\drop it", "error: \\drop is no command: \\? lists them"),
        ("SELECT 1,\r prise FROM market.ticks;", "  2 |  prise FROM market.ticks\n    |  ^"),
        ("\\?", "\\i FILE"),
    ] {
        shell.enter(typed);
        shell.sees(shown);
        shell.sees(PROMPT);
    }
    // What is typed ahead, or sent at once, is kept.
    shell.press("SELECT 'fir' || 'st' AS x;\rSELECT 'sec' || 'ond' AS x;\r");
    shell.sees("\nfirst\n");
    shell.sees("\nsecond\n");
    shell.sees(PROMPT);
    fs::write(home.path().join("two.sql"), "SELECT 41 + 1 AS a; SELECT 43 AS b;").expect("a file");
    shell.enter("\\i two.sql");
    shell.sees("a\n42\n\nb\n43\n");
    shell.enter("\\q");
    assert_eq!(shell.ends().code(), Some(0));
}

#[test]
fn tab_completes_tables_columns_and_values() {
    let home = lake();
    let mut shell = shell(home.path(), &["--format", "csv"]);
    shell.sees(PROMPT);
    shell.press("sel\t siz");
    shell.sees("siz");
    // The table is not named yet, so there is no column to complete.
    shell.press("e, date FROM mar\t WHERE sym\t = 'A\t AND da\t = '2026-11-22';\r");
    shell.sees("size,date\n0,2026-11-22\n");
    shell.sees(PROMPT);
    // Several that fit are shown.
    shell.press("SELECT t.size FROM market.ticks t WHERE t.date = '2026-11-2\t\t");
    shell.sees("2026-11-22");
    shell.sees("2026-11-23");
    shell.press("3';\r");
    shell.sees("size\n200\n");
    shell.sees(PROMPT);
    shell.press("\\d market.t\t\r");
    shell.sees("symbol,string,partition,");
    shell.sees(PROMPT);
    shell.press(CTRL_D);
    assert_eq!(shell.ends().code(), Some(0));
}

#[test]
fn what_was_typed_is_there_again_the_next_time() {
    let home = lake();
    let mut first = shell(home.path(), &["--format", "csv"]);
    first.sees(PROMPT);
    first.enter("SELECT 6 * 7 AS\r answer;");
    first.sees("answer\n42\n");
    first.sees(PROMPT);
    first.press(CTRL_D);
    assert_eq!(first.ends().code(), Some(0));
    let history = home.path().join("state/ticklake/history");
    assert_eq!(fs::metadata(&history).expect("it is kept").permissions().mode() & 0o077, 0);

    let mut second = shell(home.path(), &["--format", "csv"]);
    second.sees(PROMPT);
    second.press(&format!("{UP}\r"));
    second.sees("answer\n42\n");

    fs::remove_file(&history).expect("it is there");
    fs::write(home.path().join("ticklake.toml"), "[shell]\nhistory = 'off'").expect("the settings");
    let mut third = shell(home.path(), &["--format", "csv"]);
    third.sees(PROMPT);
    third.enter("SELECT 1 AS one;");
    third.sees("one\n1\n");
    third.sees(PROMPT);
    third.press(CTRL_D);
    assert_eq!(third.ends().code(), Some(0));
    assert!(!history.exists());
}

#[test]
fn ctrl_c_ends_what_runs_and_nothing_else() {
    let home = lake();
    let mut shell = shell(home.path(), &["--format", "csv"]);
    shell.sees(PROMPT);
    // A line is given up.
    shell.press("SELECT nothing");
    shell.sees("nothing");
    shell.press(CTRL_C);
    shell.sees(PROMPT);
    shell.enter("SELECT * FROM generate_series(1, 100000000000);");
    shell.sees("\n100\n");
    shell.press(CTRL_C);
    shell.sees("cancelled");
    shell.sees(PROMPT);
    shell.enter("SELECT 'still' || ' here' AS x;");
    shell.sees("\nstill here\n");
    shell.enter("exit");
    assert_eq!(shell.ends().code(), Some(0));
}

#[test]
fn a_watch_is_redrawn_until_ctrl_c() {
    let home = lake();
    let mut watch = shell(home.path(), &["--watch", "50ms", "SELECT count(*) AS ticks FROM market.ticks"]);
    for _ in 0..3 {
        watch.sees("Z  SELECT count(*)");
        watch.sees(" ticks\n-------\n     3\n");
    }
    watch.press(CTRL_C);
    assert_eq!(watch.ends().code(), Some(0));
}

#[test]
fn a_terminal_is_not_given_parquet() {
    let home = lake();
    let mut refused = shell(home.path(), &["--format", "parquet", "SELECT 1"]);
    refused.sees("name a file with -o FILE");
    assert_eq!(refused.ends().code(), Some(2));
}
