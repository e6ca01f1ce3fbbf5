//! A writer at work, held at the moments at which a check could take what is on its way for a problem.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use object_store::ListResult;
use object_store::path::Path;
use ticklake::catalog::{Catalog, Condition, Partition, Registered, View};
use ticklake::error::Result;
use ticklake::table::{Ddl, TableName};
use ticklake::verify::{self, Check, Report};

use super::lake::{AAPL, Copy, name, said, stores};
use crate::jobs::TICKS;
use crate::tapped::{Tap, Tapped};

/// Leaves a name out of the first list that has it.
#[derive(Debug, Default)]
struct Late(Mutex<Option<String>>);

/// Checks a copy while a file or a folder comes.
async fn verify_while_comes(copy: &Copy, name: &str) -> Report {
    let late = Arc::new(Tapped::new(Late(Mutex::new(Some(name.to_owned())))));
    let check = Check { stores: stores("late", late.clone()), ..copy.check() };
    let report = verify::verify(&check).await.unwrap();
    assert_eq!(*late.tap.0.lock().unwrap(), None, "it was left out of a list");
    report
}

/// A list is no picture of one moment: it may have a link, and not the one before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_listed_before_the_one_before_it_is_no_gap() {
    let copy = Copy::new().await.in_store("late").await;
    for (start, _) in copy.links(AAPL) {
        let link = copy.link(AAPL, start);
        let report = verify_while_comes(&copy, link.rsplit_once('/').unwrap().1).await;
        assert_eq!(said(&report), [], "{start}");
    }
    // One that does not come is a gap.
    copy.remove(&copy.link(AAPL, 0));
    let (start, _) = copy.links(AAPL)[0];
    let report = verify_while_comes(&copy, copy.link(AAPL, start).rsplit_once('/').unwrap().1).await;
    assert_eq!(said(&report).len(), 1, "{:?}", report.problems);
}

/// The catalog is asked when the folders have been listed: it may have a partition that was not there then.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_came_with_its_link_is_not_empty() {
    let copy = Copy::new().await.in_store("late").await;
    assert_eq!(said(&verify_while_comes(&copy, "symbol=AAPL").await), []);
}

/// Leaves a note of skipped records when the table's folder is first looked at.
#[derive(Debug)]
struct Skips {
    table: String,
    note: Mutex<Option<(PathBuf, String)>>,
}

impl Tap for Skips {
    fn listed(&self, folder: Option<&Path>, listed: ListResult) -> ListResult {
        if folder.is_some_and(|folder| self.table.ends_with(folder.as_ref()))
            && let Some((path, text)) = self.note.lock().unwrap().take()
        {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        listed
    }
}

/// A job that begins meanwhile with `--from` notes what it skips, and commits beyond it.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_a_job_skips_meanwhile_are_not_missing() {
    let copy = Copy::new().await.in_store("skips").await;
    let (start, end) = *copy.links(AAPL).last().unwrap();
    copy.remove(&copy.link(AAPL, start));
    let missing = said(&copy.verify_records_in("skips", Arc::new(Tapped::new(Late::default()))).await);
    assert_eq!(missing.len(), 1, "without the note: {missing:?}");
    let name = format!("ticks/_ticklake/gaps/k-ticks-0-{start:020}-{end:020}.json");
    let note = serde_json::json!({
        "topic": "ticks", "partition": 0, "epoch": 0, "from": start, "to": end, "cluster": "", "why": "--from",
    });
    let note = Mutex::new(Some((copy.at(&name), note.to_string())));
    let table = copy.at("ticks").to_str().unwrap().to_owned();
    let report = copy.verify_records_in("skips", Arc::new(Tapped::new(Skips { table, note }))).await;
    assert_eq!(said(&report), []);
    assert_eq!(report.gaps.len(), 1);
}

/// A catalog that changes while it is asked.
#[derive(Debug)]
struct Changing {
    catalog: Arc<dyn Catalog>,
    /// Registered one by one, each when it has been asked once more for partitions.
    coming: Mutex<Vec<Partition>>,
    /// What a table is from the second question on.
    altered: Option<Ddl>,
    asked: AtomicU32,
}

impl Changing {
    fn new(copy: &Copy, coming: Vec<Partition>, altered: Option<Ddl>) -> Arc<Self> {
        let (catalog, coming) = (copy.catalog.clone(), Mutex::new(coming));
        Arc::new(Self { catalog, coming, altered, asked: AtomicU32::new(0) })
    }
}

