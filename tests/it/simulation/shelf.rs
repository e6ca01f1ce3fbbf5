//! The simulated catalog, as Glue is: it takes partitions one by one, throttles, loses answers, and is changed by others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ticklake::catalog::{Catalog, Condition, Partition, Registered, View};
use ticklake::error::{Error, Kind, Result};
use ticklake::table::{Ddl, TableName};

use super::faults::Faults;
use super::frost::Frost;
use super::lake::Lake;

/// The catalog as one process reaches it.
#[derive(Clone, Debug)]
pub struct Shelf {
    lake: Arc<Lake>,
    faults: Arc<Faults>,
    frost: Arc<Frost>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<String, Table>,
    made: u64,
    /// Every folder that was ever registered.
    ever: BTreeSet<String>,
}

#[derive(Debug)]
struct Table {
    ddl: Ddl,
    made: u64,
    partitions: BTreeMap<Vec<String>, String>,
}

impl Shelf {
    pub fn new(lake: Arc<Lake>, faults: Arc<Faults>) -> Self {
        Self { lake, faults, frost: Arc::default(), state: Arc::default() }
    }

    pub fn of_process(&self, frost: Arc<Frost>) -> Self {
        Self { frost, ..self.clone() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn was_registered(&self, folder: &str) -> bool {
        self.state().ever.contains(folder)
    }

    /// An analyst drops a partition; `None` where there is none.
    pub fn drop_any(&self, nth: u64) -> Option<String> {
        let mut state = self.state();
        let all = || state.tables.iter().flat_map(|(t, table)| table.partitions.keys().map(move |p| (t, p)));
        let count = all().count().max(1);
        let (table, values) = all().nth(nth as usize % count).map(|(t, p)| (t.clone(), p.clone()))?;
        state.tables.get_mut(&table)?.partitions.remove(&values).map(|at| folder_of(&at))
    }

    /// A user alters a table's columns.
    pub fn alter(&self, ddl: &Ddl) {
        if let Some(table) = self.state().tables.get_mut(&ddl.name.to_string()) {
            table.ddl.columns = ddl.columns.clone();
        }
    }

    /// Takes its time, and may fail.
    async fn call(&self, what: &str) -> Result<()> {
        self.frost.passed().await;
        let mut chance = self.faults.call(&format!("catalog {what}"));
        tokio::time::sleep(self.faults.latency(&mut chance)).await;
        self.frost.passed().await;
        if self.faults.catalog_is_down()
            || self.faults.comes(&mut chance, self.faults.rates.catalog, "catalog: call failed")
        {
            return Err(failed("the catalog throttles"));
        }
        Ok(())
    }

    /// An answer that gets lost on its way, after the work.
    async fn answered(&self, what: &str) -> Result<()> {
        let mut chance = self.faults.call(&format!("catalog answer {what}"));
        tokio::time::sleep(self.faults.latency(&mut chance)).await;
        self.frost.passed().await;
        match self.faults.comes(&mut chance, self.faults.rates.catalog, "catalog: answer lost after the work")
        {
            true => Err(failed("an answer was lost")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Catalog for Shelf {
    async fn create_table(&self, ddl: &Ddl) -> Result<bool> {
        self.call("create_table").await?;
        let mut state = self.state();
        let name = ddl.name.to_string();
        if state.tables.contains_key(&name) {
            return Ok(false);
        }
        state.made += 1;
        let table = Table { ddl: ddl.clone(), made: state.made, partitions: BTreeMap::new() };
        state.tables.insert(name, table);
        Ok(true)
    }

    async fn table(&self, name: &TableName) -> Result<Option<Ddl>> {
        self.call("table").await?;
        Ok(self.state().tables.get(&name.to_string()).map(|table| table.ddl.clone()))
    }

    async fn put_view(&self, _: &View) -> Result<()> {
        self.call("put_view").await
    }

    async fn view(&self, _: &TableName) -> Result<Option<String>> {
        Ok(None)
    }

    async fn tables(&self, _: Option<&str>) -> Result<Vec<TableName>> {
        Ok(Vec::new())
    }

    async fn alter_table(&self, _: &Ddl, _: &Ddl) -> Result<bool> {
        unreachable!("no job changes a table")
    }

    async fn renew_partitions(&self, _: &TableName) -> Result<u64> {
        Ok(0)
    }

    async fn drop_table(&self, name: &TableName) -> Result<bool> {
        Ok(self.state().tables.remove(&name.to_string()).is_some())
    }

    async fn incarnation(&self, name: &TableName) -> Result<Option<String>> {
        self.call("incarnation").await?;
        Ok(self.state().tables.get(&name.to_string()).map(|table| format!("made-{}", table.made)))
    }

    async fn has_partitions(&self, name: &TableName) -> Result<bool> {
        self.call("has_partitions").await?;
        Ok(self.state().tables.get(&name.to_string()).is_some_and(|table| !table.partitions.is_empty()))
    }

    async fn partitions(&self, name: &TableName, _: &[Condition]) -> Result<Vec<Partition>> {
        self.call("partitions").await?;
        self.find(name, |_| true)
    }

    async fn find_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<Partition>> {
        self.call("find_partitions").await?;
        self.find(name, |theirs| values.iter().any(|values| values == theirs))
    }

    async fn create_partitions(&self, name: &TableName, partitions: &[Partition]) -> Result<Vec<Registered>> {
        self.call("create_partitions").await?;
        let mut answers = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let folder = folder_of(&partition.location);
            if !self.lake.has_links(&folder) {
                self.faults.wrong(format!("{folder} is registered before a link is in it"));
            }
            let mut chance = self.faults.call(&format!("catalog create {folder}"));
            if self.faults.comes(&mut chance, self.faults.rates.catalog, "catalog: one of a batch failed") {
                answers.push(Registered::Failed(failed("ConcurrentModificationException")));
                continue;
            }
            let mut state = self.state();
            let table = state.tables.get_mut(&name.to_string()).ok_or_else(|| no_table(name))?;
            if table.partitions.contains_key(&partition.values) {
                answers.push(Registered::AlreadyExists);
                continue;
            }
            table.partitions.insert(partition.values.clone(), partition.location.clone());
            state.ever.insert(folder.clone());
            self.faults.note(format!("  registered {folder}"));
            answers.push(Registered::Created);
        }
        self.answered("create_partitions").await?;
        Ok(answers)
    }

    async fn drop_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<u64> {
        self.call("drop_partitions").await?;
        let mut dropped = 0;
        if let Some(table) = self.state().tables.get_mut(&name.to_string()) {
            dropped = values.iter().filter(|values| table.partitions.remove(*values).is_some()).count();
        }
        self.answered("drop_partitions").await?;
        Ok(dropped as u64)
    }
}

impl Shelf {
    fn find(&self, name: &TableName, wanted: impl Fn(&Vec<String>) -> bool) -> Result<Vec<Partition>> {
        let state = self.state();
        let table = state.tables.get(&name.to_string()).ok_or_else(|| no_table(name))?;
        let found = table.partitions.iter().filter(|(values, _)| wanted(values));
        Ok(found.map(|(values, at)| Partition { values: values.clone(), location: at.clone() }).collect())
    }
}

/// `lake/ticks/date=D/symbol=S` of `sim:///lake/ticks/date=D/symbol=S/`.
pub fn folder_of(location: &str) -> String {
    location.trim_start_matches("sim:///").trim_end_matches('/').to_owned()
}

fn no_table(name: &TableName) -> Error {
    Error::new(Kind::Catalog, "faulty catalog: no such table").with("table", name)
}

fn failed(what: &str) -> Error {
    Error::new(Kind::Catalog, format!("faulty catalog: {what}")).retryable()
}
