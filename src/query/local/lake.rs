//! Turns the catalog into DataFusion's names: `catalog.database.table`.
//!
//! A table is looked up when a statement names it and never kept, so that the next query sees what is new.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::datasource::ViewTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;

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
    /// What plans a view's own SQL; none within one, as those that are made here are of tables.
    views: Option<SessionState>,
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
    pub(super) fn new(catalog: Arc<dyn Catalog>, stores: Stores, session: SessionState) -> Self {
        Self { catalog, stores, views: Some(session), names: Arc::default() }
    }

    /// A view that was made here, as its SQL plans it.
    async fn view(&self, name: &TableName) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let Some(session) = &self.views else { return Ok(None) };
        let Some(sql) = self.catalog.view(name).await.map_err(external)? else { return Ok(None) };
        let lake = Self { views: None, names: Arc::default(), ..self.clone() };
        let session =
            SessionStateBuilder::new_from_existing(session.clone()).with_catalog_list(Arc::new(lake)).build();
        let plan = session.create_logical_plan(&sql).await?;
        Ok(Some(Arc::new(ViewTable::new(plan, Some(sql)))))
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
            Err(e) if !e.is_retryable() => match self.lake.view(&name).await? {
                Some(view) => return Ok(Some(view)),
                // In a list of all tables, one that cannot be read is left out; who asks for it hears why.
                None if !self.lake.names.is_empty() => {
                    tracing::debug!(%name, error = crate::error::chain(&e), "left out of the list");
                    None
                }
                None => return Err(external(e)),
            },
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
