//! Turns a table into the plan that reads what a query needs of it.
//!
//! The catalog gives the partitions, the stores their files. Planning opens no file, but where a few rows are enough:
//! then it reads footers until it has found so many. Columns go by name: one that a file lacks is null there, one of a narrower type is cast.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, ScalarValue, Statistics, project_schema};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetFileReaderFactory, ParquetFileReaderFactory,
};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::{TableSchema, TableSchemaBuilder};
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use object_store::ObjectMeta;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use super::lake::external;
use super::pruning::{Values, conditions, is_about_partitions};
use super::tail::Tails;
use crate::catalog::{Catalog, Partition};
use crate::error::{Error, Kind};
use crate::store::{Entry, Folder, Stores};
use crate::table::columns::file_schema;
use crate::table::{Ddl, TableName};

/// Partitions whose files are listed at once, where only a few rows are wanted.
const LISTS: usize = 32;

/// What one scan keeps of files' footers: parallel readers of one file parse it once.
const FOOTERS_BYTES: usize = 64 << 20;

/// A file of up to so many bytes is read at once.
const WHOLE_BYTES: u64 = 64 << 10;

/// A table of the catalog, for one query.
#[derive(Debug)]
pub(super) struct LakeTable {
    ddl: Ddl,
    catalog: Arc<dyn Catalog>,
    stores: Stores,
    /// The files' columns, then the partition columns.
    schema: TableSchema,
}

impl LakeTable {
    pub(super) fn new(ddl: Ddl, catalog: Arc<dyn Catalog>, stores: Stores) -> Self {
        let partitioned: Vec<FieldRef> = ddl
            .partitioned_by
            .iter()
            .map(|column| Arc::new(Field::new(&column.name, column.column_type.arrow(), true)))
            .collect();
        let schema =
            TableSchemaBuilder::new(file_schema(&ddl.columns)).with_table_partition_cols(partitioned).build();
        Self { ddl, catalog, stores, schema }
    }

    pub(super) fn name(&self) -> &TableName {
        &self.ddl.name
    }

    /// The partitions that the filters leave, with their typed values.
    pub(super) async fn partitions(
        &self,
        filters: &[Expr],
        session: &dyn Session,
    ) -> Result<Vec<(Partition, Vec<ScalarValue>)>, DataFusionError> {
        let columns = self.schema.table_partition_cols();
        let filters: Vec<Expr> =
            filters.iter().filter(|filter| is_about_partitions(filter, columns)).cloned().collect();
        let partitions = if columns.is_empty() {
            vec![self.whole().map_err(external)?]
        } else {
            let conditions = conditions(&filters, columns);
            self.catalog.partitions(&self.ddl.name, &conditions).await.map_err(external)?
        };
        Values::new(partitions, columns)?.keep(&filters, session)
    }

    /// Their files. Where the query wants no more than `limit` rows, partitions are listed some at a time, until there are so many.
    pub(super) async fn files(
        &self,
        partitions: Vec<(Partition, Vec<ScalarValue>)>,
        limit: Option<usize>,
    ) -> Result<Vec<(Folder, PartitionedFile)>, DataFusionError> {
        let at_once = if limit.is_some() { LISTS } else { partitions.len().max(1) };
        let (mut files, mut rows) = (Vec::new(), 0);
        for partitions in partitions.chunks(at_once) {
            for (folder, file) in self.list(partitions).await.map_err(external)? {
                if limit.is_some_and(|limit| rows >= limit) {
                    return Ok(files);
                }
                if limit.is_some() {
                    rows += count_rows(&folder, &file).await?;
                }
                files.push((folder, file));
            }
        }
        Ok(files)
    }

    /// A table without partition columns is one folder.
    fn whole(&self) -> Result<Partition, Error> {
        let location = self.ddl.location.clone().ok_or_else(|| {
            Error::new(Kind::Catalog, "the table has neither partitions nor a LOCATION")
                .with("table", &self.ddl.name)
        })?;
        Ok(Partition { values: Vec::new(), location })
    }

