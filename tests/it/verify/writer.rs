//! A writer at work, held at the moments at which a check could take what is on its way for a problem.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use object_store::ListResult;
use object_store::path::Path;
use ticklake::catalog::{Catalog, Condition, Partition, Registered};
use ticklake::error::Result;
use ticklake::store::{Durability, Stores};
use ticklake::table::{Ddl, TableName};
use ticklake::verify::{self, Check, Report};

use super::lake::{AAPL, Copy, said};
use crate::tapped::{Tap, Tapped};

/// Leaves a name out of the first list that has it.
#[derive(Debug)]
struct Late(Mutex<Option<String>>);

/// Checks a copy while a file or a folder comes.
async fn verify_while_comes(copy: &Copy, name: &str) -> Report {
    let late = Arc::new(Tapped::new(Late(Mutex::new(Some(name.to_owned())))));
    let stores = Stores::new(Durability::NoFsync).with_store("late", late.clone());
    let report = verify::verify(&Check { stores, ..copy.check() }).await.unwrap();
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

/// A catalog in which partitions are registered when it has once been asked for them.
#[derive(Debug)]
struct Slow {
    catalog: Arc<dyn Catalog>,
    coming: Mutex<Vec<Partition>>,
}

/// A link is put first, and then its partition is registered.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_about_to_be_registered_is_no_problem() {
    let copy = Copy::new().await;
    let mut all = copy.registered().await.into_iter().map(|(_, partition)| partition);
    let aapl = all.find(|partition| partition.values.last().is_some_and(|symbol| symbol == "AAPL")).unwrap();
    let copy = copy.registering(|_, partition| (partition.values != aapl.values).then_some(partition)).await;
    let catalog = Arc::new(Slow { catalog: copy.catalog.clone(), coming: Mutex::new(vec![aapl]) });
    let check = |patience| Check { catalog: catalog.clone(), patience, ..copy.check() };
    let report = verify::verify(&check(Duration::from_secs(30))).await.unwrap();
    assert!(catalog.coming.lock().unwrap().is_empty(), "it was asked for");
    assert_eq!(said(&report), []);
}

#[async_trait]
impl Catalog for Slow {
    async fn create_table(&self, ddl: &Ddl) -> Result<bool> {
        self.catalog.create_table(ddl).await
    }

    async fn table(&self, name: &TableName) -> Result<Option<Ddl>> {
        self.catalog.table(name).await
    }

    async fn tables(&self, database: Option<&str>) -> Result<Vec<TableName>> {
        self.catalog.tables(database).await
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
        let coming = std::mem::take(&mut *self.coming.lock().unwrap());
        self.catalog.create_partitions(name, &coming).await?;
        Ok(found)
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
