//! Owns the catalog in AWS Glue: the one that Athena, Trino and Spark read.
//!
//! Tables and partitions are as Athena's own DDL makes them (`glue/table`), so that every engine takes them. A call
//! that was throttled or met another change is made again by the SDK, with jitter; what stays failed is retryable.

mod expression;
mod index;
mod table;
mod view;

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use aws_sdk_glue::Client;
use aws_sdk_glue::config::interceptors::InterceptorContext;
use aws_sdk_glue::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_glue::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_glue::operation::batch_create_partition::BatchCreatePartitionError;
use aws_sdk_glue::operation::create_database::CreateDatabaseError;
use aws_sdk_glue::operation::create_table::CreateTableError;
use aws_sdk_glue::operation::delete_table::DeleteTableError;
use aws_sdk_glue::operation::update_table::UpdateTableError;
use aws_sdk_glue::types::{
    BatchUpdatePartitionRequestEntry, DatabaseInput, ErrorDetail, PartitionIndex, PartitionInput,
    PartitionValueList, TableInput,
};
use aws_smithy_runtime_api::client::interceptors::context::Error as TypeErasedError;
use futures::{StreamExt, TryStreamExt};

use super::{Catalog, Condition, Index, Partition, Registered, View, is_taken, no_table, wrong_count};
use crate::aws::{self, Aws, CallError};
use crate::error::{Error, Kind, Result};
use crate::table::{Ddl, TableName};

/// Glue takes no more partitions in one call to create or to change some (FACTS 2.1, 2.2).
const BATCH: usize = 100;
/// ... nor more to drop,
const BATCH_DROPPED: usize = 25;
/// ... and to look up (FACTS 2.2).
const LOOKED_UP: usize = 1000;
/// Calls of such batches under way at once: Glue throttles an account, not a call (FACTS 2.5).
const BATCHES: usize = 4;
/// The most partitions that a page has (FACTS 2.2).
const PAGE: i32 = 1000;

/// Begins a call on the partitions of a table; the SDK has a type for each.
macro_rules! on_table {
    ($catalog:expr, $call:ident, $name:expr) => {
        $catalog
            .client
            .$call()
            .set_catalog_id($catalog.catalog_id.clone())
            .database_name($name.database())
            .table_name($name.table())
    };
}
use on_table;

/// Where Glue is, and whose catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlueOptions {
    /// If it is not AWS's; above what [`Aws`] finds.
    pub endpoint: Option<String>,
    /// The account whose catalog it is; without one it is the caller's.
    pub catalog_id: Option<String>,
}

/// AWS Glue's data catalog.
///
/// * A table is external, Parquet, and on S3: another location is refused.
/// * `create_table` makes its database where it is not there.
/// * Values are raw, locations literal (FACTS 2.4).
#[derive(Clone)]
pub struct GlueCatalog {
    client: Client,
    catalog_id: Option<String>,
}

impl GlueCatalog {
    /// Nothing is asked of Glue yet; the region is looked up.
    pub async fn open(options: &GlueOptions, aws: &Aws) -> Result<Self> {
        let mut config =
            aws_sdk_glue::config::Builder::from(aws.config().await?).retry_classifier(MeetsAnother);
        if let Some(endpoint) = &options.endpoint {
            config = config.endpoint_url(aws::endpoint_of(endpoint)?);
        }
        Ok(Self { client: Client::from_conf(config.build()), catalog_id: options.catalog_id.clone() })
    }

    /// `None` where there is no such table, or no such database.
    async fn find(&self, name: &TableName) -> Result<Option<aws_sdk_glue::types::Table>> {
        let asked = self
            .client
            .get_table()
            .set_catalog_id(self.catalog_id.clone())
            .database_name(name.database())
            .name(name.table())
            .send()
            .await;
        match asked {
            Ok(answer) => Ok(answer.table),
            Err(e) if is(&e, NOT_FOUND) => Ok(None),
            Err(e) => Err(failed("read a table", e).with("table", name)),
        }
    }

