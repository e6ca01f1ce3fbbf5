//! What every catalog does: one suite, run by each implementation; then what is SQLite's alone.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Barrier};

use ticklake::catalog::{Catalog, Condition, GlueCatalog, LocalCatalog, Op, Partition, Registered, View};
use ticklake::error::{Kind, chain};
use ticklake::table::{Ddl, TableName};

use crate::servers::Servers;

/// Each test of the suite takes two handles on one new catalog, as the function of the implementation's name gives them.
macro_rules! suite {
    ($implementation:ident, [$($test:ident),* $(,)?]) => {
        mod $implementation {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    let folder = tempfile::tempdir().unwrap();
                    if let Some((one, two)) = super::$implementation(folder.path()).await {
                        super::$test(&one, &two).await;
                    }
                }
            )*
        }
    };
    ($($implementation:ident),* $(,)?) => {
        $(suite!($implementation, [
            a_table_is_made_once_and_read_back,
            tables_are_listed_by_name_and_database,
            a_table_is_changed_only_from_what_was_read,
            of_two_changes_one_is_made,
            a_dropped_table_takes_its_partitions_along,
            a_view_stands_beside_tables_and_is_none,
            odd_values_are_kept_as_they_are,
            conditions_leave_out_no_partition,
            each_partition_has_its_own_answer,
            thousands_go_in_one_call,
            of_two_writers_one_creates,
            partitions_are_dropped_one_by_one,
            partitions_of_an_unknown_table_are_refused,
        ]);)*
    };
}

suite!(sqlite, glue);

async fn sqlite(folder: &Path) -> Option<(LocalCatalog, LocalCatalog)> {
    let open = || LocalCatalog::open(folder.join("catalog.sqlite")).unwrap();
    Some((open(), open()))
}

/// On a server that speaks Glue, where one runs.
async fn glue(_: &Path) -> Option<(GlueCatalog, GlueCatalog)> {
    let catalog = Servers::there()?.catalog().await;
    Some((catalog.clone(), catalog))
}

async fn a_table_is_made_once_and_read_back(one: &dyn Catalog, two: &dyn Catalog) {
    let ddl = table("market", "ticks", &["date", "symbol"]);
    assert!(one.table(&ddl.name).await.unwrap().is_none());
    assert!(one.create_table(&ddl).await.unwrap());
    assert_eq!(two.table(&ddl.name).await.unwrap().as_ref(), Some(&ddl));

    let other = table("market", "ticks", &["day"]);
    assert!(!two.create_table(&other).await.unwrap());
    assert_eq!(one.table(&ddl.name).await.unwrap(), Some(ddl), "the first is untouched");
}

async fn tables_are_listed_by_name_and_database(one: &dyn Catalog, two: &dyn Catalog) {
    for (database, name) in [("market", "ticks"), ("a", "z"), ("market", "bars"), ("a_b", "c")] {
        one.create_table(&table(database, name, &["date"])).await.unwrap();
    }
    let all = ["a.z", "a_b.c", "market.bars", "market.ticks"];
    assert_eq!(strings(two.tables(None).await.unwrap()), all);
    assert_eq!(strings(two.tables(Some("market")).await.unwrap()), &all[2..]);
    assert_eq!(strings(two.tables(Some("a")).await.unwrap()), &all[..1]);
    assert!(two.tables(Some("none")).await.unwrap().is_empty());
}

async fn a_table_is_changed_only_from_what_was_read(one: &dyn Catalog, two: &dyn Catalog) {
    let was = table("market", "ticks", &["date", "symbol"]);
    let changed = |from: &str, to: &str| {
        let text = was.to_string();
        assert!(text.contains(from), "{from}");
        Ddl::parse(&text.replace(from, to)).unwrap()
    };
    let to = changed(
        "`price` decimal(18,4)",
        "`size` bigint COMMENT 'shares', `deep` struct<`at`:array<int>>, `price` decimal(18,4)",
    );
    assert!(two.alter_table(&was, &to).await.unwrap_err().to_string().contains("market.ticks"));
    assert!(one.create_table(&was).await.unwrap());
    let partition = partition(&["2026-11-22", "AAPL"]);
    one.create_partitions(&was.name, std::slice::from_ref(&partition)).await.unwrap();

    assert!(one.alter_table(&was, &to).await.unwrap());
    assert_eq!(two.table(&was.name).await.unwrap().as_ref(), Some(&to));
    let other = changed("'ticklake.sort' = 'ts'", "'ticklake.timezone' = 'Asia/Tokyo'");
    assert!(!two.alter_table(&was, &other).await.unwrap(), "it is not any more what was read");
    assert_eq!(one.table(&was.name).await.unwrap().as_ref(), Some(&to), "it is untouched");
    assert!(two.alter_table(&was, &to).await.unwrap(), "it is what is wanted");

    assert!(two.alter_table(&to, &other).await.unwrap());
    assert_eq!(one.table(&was.name).await.unwrap(), Some(other), "what is gone from the DDL is gone");
    assert_eq!(one.partitions(&was.name, &[]).await.unwrap(), [partition]);
}