    /// Nothing is in a folder that is not there.
    async fn list(
        &self,
        partitions: &[(Partition, Vec<ScalarValue>)],
    ) -> Result<Vec<(Folder, PartitionedFile)>, Error> {
        let locations: Vec<&str> = partitions.iter().map(|(partition, _)| &*partition.location).collect();
        let lists = self.stores.list_each(&locations).await?;
        let mut files = Vec::new();
        for ((folder, entries), (_, values)) in lists.into_iter().zip(partitions) {
            // An empty object is a folder's marker; an empty file of ours is a lost one, and the reader says so.
            let is_file = |entry: &Entry| entry.size_bytes > 0 || entry.name.ends_with(".parquet");
            for Entry { name, size_bytes, .. } in entries.into_iter().filter(is_file) {
                let meta = ObjectMeta {
                    location: folder.child(&name)?,
                    last_modified: Default::default(), // files never change
                    size: size_bytes,
                    e_tag: None,
                    version: None,
                };
                let file = PartitionedFile::new_from_meta(meta)
                    .with_partition_values(values.clone())
                    .with_metadata_size_hint(footer_bytes(size_bytes));
                files.push((folder.clone(), file));
            }
        }
        Ok(files)
    }

    /// The scan of the files of one store.
    fn read(
        &self,
        url: ObjectStoreUrl,
        folder: &Folder,
        files: Vec<PartitionedFile>,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        session.runtime_env().register_object_store(url.as_ref(), folder.store().clone());
        let options = session.config_options();
        let bytes: u64 = files.iter().map(|file| file.object_meta.size).sum();
        let groups = FileGroup::new(files).split_files(session.config().target_partitions());
        // Its cache is its own, as paths of several stores would meet in a shared one.
        let footers = Arc::new(DefaultCache::new(FOOTERS_BYTES));
        // A request of a disk costs nothing, and what lies between two columns need not be read.
        let readers: Arc<dyn ParquetFileReaderFactory> = match url.as_str().starts_with("file:") {
            true => Arc::new(CachedParquetFileReaderFactory::new(folder.store().clone(), footers)),
            false => {
                let files = groups.iter().flat_map(FileGroup::iter);
                Arc::new(Tails::new(folder.store().clone(), footers, files))
            }
        };
        let source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(TableParquetOptions {
                global: options.execution.parquet.clone(),
                ..Default::default()
            })
            .with_parquet_file_reader_factory(readers);
        let statistics = Statistics::new_unknown(self.schema.table_schema())
            .with_total_byte_size(Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX)));
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let columns = self.schema.table_partition_cols();
        let answer = |filter: &&Expr| match is_about_partitions(filter, columns) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let mut stores: BTreeMap<String, (Folder, Vec<PartitionedFile>)> = BTreeMap::new();
        let partitions = self.partitions(filters, session).await?;
        for (folder, file) in self.files(partitions, limit).await? {
            let (_, files) = stores.entry(store_url(&folder)).or_insert_with(|| (folder, Vec::new()));
            files.push(file);
        }
        let mut scans = Vec::with_capacity(stores.len());
        for (url, (folder, files)) in stores {
            scans.push(self.read(ObjectStoreUrl::parse(url)?, &folder, files, session, projection, limit)?);
        }
        match scans.len() {
            0 => Ok(Arc::new(EmptyExec::new(project_schema(&self.schema(), projection)?))),
            1 => Ok(scans.remove(0)),
            _ => UnionExec::try_new(scans),
        }
    }
}

/// How many bytes of a file's end are asked for first. In a file of ours the footer, with its statistics and page index, is less
/// than a sixteenth, and never more than this; of another that has more, the rest is asked for then.
fn footer_bytes(file_bytes: u64) -> usize {
    let bytes = if file_bytes <= WHOLE_BYTES { file_bytes } else { file_bytes / 16 };
    bytes.clamp(WHOLE_BYTES / 4, WHOLE_BYTES) as usize
}

/// As the footer has it: a file may be without rows.
async fn count_rows(folder: &Folder, file: &PartitionedFile) -> Result<usize, DataFusionError> {
    let footer = footer(folder, file).await?;
    Ok(usize::try_from(footer.file_metadata().num_rows()).unwrap_or(0))
}

pub(super) async fn footer(
    folder: &Folder,
    file: &PartitionedFile,
) -> Result<Arc<ParquetMetaData>, DataFusionError> {
    DFParquetMetadata::new(folder.store(), &file.object_meta)
        .with_page_index_policy(Some(PageIndexPolicy::Skip))
        .fetch_metadata()
        .await
        .map_err(|e| e.context(format!("cannot read the footer of {}", file.object_meta.location)))
}

/// `s3://bucket`, `file://`: the part of a location that names its store.
fn store_url(folder: &Folder) -> String {
    folder.location().splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}
