//! The files against the records that they were made of.

use std::sync::Arc;

use tempfile::TempDir;
use ticklake::catalog::{Catalog, LocalCatalog};
use ticklake::ingest::{From, Job};
use ticklake::kafka::Cluster;
use ticklake::table::Ddl;
use ticklake::verify::{self, Check, Kind, Records};

use super::lake::{AAPL, Copy, GROUP, check, job, name, said, sound, tick};
use crate::jobs::{TICKS, run, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_table_has_the_rows_of_its_records() {
    let report = Copy::new().await.verify_records().await;
    assert_eq!(report.problems, []);
    let compared: Vec<_> = report.sources.iter().map(|source| source.compared.clone().unwrap()).collect();
    assert_eq!(compared.iter().map(|compared| compared.records).sum::<u64>(), sound().await.rows);
    assert!(compared.iter().all(|c| c.from == 0 && c.committed == Some(c.to)), "{compared:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_with_too_few_rows_is_found() {
    let copy = Copy::new().await;
    let (start, end) = copy.links(AAPL)[1];
    let path = copy.link(AAPL, start);
    copy.rewrite_rows(&path, &path, 4, |_| ());
    assert_eq!(copy.verify().await.problems, [], "it is a link as any, but for its rows");
    let report = copy.verify_records().await;
    assert_eq!(said(&report), [("other-row-count", "market.ticks", path["ticks/".len()..].to_owned())]);
    let detail = format!("it has 4 rows, and the records from {start} up to {end} give 5");
    assert_eq!(report.problems[0].detail, detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_in_no_link_are_found() {
    let copy = Copy::new().await;
    let (start, _) = *copy.links(AAPL).last().unwrap();
    copy.remove(&copy.link(AAPL, start));
    let lost = "ticks/date=2026-11-22/symbol=BRK%2FB";
    std::fs::remove_dir_all(copy.at(lost)).unwrap();
    copy.write(&format!("{lost}/.kept"), b"the partition is still registered");
    let report = copy.verify_records().await;
    let found = |kind, path: &str| (kind, "market.ticks", path["ticks/".len()..].to_owned());
    // Each of the three sources had rows in the second.
    let mut wanted = vec![found("empty-partition", lost), found("missing-rows", AAPL)];
    wanted.extend(vec![found("missing-rows", lost); report.problems.len() - 2]);
    assert_eq!(said(&report), wanted);
    let aapl = &report.problems[1];
    assert_eq!(aapl.source.as_deref(), Some("ticks-0"));
    let offsets: Vec<String> = (start..).take(5).map(|offset| offset.to_string()).collect();
    assert_eq!(aapl.detail, format!("5 rows: of the records at {}", offsets.join(", ")));
    assert_eq!(
        report.problems[2..]
            .iter()
            .map(|p| p.detail.split(' ').next().unwrap().parse::<u64>().unwrap())
            .sum::<u64>(),
        6
    );
}

/// Without a committed offset nobody knows what must be there; what is there is compared all the same.
#[tokio::test(flavor = "multi_thread")]
async fn another_groups_offsets_say_nothing() {
    let copy = Copy::new().await;
    let (start, _) = *copy.links(AAPL).last().unwrap();
    copy.remove(&copy.link(AAPL, start));
    let records = Records { connection: sound().await.cluster.connection(), group: "nobody".into() };
    let report = verify::verify(&Check { records: Some(records), ..copy.check() }).await.unwrap();
    assert_eq!(report.problems, []);
    assert!(report.sources.iter().all(|s| s.compared.as_ref().is_some_and(|c| c.committed.is_none())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_beyond_the_end_of_its_topic_is_found() {
    let copy = Copy::new().await;
    let (start, end) = *copy.links(AAPL).last().unwrap();
    let path = copy.link(AAPL, start);
    copy.rewrite(&path, &path, |footer| {
        footer.insert("ticklake.end".into(), (end + 1000).to_string());
    });
    let report = copy.verify_records().await;
    let [problem] = &report.problems[..] else { panic!("{:?}", report.problems) };
    assert_eq!((problem.kind, problem.source.as_deref()), (Kind::BeyondTheEnd, Some("ticks-0")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_another_cluster_is_found() {
    let copy = Copy::new().await;
    let other = Cluster::start(&[("ticks", 1)]).unwrap();
    let records = Records { connection: other.connection(), group: GROUP.into() };
    let report = verify::verify(&Check { records: Some(records), ..copy.check() }).await.unwrap();
    let found: Vec<_> = report.problems.iter().map(|p| (p.kind, p.source.as_deref().unwrap())).collect();
    assert_eq!(found, [(Kind::MissingTopic, "more-2"), (Kind::MissingTopic, "ticks")]);
}

/// A column that is added makes rejected records of what would have been rows: each record counts by the DDL of its time.
#[tokio::test(flavor = "multi_thread")]
async fn records_count_by_the_ddl_that_they_were_read_under() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let dir = TempDir::new().unwrap();
    let catalog: Arc<dyn Catalog> = Arc::new(LocalCatalog::open(dir.path().join("catalog.db")).unwrap());
    let venue = |venue: &str, seq: i64| tick("AAPL", seq).replacen('{', &format!(r#"{{"venue":{venue},"#), 1);
    send(&cluster, "ticks", (0..10).map(|seq| venue(r#""no number""#, seq)).chain(["{".to_owned()])).await;
    run(job(&cluster, dir.path(), catalog.clone(), "ticks", GROUP)).await;
    for table in ["market.ticks", "market.ticks_rejected"] {
        catalog.drop_table(&name(table)).await.unwrap();
    }
    send(&cluster, "ticks", (10..15).map(|seq| venue("5", seq)).chain([venue(r#""no number""#, 15)])).await;
    let added = Ddl::parse(&TICKS.replace("`seq` bigint", "`seq` bigint, `venue` bigint")).unwrap();
    run(Job { ddl: added, ..job(&cluster, dir.path(), catalog.clone(), "ticks", GROUP) }).await;
    let records = Records { connection: cluster.connection(), group: GROUP.into() };
    let report = verify::verify(&check(catalog, Some(records))).await.unwrap();
    assert_eq!(report.problems, []);
    let [source] = &report.sources[..] else { panic!("{:?}", report.sources) };
    assert_eq!((report.checked.rows, source.links), (17, 4));
    assert_eq!(source.compared.as_ref().map(|compared| compared.records), Some(17));
}

/// What was skipped on purpose is no problem: it is told.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_skipped_are_not_missing() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let dir = TempDir::new().unwrap();
    let catalog: Arc<dyn Catalog> = Arc::new(LocalCatalog::open(dir.path().join("catalog.db")).unwrap());
    send(&cluster, "ticks", (0..20).map(|seq| tick("AAPL", seq))).await;
    run(Job { from: From::Offset(15), ..job(&cluster, dir.path(), catalog.clone(), "ticks", GROUP) }).await;
    let records = Records { connection: cluster.connection(), group: GROUP.into() };
    let report = verify::verify(&check(catalog, Some(records))).await.unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.checked.rows, 5);
    let gaps: Vec<_> = report.gaps.iter().map(|gap| (gap.topic.as_str(), gap.from, gap.to)).collect();
    assert_eq!(gaps, [("ticks", 0, 15)]);
}