async fn of_two_changes_one_is_made(one: &dyn Catalog, two: &dyn Catalog) {
    let mut was = table("market", "ticks", &["date", "symbol"]);
    one.create_table(&was).await.unwrap();
    for round in 0..5 {
        let with = |writer: &str| Ddl { comment: Some(format!("{writer} {round}")), ..was.clone() };
        let (of_one, of_two) = (with("one"), with("two"));
        let (a, b) = tokio::join!(one.alter_table(&was, &of_one), two.alter_table(&was, &of_two));
        let made = match (a.unwrap(), b.unwrap()) {
            (true, false) => of_one,
            (false, true) => of_two,
            both => panic!("{both:?}"),
        };
        assert_eq!(two.table(&was.name).await.unwrap().as_ref(), Some(&made));
        was = made;
    }
}

async fn a_dropped_table_takes_its_partitions_along(one: &dyn Catalog, two: &dyn Catalog) {
    let (ddl, other) = (table("market", "ticks", &["date"]), table("market", "bars", &["date"]));
    let partition = partition(&["2026-11-22"]);
    for ddl in [&ddl, &other] {
        one.create_table(ddl).await.unwrap();
        one.create_partitions(&ddl.name, std::slice::from_ref(&partition)).await.unwrap();
    }
    assert!(two.drop_table(&ddl.name).await.unwrap());
    assert!(!one.drop_table(&ddl.name).await.unwrap());
    assert!(one.table(&ddl.name).await.unwrap().is_none());
    assert_eq!(one.partitions(&other.name, &[]).await.unwrap(), [partition]);

    assert!(one.create_table(&ddl).await.unwrap());
    assert!(!two.has_partitions(&ddl.name).await.unwrap() && one.has_partitions(&other.name).await.unwrap());
    assert!(two.partitions(&ddl.name, &[]).await.unwrap().is_empty());
}

async fn a_view_stands_beside_tables_and_is_none(one: &dyn Catalog, two: &dyn Catalog) {
    let ddl = table("market", "ticks", &["date"]);
    one.create_table(&ddl).await.unwrap();
    let view = |name: &str, sql: &str| View {
        name: TableName::new("market", name).unwrap(),
        columns: ddl.columns.clone(),
        sql: sql.into(),
    };
    let some = view("some_ticks", "SELECT \"seq\" FROM \"market\".\"ticks\" WHERE \"x\" = 'it''s'");
    one.put_view(&some).await.unwrap();
    assert_eq!(two.view(&some.name).await.unwrap().as_ref(), Some(&some.sql));
    let again = view("some_ticks", "SELECT 1");
    two.put_view(&again).await.unwrap();
    assert_eq!(one.view(&some.name).await.unwrap(), Some(again.sql));

    let e = one.table(&some.name).await.unwrap_err().to_string();
    assert!(e.contains("it is a view"), "{e}");
    assert!(!one.create_table(&table("market", "some_ticks", &["date"])).await.unwrap());
    assert!(one.put_view(&view("ticks", "SELECT 1")).await.is_err(), "a table has that name");
    assert_eq!(two.view(&ddl.name).await.unwrap(), None);
    assert_eq!(strings(two.tables(Some("market")).await.unwrap()), ["market.some_ticks", "market.ticks"]);
    assert!(one.drop_table(&some.name).await.unwrap() && !two.drop_table(&some.name).await.unwrap());
    assert_eq!(two.view(&some.name).await.unwrap(), None);
    assert_eq!(one.table(&ddl.name).await.unwrap(), Some(ddl), "it is as it was");
}