    /// Makes a table or a view, and its database where it is not there; `false` where the name is taken.
    async fn create(
        &self,
        name: &TableName,
        input: TableInput,
        indexes: Vec<PartitionIndex>,
    ) -> Result<bool> {
        let indexes = (!indexes.is_empty()).then_some(indexes);
        let create = || {
            self.client
                .create_table()
                .set_catalog_id(self.catalog_id.clone())
                .database_name(name.database())
                .table_input(input.clone())
                .set_partition_indexes(indexes.clone())
                .send()
        };
        let mut made = create().await;
        if made.as_ref().is_err_and(|e| is(e, NOT_FOUND)) {
            self.create_database(name.database()).await?;
            made = create().await;
        }
        match made {
            Ok(_) => Ok(true),
            Err(e) if is(&e, THERE) => Ok(false),
            Err(e) => Err(failed("make a table", e).with("table", name)),
        }
    }

    /// Replaces all of a table or a view; only that of a version, where one is given.
    async fn update(
        &self,
        name: &TableName,
        input: TableInput,
        version: Option<String>,
    ) -> std::result::Result<(), SdkError<UpdateTableError>> {
        let asked = self
            .client
            .update_table()
            .set_catalog_id(self.catalog_id.clone())
            .database_name(name.database())
            .set_version_id(version)
            // The version before would be kept, and count against the most that an account may have (FACTS 2.6, 2.7).
            .skip_archive(true)
            .table_input(input)
            .send();
        asked.await.map(|_| ())
    }

    async fn create_database(&self, name: &str) -> Result<()> {
        let input = DatabaseInput::builder().name(name).build();
        let made = self
            .client
            .create_database()
            .set_catalog_id(self.catalog_id.clone())
            .database_input(input.map_err(|e| Error::usage("no database for Glue").because(e))?)
            .send()
            .await;
        match made {
            Ok(_) => Ok(()),
            Err(e) if is(&e, THERE) => Ok(()),
            Err(e) => Err(failed("make a database", e).with("database", name)),
        }
    }

    async fn databases(&self) -> Result<Vec<String>> {
        let asked =
            self.client.get_databases().set_catalog_id(self.catalog_id.clone()).into_paginator().send();
        let pages = asked.try_collect().await.map_err(|e| failed("list the databases", e))?;
        let databases = pages.into_iter().flat_map(|page| page.database_list);
        Ok(databases.map(|database| database.name).collect())
    }

    async fn tables_of(&self, database: &str) -> Result<Vec<TableName>> {
        let asked = self
            .client
            .get_tables()
            .set_catalog_id(self.catalog_id.clone())
            .database_name(database)
            .into_paginator()
            .send();
        match asked.try_collect().await {
            // A name that Athena cannot write in its SQL is none that can be asked for.
            Ok(pages) => {
                let tables = pages.into_iter().flat_map(|page| page.table_list.unwrap_or_default());
                Ok(tables.filter_map(|table| TableName::new(database, &table.name).ok()).collect())
            }
            Err(e) if is(&e, NOT_FOUND) => Ok(Vec::new()),
            Err(e) => Err(failed("list the tables", e).with("database", database)),
        }
    }

