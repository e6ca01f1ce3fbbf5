//! Turns the catalog into DataFusion's names: `catalog.database.table`.
//!
//! A table is looked up when a statement names it and never kept, so that the next query sees what is new.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;

use super::CATALOG;
use super::scan::LakeTable;
use crate::catalog::Catalog;
use crate::store::Stores;
use crate::table::{Ddl, TableName};

/// The catalog as one query sees it.
#[derive(Clone, Debug)]
pub(super) struct Lake {
    catalog: Arc<dyn Catalog>,
    stores: Stores,
    /// All tables, where the query asks for a list of them.
    names: Arc<Vec<TableName>>,
}

/// One database of it; that it exists is not known before a table of it is found.
#[derive(Debug)]
struct Database {
    lake: Lake,
    name: String,
}

impl Lake {
    pub(super) fn new(catalog: Arc<dyn Catalog>, stores: Stores) -> Self {
        Self { catalog, stores, names: Arc::default() }
    }

    /// With the names of all tables, for `SHOW TABLES` and `information_schema`.
    pub(super) async fn listed(self) -> Result<Self, DataFusionError> {
        let names = self.catalog.tables(None).await.map_err(external)?;
        Ok(Self { names: Arc::new(names), ..self })
    }
}

impl CatalogProviderList for Lake {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None // nothing is registered here: DataFusion does it for `CREATE DATABASE`, which is refused
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(self.clone()) as _)
    }
}

impl CatalogProvider for Lake {
    fn schema_names(&self) -> Vec<String> {
        let databases: BTreeSet<&str> = self.names.iter().map(TableName::database).collect();
        databases.into_iter().map(str::to_owned).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(Database { lake: self.clone(), name: name.to_owned() }))
    }
}

#[async_trait]
impl SchemaProvider for Database {
    fn table_names(&self) -> Vec<String> {
        let names = self.lake.names.iter().filter(|name| name.database() == self.name);
        names.map(|name| name.table().to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        // What cannot be a table's name is none: DataFusion says so in its own words.
        let Ok(name) = TableName::new(&self.name, name) else { return Ok(None) };
        let ddl = match self.lake.catalog.table(&name).await {
            // In a list of all tables, one that cannot be read is left out; who asks for it hears why.
            Err(e) if !self.lake.names.is_empty() && !e.is_retryable() => {
                tracing::debug!(%name, error = crate::error::chain(&e), "left out of the list");
                None
            }
            found => found.map_err(external)?,
        };
        if ddl.as_ref().is_some_and(Ddl::is_projected) {
            tracing::warn!(
                table = %name,
                "the table has projection.enabled: Athena computes its partitions, and here are only those in the catalog"
            );
        }
        Ok(ddl.map(|ddl| {
            let table = LakeTable::new(ddl, self.lake.catalog.clone(), self.lake.stores.clone());
            Arc::new(table) as Arc<dyn TableProvider>
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.lake.names.iter().any(|n| n.database() == self.name && n.table() == name)
    }
}

/// Our error, carried through the engine.
pub(super) fn external(error: crate::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
