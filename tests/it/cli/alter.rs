//! `ticklake table alter`: the change is told before it is made, and only a change that files allow is made.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use rusqlite::Connection;

use super::{DDL, done, err, fails, folder_with_table, out, piped, ticklake};

fn write(home: &Path, ddl: &str) {
    fs::write(home.join("new.sql"), ddl).expect("the DDL is written");
}

fn with_size() -> String {
    DDL.replace("price decimal(18,4)", "price decimal(18,4), size bigint COMMENT 'shares'")
}

#[test]
fn a_change_is_printed_and_then_made() {
    let home = folder_with_table();
    let alter = |more: &[&str]| done(home.path(), &[&["table", "alter", "new.sql"], more].concat());
    let shown = || done(home.path(), &["table", "show", "market.ticks"]);
    let before = shown();
    write(home.path(), DDL);
    assert_eq!(alter(&[]), "market.ticks is what the DDL says: nothing changes\n");

    write(home.path(), &with_size().replace("LOCATION 'lake/ticks/'\n", ""));
    let change = "+ `size` bigint COMMENT 'shares' (null in the files that are there)\n\
                  ! a job that runs goes on under its own DDL: stop it, so that it writes what it has read, and start it with \
                  this one\n";
    assert_eq!(alter(&["--dry-run"]), change);
    assert_eq!(shown(), before);
    assert_eq!(alter(&[]), format!("{change}market.ticks is changed\n"));
    assert!(
        shown().contains("`size` bigint COMMENT 'shares'") && shown().contains("/lake/ticks/'"),
        "{}",
        shown()
    );
    assert_eq!(alter(&[]), "market.ticks is what the DDL says: nothing changes\n");
    assert_eq!(alter(&["--dry-run"]), "market.ticks is what the DDL says: nothing changes\n");
}

#[test]
fn what_cannot_be_changed_is_refused_with_the_reason() {
    let home = folder_with_table();
    let shown = || done(home.path(), &["table", "show", "market.ticks"]);
    let before = shown();
    for (ddl, code, why) in [
        (DDL.replace("decimal(18,4)", "double"), 2, "`price` is decimal(18,4); it cannot be double"),
        (DDL.replace("lake/ticks/", "lake/other/"), 2, "another LOCATION"),
        (DDL.replace("`date` string, symbol string", "symbol string, `date` string"), 2, "partition columns"),
        (DDL.replace("(ts timestamp, ", "("), 2, "no column `ts`"),
        (DDL.replace("market.ticks", "market.other"), 1, "no such table"),
    ] {
        write(home.path(), &ddl);
        let error = fails(&mut ticklake(home.path(), &["table", "alter", "new.sql"]), code);
        assert!(error.contains(why), "{error}");
        assert!(code == 1 || error.contains("file: new.sql"), "{error}");
    }
    // What a job wrote counts, whatever the catalog says by now.
    let kept = home.path().join("lake/ticks/_ticklake/spec");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("0123456789abcdef.sql"), DDL.replace("price", "size string, price")).unwrap();
    write(home.path(), &with_size());
    let error = fails(&mut ticklake(home.path(), &["table", "alter", "new.sql"]), 2);
    assert!(error.contains("an older DDL of the table had `size` as string"), "{error}");
    fs::write(kept.join("0123456789abcdef.sql"), "nothing").unwrap();
    let error = fails(&mut ticklake(home.path(), &["table", "alter", "new.sql"]), 1);
    assert!(error.contains("cannot be read") && error.contains("0123456789abcdef.sql"), "{error}");
    assert_eq!(shown(), before);
}

/// The file is locked between the look at the table and the change.
#[test]
fn a_table_that_another_one_changes_meanwhile_is_left_so() {
    let home = folder_with_table();
    write(home.path(), &with_size());
    let mut other = Connection::open(home.path().join("ticklake.db")).unwrap();
    let change = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let mut child = piped(home.path(), &["table", "alter", "new.sql"]);
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    printed.read_line(&mut line).unwrap();
    assert!(line.starts_with("+ `size` bigint"), "{line}");
    change.execute("UPDATE tables SET ddl = replace(ddl, 'decimal(18,4)', 'decimal(20,4)')", []).unwrap();
    change.commit().unwrap();
    printed.read_to_string(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), out(&output)), (Some(1), ""));
    assert!(err(&output).contains("another one changed the table meanwhile"), "{}", err(&output));
    assert!(!line.contains("is changed"), "{line}");
    assert!(!done(home.path(), &["table", "show", "market.ticks"]).contains("size"));
}