/// A link is put first, and then its partition is registered; and a job that finds its table new to the catalog registers
/// all that is there.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_about_to_be_registered_are_no_problem() {
    let copy = Copy::new().await;
    let all = copy.registered().await.into_iter().filter(|(table, _)| *table == name("market.ticks"));
    let is_late = |partition: &Partition| {
        partition.values.last().is_some_and(|symbol| ["AAPL", "BRK/B", "^GSPC"].contains(&&**symbol))
    };
    let coming: Vec<_> = all.map(|(_, partition)| partition).filter(is_late).collect();
    assert_eq!(coming.len(), 3);
    let copy = copy.registering(|_, partition| (!is_late(&partition)).then_some(partition)).await;
    let catalog = Changing::new(&copy, coming, None);
    // Less than it takes for all of them.
    let patience = Duration::from_millis(700);
    let report = verify::verify(&Check { catalog: catalog.clone(), patience, ..copy.check() }).await.unwrap();
    assert!(catalog.coming.lock().unwrap().is_empty(), "they were asked for");
    assert_eq!(said(&report), []);
}

/// Its columns are changed by hand: the table is dropped, and the next job makes it with others.
#[tokio::test(flavor = "multi_thread")]
async fn columns_that_change_meanwhile_are_no_problem_of_the_files() {
    let copy = Copy::new().await;
    let altered = Ddl::parse(&TICKS.replace("`seq` bigint", "`seq` bigint, `venue` string")).unwrap();
    let catalog = Changing::new(&copy, Vec::new(), Some(altered));
    let e = verify::verify(&Check { catalog, ..copy.check() }).await.unwrap_err().to_string();
    assert!(e.contains("other columns") && e.contains("run it again"), "{e}");
}

#[async_trait]
impl Catalog for Changing {
    async fn create_table(&self, ddl: &Ddl) -> Result<bool> {
        self.catalog.create_table(ddl).await
    }

    async fn table(&self, name: &TableName) -> Result<Option<Ddl>> {
        let is_first = self.asked.fetch_add(1, Ordering::Relaxed) == 0;
        match &self.altered {
            Some(altered) if !is_first && altered.name == *name => Ok(Some(altered.clone())),
            _ => self.catalog.table(name).await,
        }
    }

    async fn put_view(&self, view: &View) -> Result<()> {
        self.catalog.put_view(view).await
    }

    async fn view(&self, name: &TableName) -> Result<Option<String>> {
        self.catalog.view(name).await
    }

    async fn tables(&self, database: Option<&str>) -> Result<Vec<TableName>> {
        self.catalog.tables(database).await
    }

    async fn alter_table(&self, was: &Ddl, to: &Ddl) -> Result<bool> {
        self.catalog.alter_table(was, to).await
    }

    async fn renew_partitions(&self, name: &TableName) -> Result<u64> {
        self.catalog.renew_partitions(name).await
    }

    async fn drop_table(&self, name: &TableName) -> Result<bool> {
        self.catalog.drop_table(name).await
    }

    async fn incarnation(&self, name: &TableName) -> Result<Option<String>> {
        self.catalog.incarnation(name).await
    }

    async fn has_partitions(&self, name: &TableName) -> Result<bool> {
        self.catalog.has_partitions(name).await
    }

    async fn partitions(&self, name: &TableName, conditions: &[Condition]) -> Result<Vec<Partition>> {
        self.catalog.partitions(name, conditions).await
    }

    async fn find_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<Partition>> {
        let found = self.catalog.find_partitions(name, values).await?;
        let next = self.coming.lock().unwrap().pop();
        self.catalog.create_partitions(name, next.as_slice()).await?;
        Ok(found)
    }

    async fn drop_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<u64> {
        self.catalog.drop_partitions(name, values).await
    }

    async fn create_partitions(&self, name: &TableName, partitions: &[Partition]) -> Result<Vec<Registered>> {
        self.catalog.create_partitions(name, partitions).await
    }
}

impl Tap for Late {
    fn listed(&self, _: Option<&Path>, mut listed: ListResult) -> ListResult {
        let mut name = self.0.lock().unwrap();
        let late = |path: &Path| path.filename().is_some_and(|found| name.as_deref() == Some(found));
        let before = listed.objects.len() + listed.common_prefixes.len();
        listed.objects.retain(|object| !late(&object.location));
        listed.common_prefixes.retain(|folder| !late(folder));
        if listed.objects.len() + listed.common_prefixes.len() < before {
            *name = None;
        }
        listed
    }
}