    async fn get_batch(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<Partition>> {
        let asked = on_table!(self, batch_get_partition, name)
            .set_partitions_to_get(Some(keys(values)?))
            .send()
            .await;
        // Those that are not in the answer are not there, or not looked for (`UnprocessedKeys` has both): who creates
        // them is told which.
        match asked {
            Ok(answer) => answer
                .partitions
                .unwrap_or_default()
                .into_iter()
                .map(|found| table::partition(name, found))
                .collect(),
            Err(e) => Err(failed_on(name, "look up partitions", e)),
        }
    }

    async fn update_batch(
        &self,
        name: &TableName,
        entries: Vec<BatchUpdatePartitionRequestEntry>,
    ) -> Result<u64> {
        let count = entries.len() as u64;
        let asked = on_table!(self, batch_update_partition, name).set_entries(Some(entries)).send().await;
        let answer = asked.map_err(|e| failed_on(name, "change partitions", e))?;
        let errors = answer.errors.unwrap_or_default().into_iter();
        let errors = errors.map(|error| (error.partition_value_list, error.error_detail));
        let failed = "Glue did not change a partition: those before it have the table's columns, run this again for the rest";
        Ok(count - count_gone(name, errors, failed)?)
    }

    async fn drop_batch(&self, name: &TableName, values: &[Vec<String>]) -> Result<u64> {
        let asked = on_table!(self, batch_delete_partition, name)
            .set_partitions_to_delete(Some(keys(values)?))
            .send()
            .await;
        let answer = asked.map_err(|e| failed_on(name, "drop partitions", e))?;
        let errors = answer.errors.unwrap_or_default().into_iter();
        let errors = errors.map(|error| (error.partition_values, error.error_detail));
        let gone = count_gone(name, errors, "Glue did not drop a partition: run this again")?;
        Ok(values.len() as u64 - gone)
    }

    async fn create_batch(&self, name: &TableName, inputs: Vec<PartitionInput>) -> Result<Vec<Registered>> {
        let values: Vec<Vec<String>> =
            inputs.iter().map(|input| input.values.clone().unwrap_or_default()).collect();
        let asked =
            on_table!(self, batch_create_partition, name).set_partition_input_list(Some(inputs)).send().await;
        let errors = match asked {
            Ok(answer) => answer.errors.unwrap_or_default(),
            Err(e) => return of_all(name, values.len(), e),
        };
        let mut failures: HashMap<Vec<String>, Vec<ErrorDetail>> = HashMap::new();
        for error in errors {
            let detail = error.error_detail.unwrap_or_else(|| ErrorDetail::builder().build());
            failures.entry(error.partition_values.unwrap_or_default()).or_default().push(detail);
        }
        // From the end: of two with the same values the first is the one that was created.
        let mut answers: Vec<Registered> = values
            .iter()
            .rev()
            .map(|values| match failures.get_mut(values).and_then(Vec::pop) {
                None => Registered::Created,
                Some(detail) => of_one(&detail),
            })
            .collect();
        answers.reverse();
        let unasked = failures.into_iter().find_map(|(values, mut details)| Some((values, details.pop()?)));
        match unasked {
            None => Ok(answers),
            // None of those is known to be there.
            Some((values, detail)) => {
                Err(Error::new(Kind::Catalog, "Glue failed on a partition that was not asked for")
                    .with("table", name)
                    .with("partition", format_args!("{values:?}"))
                    .because(told(&detail))
                    .retryable())
            }
        }
    }
}

#[async_trait]
impl Catalog for GlueCatalog {
    async fn create_table(&self, ddl: &Ddl) -> Result<bool> {
        self.create(&ddl.name, table::input(ddl)?, index::wanted(ddl)?).await
    }

    async fn put_view(&self, view: &View) -> Result<()> {
        let (name, input) = (&view.name, view::input(view)?);
        match self.find(name).await? {
            None => {
                // Another process was quicker: it is looked at again.
                let made = self.create(name, input, Vec::new()).await?;
                if made { Ok(()) } else { Err(is_taken(name).retryable()) }
            }
            Some(found) if view::is_ours(&found) => {
                let put = self.update(name, input, None).await;
                put.map_err(|e| failed("change a view", e).with("view", name))
            }
            Some(_) => Err(is_taken(name)),
        }
    }

    async fn view(&self, name: &TableName) -> Result<Option<String>> {
        let found = self.find(name).await?.filter(view::is_ours);
        found.map(|found| view::sql(name, &found)).transpose()
    }

