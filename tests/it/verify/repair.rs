//! What the catalog lacks is registered, and nothing else is touched.

use ticklake::catalog::Partition;
use ticklake::verify::{self, Kind};

use super::lake::{Copy, name};
use crate::jobs::walk;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_registered_and_nothing_is_deleted() {
    let copy = Copy::new().await;
    let whole = copy.registered().await;
    let copy = copy
        .registering(|_, partition| {
            let symbol = partition.values.last().unwrap();
            (symbol != "AAPL" && symbol != "BRK/B").then_some(partition)
        })
        .await;
    copy.drop_table("market.ticks_rejected").await;
    // A partition of foreign and of damaged files is none to register; one without a file stays.
    let damaged = "ticks/date=2026-11-22/symbol=DAMAGED";
    copy.write(&format!("{damaged}/k-ticks-0-00000000000000000000.parquet"), b"PAR1");
    copy.write("ticks/date=2026-11-22/symbol=FOREIGN/x.parquet", b"x");
    let empty = Partition {
        values: vec!["2026-11-22".into(), "NONE".into()],
        location: format!("{}date=2026-11-22/symbol=NONE/", copy.location("ticks")),
    };
    copy.register("market.ticks", std::slice::from_ref(&empty)).await;
    let files = walk(&copy.at("ticks"));

    let repaired = verify::repair(&copy.check()).await.unwrap();

    assert_eq!(repaired.made, ["market.ticks_rejected"]);
    let mut registered: Vec<_> = repaired.registered.iter().map(|line| line.partition.as_str()).collect();
    let rejected = registered.pop().unwrap();
    assert_eq!(registered, ["date=2026-11-22/symbol=AAPL", "date=2026-11-22/symbol=BRK%2FB"]);
    assert!(rejected.starts_with("date="), "{rejected}");
    assert_eq!(repaired.problems, []);
    let mut wanted = whole;
    wanted.push((name("market.ticks"), empty));
    wanted.sort();
    let mut now = copy.registered().await;
    now.sort();
    assert_eq!(now, wanted);
    assert_eq!(walk(&copy.at("ticks")), files);

    let again = verify::repair(&copy.check()).await.unwrap();
    assert_eq!((again.made.len(), again.registered.len(), again.problems.len()), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_elsewhere_is_not_moved() {
    let copy = Copy::new()
        .await
        .registering(|_, mut partition| {
            if partition.values.last().is_some_and(|symbol| symbol == "AAPL") {
                partition.location = "file:///elsewhere/".into();
            }
            Some(partition)
        })
        .await;
    let before = copy.registered().await;
    let repaired = verify::repair(&copy.check()).await.unwrap();
    let kinds: Vec<Kind> = repaired.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!((kinds, repaired.registered.len()), (vec![Kind::PartitionElsewhere], 0));
    assert_eq!(copy.registered().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_its_ddl_is_not_made() {
    let copy = Copy::new().await;
    copy.drop_table("market.ticks").await;
    let e = verify::repair(&copy.check()).await.unwrap_err().to_string();
    assert!(e.contains("ticklake table create") && e.contains("market.ticks"), "{e}");
}