async fn odd_values_are_kept_as_they_are(one: &dyn Catalog, two: &dyn Catalog) {
    let ddl = table("market", "ticks", &["date", "symbol"]);
    one.create_table(&ddl).await.unwrap();
    let partitions: Vec<Partition> = SYMBOLS.iter().map(|s| partition(&["2026-11-22", s])).collect();
    let answers = one.create_partitions(&ddl.name, &partitions).await.unwrap();
    assert!(answers.iter().all(|a| matches!(a, Registered::Created)), "{answers:?}");

    let mut sorted = partitions.clone();
    sorted.sort();
    assert_eq!(two.partitions(&ddl.name, &[]).await.unwrap(), sorted);
    for partition in &partitions {
        let found = two.find_partitions(&ddl.name, std::slice::from_ref(&partition.values)).await.unwrap();
        assert_eq!(found, std::slice::from_ref(partition));
    }
}

async fn conditions_leave_out_no_partition(one: &dyn Catalog, two: &dyn Catalog) {
    let ddl = table("market", "ticks", &["date", "symbol"]);
    one.create_table(&ddl).await.unwrap();
    let dates = ["2026-11-21", "2026-11-22", "2026-11-23", "__HIVE_DEFAULT_PARTITION__"];
    let mut all: Vec<Partition> =
        dates.iter().flat_map(|date| SYMBOLS.iter().map(move |symbol| partition(&[date, symbol]))).collect();
    all.sort();
    one.create_partitions(&ddl.name, &all).await.unwrap();

    let ops = [Op::Eq, Op::NotEq, Op::Lt, Op::LtEq, Op::Gt, Op::GtEq];
    let probes =
        [(0, "2026-11-22"), (0, "2026-11-22a"), (0, ""), (1, "EUR:USD"), (1, "a'b"), (1, "zz"), (1, "é")];
    let single = probes.iter().flat_map(|(column, value)| {
        ops.map(|op| vec![Condition { column: *column, op, value: (*value).to_owned() }])
    });
    let mut cases: Vec<Vec<Condition>> = single.collect();
    cases.push([cases[0].clone(), cases[ops.len() * 3 + 5].clone()].concat());
    for conditions in cases {
        let given = two.partitions(&ddl.name, &conditions).await.unwrap();
        assert!(given.is_sorted(), "{conditions:?}");
        let kept: Vec<Partition> = given.into_iter().filter(|p| meets(p, &conditions)).collect();
        let expected: Vec<Partition> = all.iter().filter(|p| meets(p, &conditions)).cloned().collect();
        assert_eq!(kept, expected, "{conditions:?}");
    }
}

async fn each_partition_has_its_own_answer(one: &dyn Catalog, two: &dyn Catalog) {
    let ddl = table("market", "ticks", &["date", "symbol"]);
    one.create_table(&ddl).await.unwrap();
    let first = partition(&["2026-11-22", "AAPL"]);
    one.create_partitions(&ddl.name, std::slice::from_ref(&first)).await.unwrap();

    let moved = Partition { location: "s3://lake/elsewhere/".to_owned(), ..first.clone() };
    let new = partition(&["2026-11-22", "MSFT"]);
    let short = partition(&["2026-11-22"]);
    let answers = two.create_partitions(&ddl.name, &[moved, short, new.clone(), new.clone()]).await.unwrap();
    let [
        Registered::AlreadyExists,
        Registered::Failed(error),
        Registered::Created,
        Registered::AlreadyExists,
    ] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert_eq!(error.kind(), Kind::Catalog);
    assert_eq!(one.partitions(&ddl.name, &[]).await.unwrap(), [first, new], "the first is left as it is");
}

async fn thousands_go_in_one_call(one: &dyn Catalog, two: &dyn Catalog) {
    let ddl = table("market", "ticks", &["date", "symbol"]);
    one.create_table(&ddl).await.unwrap();
    let all: Vec<Partition> = (0..2501).map(|i| partition(&["2026-11-22", &format!("S{i:04}")])).collect();
    let answers = one.create_partitions(&ddl.name, &all).await.unwrap();
    assert_eq!(answers.iter().filter(|a| matches!(a, Registered::Created)).count(), all.len());
    assert_eq!(two.partitions(&ddl.name, &[]).await.unwrap(), all);

    // Every second one is there.
    let asked: Vec<Vec<String>> = (0..1001)
        .flat_map(|i| [format!("S{i:04}"), format!("T{i:04}")])
        .map(|symbol| vec!["2026-11-22".to_owned(), symbol])
        .collect();
    let mut found = two.find_partitions(&ddl.name, &asked).await.unwrap();
    found.sort();
    assert_eq!(found, &all[..1001]);
    assert!(two.find_partitions(&ddl.name, &[]).await.unwrap().is_empty());
    assert!(two.create_partitions(&ddl.name, &[]).await.unwrap().is_empty());
}