    async fn table(&self, name: &TableName) -> Result<Option<Ddl>> {
        self.find(name).await?.map(|found| table::ddl(name, found)).transpose()
    }

    async fn tables(&self, database: Option<&str>) -> Result<Vec<TableName>> {
        let mut tables = Vec::new();
        let databases = match database {
            Some(database) => vec![database.to_owned()],
            None => self.databases().await?,
        };
        for database in databases {
            tables.extend(self.tables_of(&database).await?);
        }
        tables.sort_unstable();
        Ok(tables)
    }

    /// By the version of the table that was compared. What an answer does not tell, because it got lost and the call was
    /// made again, another look does.
    async fn alter_table(&self, was: &Ddl, to: &Ddl) -> Result<bool> {
        let name = &to.name;
        let found = self.find(name).await?.ok_or_else(|| no_table(name))?;
        let there = table::ddl(name, found.clone())?;
        if there.says_the_same_as(to) {
            return Ok(true);
        }
        if !there.says_the_same_as(was) {
            return Ok(false);
        }
        let version = found.version_id.clone();
        let asked = self.update(name, table::altered(found, &there, to)?, version).await;
        let Err(e) = asked else { return Ok(true) };
        let now = self.table(name).await;
        if now.is_ok_and(|now| now.is_some_and(|now| now.says_the_same_as(to))) {
            return Ok(true);
        }
        if [CHANGED, OTHER_VERSION].iter().any(|code| is(&e, code)) {
            return Ok(false);
        }
        Err(failed_on(name, "change a table", e))
    }

    /// Those that are there by now are asked for, page by page, and changed in hundreds.
    async fn renew_partitions(&self, name: &TableName) -> Result<u64> {
        let found = self.find(name).await?.ok_or_else(|| no_table(name))?;
        let asked = on_table!(self, get_partitions, name).max_results(PAGE).into_paginator().send();
        let pages =
            asked.try_collect().await.map_err(|e| failed_on(name, "read the partitions of a table", e))?;
        let partitions = pages.into_iter().flat_map(|page| page.partitions.unwrap_or_default());
        let entries: Vec<BatchUpdatePartitionRequestEntry> = partitions
            .filter_map(|partition| table::renewed(partition, &found))
            .collect::<std::result::Result<_, _>>()
            .map_err(|e| Error::new(Kind::Catalog, "no partition for Glue").with("table", name).because(e))?;
        let batches: Vec<_> =
            entries.chunks(BATCH).map(|batch| self.update_batch(name, batch.to_vec())).collect();
        let renewed: Vec<u64> = futures::stream::iter(batches).buffered(BATCHES).try_collect().await?;
        Ok(renewed.into_iter().sum())
    }

    async fn indexes(&self, ddl: &Ddl) -> Result<Vec<Index>> {
        match ddl.is_indexed() {
            true => index::judged(ddl, self.indexes_of(&ddl.name).await?),
            false => Ok(Vec::new()),
        }
    }

    async fn create_index(&self, name: &TableName, columns: &[String]) -> Result<()> {
        self.make_index(name, columns).await
    }

    async fn drop_table(&self, name: &TableName) -> Result<bool> {
        // Of a view or a table of another format the catalog has what no file has.
        match self.find(name).await? {
            Some(found) if view::is_ours(&found) => {}
            Some(found) => table::must_be_files(name, &found)?,
            None => return Ok(false),
        }
        let dropped = self
            .client
            .delete_table()
            .set_catalog_id(self.catalog_id.clone())
            .database_name(name.database())
            .name(name.table())
            .send()
            .await;
        match dropped {
            Ok(_) => Ok(true),
            Err(e) if is(&e, NOT_FOUND) => Ok(false),
            Err(e) => Err(failed("drop a table", e).with("table", name)),
        }
    }

