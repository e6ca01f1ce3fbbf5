//! Looks up in the catalog what could stand at the cursor.
//!
//! The list of tables and their columns are kept until the next prompt; partitions are asked for with what is typed as
//! a condition, and not kept.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::completion::{KEYWORDS, Request, Wanted, named};
use crate::catalog::{Catalog, Condition, Op};
use crate::cli::query::{EngineName, Engines};
use crate::error::Result;
use crate::table::partition::HIVE_NULL;
use crate::table::{Ddl, TableName};

/// More are not shown.
const VALUES_MAX: usize = 1000;

/// What the tables of an engine are called, as far as it was asked for.
#[derive(Debug)]
pub struct Names {
    engines: Arc<Engines>,
    engine: EngineName,
    tables: RefCell<Option<Arc<Vec<TableName>>>>,
    ddls: RefCell<BTreeMap<TableName, Arc<Ddl>>>,
}

/// What may take the place of what is typed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    pub shown: String,
    pub text: String,
}

impl From<String> for Candidate {
    fn from(text: String) -> Self {
        Self { shown: text.clone(), text }
    }
}

impl Names {
    pub fn new(engines: Arc<Engines>) -> Self {
        let (tables, ddls) = (RefCell::default(), RefCell::default());
        Self { engines, engine: EngineName::Local, tables, ddls }
    }

    /// For the next prompt: of this engine, and with what is new in its catalog.
    pub fn renew(&mut self, engine: EngineName) {
        self.engine = engine;
        self.tables.take();
        self.ddls.take();
    }

    /// In their order. `text` is all that is typed, also behind the cursor.
    pub async fn candidates(&self, text: &str, request: &Request) -> Result<Vec<Candidate>> {
        let typed = request.typed.as_str();
        let found: BTreeSet<Candidate> = match &request.wanted {
            Wanted::Word(words) => words.iter().map(|word| (*word).to_owned().into()).collect(),
            Wanted::Table => self.tables().await?.iter().map(|name| name.to_string().into()).collect(),
            Wanted::Of(qualifier) => self.of(qualifier, text).await?,
            Wanted::Name => self.names(text, typed).await?,
            Wanted::Value { column } => return self.values(text, column, typed).await,
            Wanted::File | Wanted::Nothing => BTreeSet::new(),
        };
        let begins = |candidate: &Candidate| {
            candidate.text.get(..typed.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(typed))
        };
        Ok(found.into_iter().filter(begins).collect())
    }

    /// Where nothing is typed yet, what is known of the statement's own tables only.
    async fn names(&self, text: &str, typed: &str) -> Result<BTreeSet<Candidate>> {
        let mut names = BTreeSet::new();
        for (table, _) in self.named(text).await? {
            names.extend(self.columns(&table).await?);
        }
        if !typed.is_empty() {
            let is_lower = typed.chars().all(|c| !c.is_uppercase());
            let keyword = |word: &&str| if is_lower { word.to_lowercase() } else { (*word).to_owned() };
            names.extend(KEYWORDS.iter().map(|word| keyword(word).into()));
            names.extend(self.tables().await?.iter().map(|name| name.to_string().into()));
        }
        Ok(names)
    }

    async fn of(&self, qualifier: &str, text: &str) -> Result<BTreeSet<Candidate>> {
        let is_qualifier = |name: &str| name.eq_ignore_ascii_case(qualifier);
        let tables = self.tables().await?;
        let in_database = tables.iter().filter(|name| is_qualifier(name.database()));
        let mut names: BTreeSet<Candidate> = in_database.map(|name| name.table().to_owned().into()).collect();
        for (table, alias) in self.named(text).await? {
            if is_qualifier(table.table()) || alias.as_deref().is_some_and(is_qualifier) {
                names.extend(self.columns(&table).await?);
            }
        }
        Ok(names)
    }

    async fn columns(&self, table: &TableName) -> Result<Vec<Candidate>> {
        let Some(ddl) = self.ddl(table).await? else { return Ok(Vec::new()) };
        let columns = ddl.columns.iter().chain(&ddl.partitioned_by);
        Ok(columns.map(|column| column.name.clone().into()).collect())
    }

    /// Those that begin with what is typed, of the statement's tables that are partitioned by the column.
    async fn values(&self, text: &str, column: &str, typed: &str) -> Result<Vec<Candidate>> {
        let mut values = BTreeSet::new();
        for (table, _) in self.named(text).await? {
            let Some(ddl) = self.ddl(&table).await? else { continue };
            let is_it = |c: &crate::table::Column| c.name.eq_ignore_ascii_case(column);
            let Some(index) = ddl.partitioned_by.iter().position(is_it) else { continue };
            let conditions = begins_with(index, typed);
            let partitions = self.catalog().await?.partitions(&table, &conditions).await?;
            values.extend(
                partitions.into_iter().filter_map(|partition| partition.values.into_iter().nth(index)),
            );
        }
        let fits = |value: &String| value.starts_with(typed) && value != HIVE_NULL;
        let quoted =
            |value: String| Candidate { text: format!("{}'", value.replace('\'', "''")), shown: value };
        Ok(values.into_iter().filter(fits).take(VALUES_MAX).map(quoted).collect())
    }

    async fn named(&self, text: &str) -> Result<Vec<(TableName, Option<String>)>> {
        let tables = self.tables().await?;
        let named = named(text, &tables, self.engines.default_database(self.engine));
        Ok(named.into_iter().map(|(name, alias)| (name.clone(), alias)).collect())
    }

    async fn tables(&self) -> Result<Arc<Vec<TableName>>> {
        if let Some(tables) = &*self.tables.borrow() {
            return Ok(tables.clone());
        }
        let tables = Arc::new(self.catalog().await?.tables(None).await?);
        self.tables.replace(Some(tables.clone()));
        Ok(tables)
    }

    async fn ddl(&self, table: &TableName) -> Result<Option<Arc<Ddl>>> {
        if let Some(ddl) = self.ddls.borrow().get(table) {
            return Ok(Some(ddl.clone()));
        }
        let ddl = self.catalog().await?.table(table).await?.map(Arc::new);
        if let Some(ddl) = &ddl {
            self.ddls.borrow_mut().insert(table.clone(), ddl.clone());
        }
        Ok(ddl)
    }

    async fn catalog(&self) -> Result<Arc<dyn Catalog>> {
        Ok(self.engines.lake(self.engine).await?.catalog.clone())
    }
}

/// Texts that begin so are from it up to where its last character is the next one.
fn begins_with(column: usize, typed: &str) -> Vec<Condition> {
    let from = Condition { column, op: Op::GtEq, value: typed.to_owned() };
    let Some(last) = typed.chars().next_back() else { return Vec::new() };
    let head = &typed[..typed.len() - last.len_utf8()];
    let next = char::from_u32(u32::from(last) + 1);
    let to = next.map(|next| Condition { column, op: Op::Lt, value: format!("{head}{next}") });
    std::iter::once(from).chain(to).collect()
}