async fn of_two_writers_one_creates(one: &dyn Catalog, two: &dyn Catalog) {
    let ddl = table("market", "ticks", &["date", "symbol"]);
    let (a, b) = tokio::join!(one.create_table(&ddl), two.create_table(&ddl));
    assert_eq!([a.unwrap(), b.unwrap()].iter().filter(|made| **made).count(), 1);

    // The calls overlap in pieces, so that each may win some.
    let of = |writer: &str| -> Vec<Partition> {
        let values = |i: usize| vec!["2026-11-22".to_owned(), format!("S{i:03}")];
        (0..300)
            .map(|i| Partition { values: values(i), location: format!("s3://lake/{writer}/{i}/") })
            .collect()
    };
    let (of_one, of_two) = (of("one"), of("two"));
    let mut winners = Vec::new();
    for (of_one, of_two) in of_one.chunks(20).zip(of_two.chunks(20)) {
        let (a, b) =
            tokio::join!(one.create_partitions(&ddl.name, of_one), two.create_partitions(&ddl.name, of_two));
        for ((a, b), (of_one, of_two)) in
            a.unwrap().iter().zip(b.unwrap().iter()).zip(of_one.iter().zip(of_two))
        {
            winners.push(match (a, b) {
                (Registered::Created, Registered::AlreadyExists) => of_one.clone(),
                (Registered::AlreadyExists, Registered::Created) => of_two.clone(),
                both => panic!("{both:?}"),
            });
        }
    }
    assert_eq!(one.partitions(&ddl.name, &[]).await.unwrap(), winners);
}

async fn partitions_are_dropped_one_by_one(one: &dyn Catalog, two: &dyn Catalog) {
    let ddl = table("market", "ticks", &["date", "symbol"]);
    one.create_table(&ddl).await.unwrap();
    let all: Vec<Partition> = (0..120).map(|i| partition(&["2026-11-22", &format!("{i:03}/'é")])).collect();
    one.create_partitions(&ddl.name, &all).await.unwrap();
    let mut values: Vec<Vec<String>> = all[..70].iter().map(|p| p.values.clone()).collect();
    values.insert(30, vec!["2026-11-22".into(), "was never there".into()]);
    assert_eq!(two.drop_partitions(&ddl.name, &values).await.unwrap(), 70);
    assert_eq!(one.partitions(&ddl.name, &[]).await.unwrap(), all[70..]);
    assert_eq!(two.drop_partitions(&ddl.name, &values).await.unwrap(), 0);
    assert_eq!(two.drop_partitions(&ddl.name, &[]).await.unwrap(), 0);
    let none: TableName = "market.none".parse().unwrap();
    let e = one.drop_partitions(&none, &values).await.unwrap_err().to_string();
    assert!(e.contains("no such table") && e.contains("market.none"), "{e}");
}

async fn partitions_of_an_unknown_table_are_refused(one: &dyn Catalog, _: &dyn Catalog) {
    let name = TableName::new("market", "nowhere").unwrap();
    let partition = partition(&["2026-11-22"]);
    let errors = [
        one.create_partitions(&name, std::slice::from_ref(&partition)).await.unwrap_err(),
        one.partitions(&name, &[]).await.unwrap_err(),
        one.has_partitions(&name).await.unwrap_err(),
        one.find_partitions(&name, &[partition.values]).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), Kind::Catalog);
        assert!(error.to_string().contains("market.nowhere"), "{error}");
        assert!(error.to_string().contains("table create"), "says what to do: {error}");
    }
}