    async fn incarnation(&self, name: &TableName) -> Result<Option<String>> {
        let found = self.find(name).await?.ok_or_else(|| no_table(name))?;
        let made_at = found.create_time.and_then(|time| time.to_millis().ok()).unwrap_or(0);
        Ok(Some(made_at.to_string()))
    }

    async fn has_partitions(&self, name: &TableName) -> Result<bool> {
        let asked =
            on_table!(self, get_partitions, name).exclude_column_schema(true).max_results(1).send().await;
        match asked {
            Ok(answer) => Ok(answer.partitions.is_some_and(|partitions| !partitions.is_empty())),
            Err(e) => Err(failed_on(name, "look for partitions", e)),
        }
    }

    async fn partitions(&self, name: &TableName, conditions: &[Condition]) -> Result<Vec<Partition>> {
        let expression = match conditions {
            [] => None,
            conditions => {
                let ddl = self.table(name).await?.ok_or_else(|| no_table(name))?;
                expression::of(conditions, &ddl.partitioned_by)
            }
        };
        let asked = on_table!(self, get_partitions, name)
            .exclude_column_schema(true)
            .max_results(PAGE)
            .set_expression(expression.clone())
            .into_paginator()
            .send();
        match asked.try_collect().await {
            Ok(pages) => {
                let found = pages.into_iter().flat_map(|page| page.partitions.unwrap_or_default());
                let mut partitions: Vec<Partition> =
                    found.map(|found| table::partition(name, found)).collect::<Result<_>>()?;
                partitions.sort_unstable();
                Ok(partitions)
            }
            Err(e) => Err(failed_on(name, "read the partitions of a table", e)
                .with("that meet", expression.unwrap_or_else(|| "anything".to_owned()))),
        }
    }

    async fn find_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<Partition>> {
        if values.is_empty() {
            return match self.find(name).await? {
                Some(_) => Ok(Vec::new()),
                None => Err(no_table(name)),
            };
        }
        let batches: Vec<_> = values.chunks(LOOKED_UP).map(|batch| self.get_batch(name, batch)).collect();
        let found: Vec<_> = futures::stream::iter(batches).buffered(BATCHES).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Each gets the table's formats, SerDe and columns, as Athena reads a partition by its own (FACTS 2.8). A call that fails
    /// does not keep the others from their work.
    async fn create_partitions(&self, name: &TableName, partitions: &[Partition]) -> Result<Vec<Registered>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.find(name).await?.ok_or_else(|| no_table(name))?;
        let columns = found.partition_keys.as_ref().map_or(0, Vec::len);
        let refused: Vec<Option<Error>> = partitions
            .iter()
            .map(|Partition { values, location }| match values.len() == columns {
                false => Some(wrong_count(name, values, columns)),
                true => (!location.starts_with("s3://")).then(|| table::not_on_s3(name, location)),
            })
            .collect();
        let taken = partitions.iter().zip(&refused).filter(|(_, refused)| refused.is_none());
        let inputs: Vec<PartitionInput> =
            taken.map(|(partition, _)| table::partition_input(partition, &found)).collect();
        let batches: Vec<_> =
            inputs.chunks(BATCH).map(|batch| self.create_batch(name, batch.to_vec())).collect();
        let created: Vec<_> = futures::stream::iter(batches).buffered(BATCHES).collect().await;
        let created: Vec<Vec<Registered>> = created.into_iter().collect::<Result<_>>()?;
        let mut created = created.into_iter().flatten();
        let answers = refused.into_iter().map(|refused| match refused {
            Some(e) => Registered::Failed(e),
            None => created.next().expect("each partition that is taken has an answer"),
        });
        Ok(answers.collect())
    }

