//! Is a table whole? One sound table is made by the ingest; each test damages a copy of it, and exactly that is found.

mod lake;
mod program;
mod records;
mod repair;
mod unread;
mod writer;

use std::fs;

use ticklake::catalog::Partition;
use ticklake::table::{Ddl, Spec};
use ticklake::verify::Kind;

use self::lake::{AAPL, Copy, sound};
use crate::jobs::TICKS;

/// Rejected rows, several sources and links, null partitions and odd symbols: nothing is wrong with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_sound_table_has_no_problem() {
    let copy = Copy::new().await;
    let report = copy.verify().await;
    assert_eq!(report.problems, []);
    let sources: Vec<(&str, i32)> =
        report.sources.iter().map(|source| (source.topic.as_str(), source.partition)).collect();
    assert_eq!(sources, [("more-2", 0), ("more-2", 1), ("ticks", 0)]);
    let files = copy.files();
    assert_eq!(report.checked.links, files.len() as u64);
    assert_eq!(report.checked.rows, sound().await.rows);
    assert_eq!(
        report.checked.bytes,
        files.iter().map(|file| fs::metadata(copy.at(file)).unwrap().len()).sum::<u64>()
    );
    let folders: std::collections::BTreeSet<_> =
        files.iter().map(|file| file.rsplit_once('/').unwrap().0).collect();
    assert_eq!(report.checked.partitions, folders.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_nothing_was_written_to_has_no_problem() {
    let copy = Copy::new().await;
    fs::remove_dir_all(copy.at("ticks")).unwrap();
    fs::remove_dir_all(copy.at("ticks_rejected")).unwrap();
    let copy = copy.registering(|_, _| None).await;
    copy.drop_table("market.ticks_rejected").await;
    assert_eq!(copy.verify().await.problems, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_file_is_a_gap() {
    let copy = Copy::new().await;
    let links = copy.links(AAPL);
    let [(_, first_end), (start, end), _] = links[..] else { panic!("three links: {links:?}") };
    assert_eq!(first_end, start);
    copy.remove(&copy.link(AAPL, start));
    let report = copy.verify().await;
    let [problem] = &report.problems[..] else { panic!("{:?}", report.problems) };
    assert_eq!((problem.kind, problem.source.as_deref()), (Kind::Gap, Some("ticks-0")));
    assert!(problem.detail.contains(&format!("from {start} up to {end} ")), "{}", problem.detail);
    assert_eq!(problem.file.as_deref(), copy.link(AAPL, end).strip_prefix("ticks/"));

    let copy = Copy::new().await;
    copy.remove(&copy.link(AAPL, 0));
    let report = copy.verify().await;
    assert_eq!(lake::said(&report), [("gap", "market.ticks", link_path(&copy, first_end))]);
    assert!(report.problems[0].detail.contains(&format!("from 0 up to {first_end} ")));
}

fn link_path(copy: &Copy, start: i64) -> String {
    copy.link(AAPL, start).strip_prefix("ticks/").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_starts_within_another_is_an_overlap() {
    let copy = Copy::new().await;
    let (start, end) = *copy.links(AAPL).last().unwrap();
    copy.rewrite(&copy.link(AAPL, start), &copy.link(AAPL, end - 1), |footer| {
        footer.insert("ticklake.start".into(), (end - 1).to_string());
        footer.insert("ticklake.end".into(), (end + 5).to_string());
    });
    assert_eq!(lake::said(&copy.verify().await), [("overlap", "market.ticks", link_path(&copy, end - 1))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_footer_whose_end_is_changed_is_broken() {
    let copy = Copy::new().await;
    let (start, end) = *copy.links(AAPL).last().unwrap();
    let link = copy.link(AAPL, start);
    copy.rewrite(&link, &link, |footer| {
        footer.insert("ticklake.end".into(), (end - 1).to_string());
        footer.insert("ticklake.check".into(), "0".repeat(32));
    });
    let report = copy.verify().await;
    assert_eq!(lake::said(&report), [("broken-file", "market.ticks", link_path(&copy, start))]);
    assert!(report.problems[0].detail.contains("its sum is another"), "{}", report.problems[0].detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_links_are_foreign() {
    let copy = Copy::new().await;
    let planted = [
        format!("{AAPL}/data.parquet"),
        format!("{AAPL}/k-ticks-0-17.parquet"),
        format!("{AAPL}/below/further/k-ticks-0-00000000000000000000.parquet"),
        "ticks/readme.txt".to_owned(),
        "ticks/date=2026-11-22/part-0".to_owned(),
    ];
    for path in &planted {
        copy.write(path, b"something");
    }
    for hidden in [format!("{AAPL}/.tmp"), format!("{AAPL}/_SUCCESS"), "ticks/_x/y".to_owned()] {
        copy.write(&hidden, b"engines do not look here");
    }
    copy.write("ticks/date=2026-11-22/marker", b"");
    let mut wanted: Vec<_> = planted
        .iter()
        .map(|path| ("foreign-file", "market.ticks", path.strip_prefix("ticks/").unwrap().to_owned()))
        .collect();
    let mut said = lake::said(&copy.verify().await);
    said.sort();
    wanted.sort();
    assert_eq!(said, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_our_footer_is_foreign() {
    let copy = Copy::new().await;
    let path = copy.link(AAPL, *copy.links(AAPL).last().map(|(_, end)| end).unwrap());
    copy.rewrite(&copy.link(AAPL, 0), &path, std::collections::HashMap::clear);
    let report = copy.verify().await;
    assert_eq!(lake::said(&report), [("foreign-file", "market.ticks", path["ticks/".len()..].to_owned())]);
    assert!(report.problems[0].detail.contains("it is no link"), "{}", report.problems[0].detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_that_are_no_partitions_are_foreign() {
    let copy = Copy::new().await;
    for folder in
        ["date=2026-11-22/sym=AAPL", "day=1", "date=2026-11-22/symbol=%41APL", "date=2026-11-22/symbol="]
    {
        copy.write(&format!("ticks/{folder}/x.parquet"), b"x");
    }
    fs::create_dir_all(copy.at("ticks/empty/folder")).unwrap();
    let found = |path: &str| ("foreign-folder", "market.ticks", path.to_owned());
    assert_eq!(
        lake::said(&copy.verify().await),
        [
            found("date=2026-11-22/sym=AAPL/"),
            found("date=2026-11-22/symbol=%41APL/"),
            found("date=2026-11-22/symbol=/"),
            found("day=1/"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_under_another_name_is_found() {
    let copy = Copy::new().await;
    let end = copy.links(AAPL).last().unwrap().1;
    fs::copy(copy.at(&copy.link(AAPL, 0)), copy.at(&copy.link(AAPL, end))).unwrap();
    // And under another source's.
    let other = format!("{AAPL}/k-sha256.00-7-e3-00000000000000000000.parquet");
    fs::copy(copy.at(&copy.link(AAPL, 0)), copy.at(&other)).unwrap();
    assert_eq!(
        lake::said(&copy.verify().await),
        [
            ("renamed-file", "market.ticks", other["ticks/".len()..].to_owned()),
            ("renamed-file", "market.ticks", link_path(&copy, end)),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_found() {
    for kept in [0, 20, 400] {
        let copy = Copy::new().await;
        let (start, _) = copy.links(AAPL)[1];
        let path = copy.link(AAPL, start);
        let bytes = fs::read(copy.at(&path)).unwrap();
        copy.write(&path, &bytes[..kept]);
        let said = lake::said(&copy.verify().await);
        assert_eq!(said, [("broken-file", "market.ticks", link_path(&copy, start))], "{kept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_columns_than_the_catalogs_are_found() {
    // The files lack a column that was added.
    let added = TICKS.replace("`seq` bigint", "`seq` bigint, `venue` string");
    assert_eq!(Copy::new().await.with_ddl(&added).await.verify().await.problems, []);
    // One that was dropped is no problem, as one of the table's DDLs had it; nor is one that was widened.
    let dropped = TICKS.replace("`exchange` string,", "");
    assert_eq!(Copy::new().await.with_ddl(&dropped).await.verify().await.problems, []);
    let changed = dropped.replace("decimal(18,4)", "decimal(18,2)");
    let copy = Copy::new().await.with_ddl(&changed).await;
    let hash = Spec::from_ddl(&Ddl::parse(TICKS).unwrap()).unwrap().hash();
    fs::write(copy.at(&format!("ticks/_ticklake/spec/{hash}.sql")), &changed).unwrap();
    let report = copy.verify().await;
    assert_eq!(report.problems.len() as u64, sound().await.links, "each link is said");
    let problem = &report.problems[0];
    assert_eq!(problem.kind, Kind::OtherSchema);
    assert_eq!(
        problem.detail,
        "its column price is decimal(18,4), and in the catalog decimal(18,2); it has a column exchange string, which \
         the catalog has not"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_another_topic_is_found() {
    let copy = Copy::new().await;
    let (start, _) = copy.links(AAPL)[2];
    let path = copy.link(AAPL, start);
    copy.rewrite(&path, &path, |footer| {
        footer.insert("ticklake.cluster".into(), "elsewhere".into());
    });
    let report = copy.verify().await;
    assert_eq!(lake::said(&report), [("other-topic", "market.ticks", link_path(&copy, start))]);
    assert!(report.problems[0].detail.contains("elsewhere"), "{}", report.problems[0].detail);
    // Without the note, the first link says what the others must be.
    copy.remove("ticks/_ticklake/topics/k-ticks.json");
    assert_eq!(lake::said(&copy.verify().await), [("other-topic", "market.ticks", link_path(&copy, start))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_folder_has_lost_of_itself_is_found() {
    let copy = Copy::new().await;
    let spec = fs::read_dir(copy.at("ticks/_ticklake/spec")).unwrap().next().unwrap().unwrap().file_name();
    let spec = format!("_ticklake/spec/{}", spec.to_str().unwrap());
    copy.remove(&format!("ticks/{spec}"));
    copy.remove("ticks/_ticklake/id");
    copy.write("ticks/_ticklake/topics/k-ticks.json", b"{");
    let found = |kind, path: &str| (kind, "market.ticks", path.to_owned());
    assert_eq!(
        lake::said(&copy.verify().await),
        [
            found("missing-id", "_ticklake/id"),
            found("broken-note", "_ticklake/topics/k-ticks.json"),
            found("missing-spec", &spec),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_catalog_has_otherwise_is_found() {
    let partition = |values: [&str; 2], location: &str| Partition {
        values: values.map(str::to_owned).to_vec(),
        location: location.to_owned(),
    };
    let copy = Copy::new()
        .await
        .registering(|table, mut partition| {
            match partition.values.last().map(String::as_str) {
                Some("AAPL") => return None,
                Some("BRK/B") => partition.location = "file:///elsewhere/".into(),
                _ if table == "market.ticks_rejected" => return None,
                _ => {}
            }
            Some(partition)
        })
        .await;
    let nowhere = format!("{}date=2026-11-22/symbol=NONE/", copy.location("ticks"));
    copy.register("market.ticks", &[partition(["2026-11-22", "NONE"], &nowhere)]).await;
    copy.register("market.ticks", &[partition(["", "NONE"], "file:///x/")]).await;
    let rejected = sound().await.rejected_partition.clone();
    let found = |kind, path: &str| (kind, "market.ticks", path.to_owned());
    assert_eq!(
        lake::said(&copy.verify().await),
        [
            found("unregistered-partition", "date=2026-11-22/symbol=AAPL"),
            ("unregistered-partition", "market.ticks_rejected", rejected),
            found("partition-elsewhere", "date=2026-11-22/symbol=BRK%2FB"),
            found("empty-partition", "date=2026-11-22/symbol=NONE"),
            found("impossible-partition", "/NONE"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_in_the_catalog_is_found() {
    let copy = Copy::new().await;
    copy.drop_table("market.ticks_rejected").await;
    let missing = |table| ("missing-table", table, String::new());
    assert_eq!(lake::said(&copy.verify().await), [missing("market.ticks_rejected")]);
    copy.drop_table("market.ticks").await;
    let report = copy.verify().await;
    assert_eq!((lake::said(&report), report.location), (vec![missing("market.ticks")], None));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_wanted_dates_are_looked_at() {
    let copy = Copy::new().await;
    copy.write(&format!("{AAPL}/data.parquet"), b"x");
    copy.write("ticks/readme.txt", b"x");
    for (dates, problems) in [
        ("2026-11-22..2026-11-22", 1),
        ("2026-11-22", 1),
        ("2026-01-01..2026-12-31", 1),
        // Rejected rows have the date of the day on which the test runs.
        ("2001-01-01..2026-11-21", 0),
        ("2000-11-23", 0),
    ] {
        let report = copy.verify_dates(dates).await;
        assert_eq!(report.problems.len(), problems, "{dates}: {:?}", report.problems);
        assert_eq!(report.checked.partitions > 0, problems > 0, "{dates}");
    }
}

/// A job writes and registers all the while: nothing that is on its way is called a problem.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_no_problem() {
    lake::while_a_job_runs(|report| assert_eq!(report.problems, [])).await;
}