#[tokio::test]
async fn sqlite_keeps_everything_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/folder/catalog.sqlite");
    let (ddl, partition) = (table("market", "ticks", &["date"]), partition(&["2026-11-22"]));
    {
        let catalog = LocalCatalog::open(&file).unwrap();
        catalog.create_table(&ddl).await.unwrap();
        catalog.create_partitions(&ddl.name, std::slice::from_ref(&partition)).await.unwrap();
    }
    let catalog = LocalCatalog::open(&file).unwrap();
    assert_eq!(catalog.table(&ddl.name).await.unwrap(), Some(ddl.clone()));
    assert_eq!(catalog.partitions(&ddl.name, &[]).await.unwrap(), [partition]);
}

#[test]
fn sqlite_opens_one_new_file_many_times_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = Arc::new(folder.path().join("catalog.sqlite"));
    let together = Arc::new(Barrier::new(16));
    let opened: Vec<_> = (0..16)
        .map(|_| {
            let (file, together) = (file.clone(), together.clone());
            std::thread::spawn(move || {
                together.wait();
                LocalCatalog::open(&*file).map(drop)
            })
        })
        .collect();
    for thread in opened {
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn sqlite_refuses_files_that_are_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, sql: &str| {
        let file = folder.path().join(name);
        rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        file
    };
    let newer = make("newer", "PRAGMA user_version = 999");
    let foreign = make("foreign", "CREATE TABLE t (i)");
    let text = folder.path().join("text");
    std::fs::write(&text, "not a database, and long enough to be looked at as one. ".repeat(20)).unwrap();
    for (file, why) in [(newer, "newer version"), (foreign, "another program"), (text, "not a database")] {
        let before = std::fs::read(&file).unwrap();
        let error = LocalCatalog::open(&file).unwrap_err();
        let printed = chain(&error);
        assert_eq!(error.kind(), Kind::Catalog);
        assert!(printed.contains(why) && printed.contains(file.to_str().unwrap()), "{printed}");
        assert!(!error.is_retryable());
        assert_eq!(tables_in(&before), tables_in(&std::fs::read(&file).unwrap()), "nothing was made in it");
    }
    let folder_is_a_file = Path::new("/dev/null/catalog.sqlite");
    let printed = chain(&LocalCatalog::open(folder_is_a_file).unwrap_err());
    assert!(printed.contains("/dev/null"), "{printed}");
}

/// The names that the file's bytes hold of what `LocalCatalog` makes.
fn tables_in(bytes: &[u8]) -> usize {
    bytes.windows(10).filter(|window| window == b"partitions").count()
}

const SYMBOLS: &[&str] = &[
    "AAPL",
    "BRK/B",
    "^GSPC",
    "EUR:USD",
    "ES=F",
    "a'b",
    "a\"b",
    "a\\b",
    "a b",
    "[x]",
    "é",
    "日経",
    "🦀",
    "100%",
    "BRK%2FB",
    "\u{7f}",
    "\n",
    "__HIVE_DEFAULT_PARTITION__",
];

fn table(database: &str, name: &str, partitioned_by: &[&str]) -> Ddl {
    let columns: Vec<String> = partitioned_by.iter().map(|c| format!("`{c}` string")).collect();
    Ddl::parse(&format!(
        "CREATE EXTERNAL TABLE `{database}`.`{name}` (`ts` timestamp COMMENT 'it''s', `price` decimal(18,4))
         PARTITIONED BY ({}) STORED AS PARQUET LOCATION 's3://lake/{database}/{name}/'
         TBLPROPERTIES ('ticklake.sort' = 'ts')",
        columns.join(", ")
    ))
    .unwrap()
}

fn partition(values: &[&str]) -> Partition {
    let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
    let location = format!("s3://lake/market/ticks/{}/", values.join("-"));
    Partition { values, location }
}

fn meets(partition: &Partition, conditions: &[Condition]) -> bool {
    conditions.iter().all(|condition| {
        let (value, other) = (partition.values[condition.column].as_bytes(), condition.value.as_bytes());
        match condition.op {
            Op::Eq => value == other,
            Op::NotEq => value != other,
            Op::Lt => value < other,
            Op::LtEq => value <= other,
            Op::Gt => value > other,
            Op::GtEq => value >= other,
        }
    })
}

fn strings(names: Vec<TableName>) -> Vec<String> {
    let strings: Vec<String> = names.iter().map(TableName::to_string).collect();
    assert_eq!(strings.iter().collect::<HashSet<_>>().len(), strings.len());
    strings
}