    async fn drop_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<u64> {
        if values.is_empty() {
            return Ok(0);
        }
        let batches: Vec<_> =
            values.chunks(BATCH_DROPPED).map(|batch| self.drop_batch(name, batch)).collect();
        let dropped: Vec<u64> = futures::stream::iter(batches).buffered(BATCHES).try_collect().await?;
        Ok(dropped.into_iter().sum())
    }
}

fn keys(values: &[Vec<String>]) -> Result<Vec<PartitionValueList>> {
    let keys = values.iter().map(|values| {
        let key = PartitionValueList::builder().set_values(Some(values.clone())).build();
        key.map_err(|e| Error::new(Kind::Catalog, "no key of a partition").because(e))
    });
    keys.collect()
}

impl fmt::Debug for GlueCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("glue")
    }
}

/// A change that met another one is made again: the SDK takes that for lasting (FACTS 2.5).
#[derive(Debug)]
struct MeetsAnother;

impl ClassifyRetry for MeetsAnother {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        let Some(error) = error.as_operation_error() else { return RetryAction::NoActionIndicated };
        // By its code: not every operation models the error, and Glue gives it all the same.
        let met = met::<BatchCreatePartitionError>(error)
            || met::<CreateDatabaseError>(error)
            || met::<CreateTableError>(error)
            || met::<DeleteTableError>(error);
        if met { RetryAction::transient_error() } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "a change that met another one"
    }
}

fn met<E: CallError>(error: &TypeErasedError) -> bool {
    error.downcast_ref::<E>().and_then(E::code) == Some(CHANGED)
}

/// The whole call failed. Glue may also say so of one partition among many that is there already: the caller looks.
fn of_all(
    name: &TableName,
    partitions: usize,
    e: SdkError<BatchCreatePartitionError>,
) -> Result<Vec<Registered>> {
    if is(&e, THERE) {
        return Ok((0..partitions).map(|_| Registered::AlreadyExists).collect());
    }
    Err(failed_on(name, "register partitions", e).with("partitions", partitions))
}

/// How many of a call's partitions are not there: they need nothing any more. What else one met is an error.
fn count_gone(
    name: &TableName,
    errors: impl Iterator<Item = (Option<Vec<String>>, Option<ErrorDetail>)>,
    failed: &str,
) -> Result<u64> {
    let mut gone = 0;
    for (values, detail) in errors {
        let detail = detail.unwrap_or_else(|| ErrorDetail::builder().build());
        if detail.error_code() != Some(NOT_FOUND) {
            return Err(Error::new(Kind::Catalog, failed)
                .with("table", name)
                .with("partition", format_args!("{:?}", values.unwrap_or_default()))
                .because(told(&detail)));
        }
        gone += 1;
    }
    Ok(gone)
}

fn of_one(detail: &ErrorDetail) -> Registered {
    let code = detail.error_code().unwrap_or_default();
    if code == THERE {
        return Registered::AlreadyExists;
    }
    let failed = Error::new(Kind::Catalog, "Glue did not register a partition").because(told(detail));
    Registered::Failed(if aws::is_passing(code) { failed.retryable() } else { failed })
}

fn told(detail: &ErrorDetail) -> String {
    format!(
        "{}: {}",
        detail.error_code().unwrap_or("no code"),
        detail.error_message().unwrap_or("no message")
    )
}

/// Glue's codes, whatever the operation.
const NOT_FOUND: &str = "EntityNotFoundException";
const THERE: &str = "AlreadyExistsException";
const CHANGED: &str = "ConcurrentModificationException";
const OTHER_VERSION: &str = "VersionMismatchException";

fn is(e: &SdkError<impl CallError>, code: &str) -> bool {
    e.code() == Some(code)
}

/// Of a call on a table that should be there.
fn failed_on(table: &TableName, what: &str, e: SdkError<impl CallError>) -> Error {
    if is(&e, NOT_FOUND) { no_table(table) } else { failed(what, e).with("table", table) }
}

fn failed(what: &str, e: SdkError<impl CallError>) -> Error {
    aws::failed(Kind::Catalog, format!("cannot {what} in AWS Glue"), e)
}
