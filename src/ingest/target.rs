//! Opens the two tables that a job writes: in the store, and in the catalog.
//!
//! A table's folder has an id of its own, in `_ticklake/id`. It is part of what a committed offset says of itself: an
//! offset is trusted only for the very files it was committed for, so an emptied or another folder is filled from the
//! log's beginning.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Job;
use super::buffer::Side;
use super::closer::{expired_before, is_expired};
use super::encode::Encoder;
use super::rejected;
use super::specs::kept;
use crate::catalog::Catalog;
use crate::error::{Error, Kind, Result};
use crate::store::{Entry, Folder, Stores};
use crate::table::columns::file_schema;
use crate::table::partition::{PATH_BYTES_MAX, is_before, parse_path};
use crate::table::{Column, Ddl, PartitionKey, Spec, TableName, spec};

/// What a key of S3 (1,024 bytes, FACTS 1.9) leaves for a table's folder: a partition's path, a file's name and two
/// slashes are the rest; `_rejected` is in the folder's name too.
const KEY_PREFIX_BYTES_MAX: usize = 1024 - PATH_BYTES_MAX - 255 - 2 - "_rejected".len();

/// Notes of tables whose partitions have all been registered, each table by its incarnation in its catalog: a catalog
/// may stop half-way, and then has some.
const REGISTERED: &str = "_ticklake/registered";

/// It goes into the metadata of committed offsets.
const ID_BYTES_MAX: usize = 64;

/// What the catalog has of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Nothing,
    Table {
        with_partitions: bool,
        /// As an earlier version made it: it lacks columns of rejected records.
        older: Option<Box<Ddl>>,
    },
}

/// What a table's catalog may lack.
#[derive(Debug)]
pub(crate) struct Entered {
    pub partitions: Vec<PartitionKey>,
    /// To be left when these are registered.
    note: Option<String>,
}

/// One of the two tables that a job writes.
#[derive(Debug)]
pub(crate) struct Target {
    pub name: TableName,
    side: Side,
    pub folder: Folder,
    pub(super) encoder: Encoder,
    pub ddl: Ddl,
}

/// The table, and its rejected sibling in the folder beside it. Nothing is asked for yet.
pub(super) async fn targets(job: &Job, spec: &Spec) -> Result<[Arc<Target>; 2]> {
    let location = job.location.as_ref().or(job.ddl.location.as_ref()).ok_or_else(|| {
        Error::usage("the table has no place: give --location, or LOCATION in the DDL")
            .with("table", &job.ddl.name)
    })?;
    let [table, rejected] =
        open_targets(&job.ddl, location, &job.stores, spec.sort.clone(), spec.compression).await?;
    Ok([Arc::new(table), Arc::new(rejected)])
}

/// A table at a location, and its rejected sibling. Order and compression are of the files that are written there.
pub(crate) async fn open_targets(
    ddl: &Ddl,
    location: &str,
    stores: &Stores,
    sort: Vec<usize>,
    compression: spec::Compression,
) -> Result<[Target; 2]> {
    let folder = stores.open(location).await?;
    if folder.path().as_ref().is_empty() {
        return Err(
            Error::usage("the location is a whole store: name a folder in it").with("location", location)
        );
    }
    if location.starts_with("s3://") && folder.path().as_ref().len() > KEY_PREFIX_BYTES_MAX {
        return Err(Error::usage(format!(
            "the location is too long: a key of S3 has 1,024 bytes, of which at most {KEY_PREFIX_BYTES_MAX} are the folder's"
        ))
        .with("location", location));
    }
    let beside = stores.open(&rejected_location(&folder)).await?;
    let ddl = Ddl { location: Some(folder.location().to_owned()), ..ddl.clone() };
    let rejected = rejected::ddl(&ddl, &beside)?;
    let target = |side: Side, ddl: Ddl, folder: Folder, sort: Vec<usize>| {
        let encoder = Encoder::new(&file_schema(&ddl.columns), sort, compression);
        Target { name: ddl.name.clone(), side, folder, encoder, ddl }
    };
    Ok([target(Side::Rows, ddl, folder, sort), target(Side::Rejected, rejected, beside, Vec::new())])
}

/// Where the rejected records of the table in a folder are: in the folder beside it.
pub(crate) fn rejected_location(table: &Folder) -> String {
    format!("{}_rejected/", table.location().trim_end_matches('/'))
}

impl Target {
    /// Looks at what the catalog has. A table that it has otherwise is refused: with other columns, or with its
    /// partitions at another place. But a batch may finish what it had begun before the table was altered: `finishing` is the
    /// hash of its spec.
    pub async fn look(
        &self,
        catalog: &dyn Catalog,
        stores: &Stores,
        finishing: Option<&str>,
    ) -> Result<Seen> {
        let Some(theirs) = catalog.table(&self.name).await? else {
            warn_of_projection(&self.ddl);
            return Ok(Seen::Nothing);
        };
        let is_older = self.is_older(&theirs);
        if !is_older
            && let Err(e) = check_columns(&self.ddl, &theirs)
            && !self.may_finish(&theirs, finishing).await?
        {
            return Err(e);
        }
        warn_of_projection(&theirs);
        let with_partitions = catalog.has_partitions(&self.name).await?;
        if with_partitions && let Some(location) = &theirs.location {
            self.must_be_at(stores.open(location).await?.location())?;
        }
        Ok(Seen::Table { with_partitions, older: is_older.then(|| Box::new(theirs)) })
    }

    /// Makes the table in the catalog where it is not there, and gives the partitions that have files and may not be
    /// registered: a table that was dropped from the catalog, or is new to it, is to be seen whole. (A table that is
    /// there is not made again: who may not make tables may write into it.)
    pub async fn enter(&self, catalog: &dyn Catalog, stores: &Stores, seen: &Seen) -> Result<Entered> {
        let seen = match seen {
            // Another writer was quicker.
            Seen::Nothing if !catalog.create_table(&self.ddl).await? => {
                self.look(catalog, stores, None).await?
            }
            seen => seen.clone(),
        };
        if let Seen::Table { older: Some(was), .. } = &seen {
            let to = Ddl { columns: self.ddl.columns.clone(), ..(**was).clone() };
            catalog.alter_table(was, &to).await?; // who changes it meanwhile does the same
        }
        let note = catalog.incarnation(&self.name).await?.map(|made| format!("{}-{made}", self.name));
        let with_partitions = matches!(seen, Seen::Table { with_partitions: true, .. });
        if with_partitions && self.is_noted(note.as_deref()).await? {
            return Ok(Entered { partitions: Vec::new(), note: None });
        }
        Ok(Entered { partitions: self.with_files().await?, note })
    }

    /// Whether it is a table of rejected records that lacks the last columns.
    fn is_older(&self, theirs: &Ddl) -> bool {
        let is_same = |(ours, theirs): (&Column, &Column)| {
            (&ours.name, &ours.column_type) == (&theirs.name, &theirs.column_type)
        };
        let (ours, columns) = (&self.ddl.columns, &theirs.columns);
        self.side == Side::Rejected
            && columns.len() < ours.len()
            && ours.iter().zip(columns).all(is_same)
            && check_partition_columns(&self.ddl, theirs).is_ok()
    }

    /// Whether the table was altered since a job of this spec wrote to it: what it still writes reads as the table's.
    async fn may_finish(&self, theirs: &Ddl, finishing: Option<&str>) -> Result<bool> {
        let Some(hash) = finishing.filter(|_| self.side == Side::Rows) else { return Ok(false) };
        let reads = |ours: &Column| {
            let of_catalog = theirs.columns.iter().find(|theirs| theirs.name == ours.name);
            of_catalog.is_none_or(|theirs| ours.column_type.reads_as(&theirs.column_type))
        };
        let may = check_partition_columns(&self.ddl, theirs).is_ok()
            && self.ddl.columns.iter().all(reads)
            && kept(&self.folder, hash).await?.is_some();
        if may {
            tracing::warn!(
                table = %self.name,
                "the table was altered since this DDL wrote to it: this batch finishes under the old one, the next job takes the new"
            );
        }
        Ok(may)
    }

    /// Rows in one folder would not be seen by who queries the other.
    fn must_be_at(&self, theirs: &str) -> Result<()> {
        if theirs == self.folder.location() {
            return Ok(());
        }
        Err(Error::usage(
            "the table has its partitions at another place: ingest with that --location, or drop the table from the \
             catalog (ticklake table drop; its files stay), with its rejected one, or use another --catalog",
        )
        .with("table", &self.name)
        .with("there", theirs)
        .with("here", self.folder.location()))
    }

    /// The partitions that have files, but for those whose rows have left the table.
    async fn with_files(&self) -> Result<Vec<PartitionKey>> {
        let names: Vec<&str> = self.ddl.partitioned_by.iter().map(|c| c.name.as_str()).collect();
        let entries = self.folder.list_below().await?;
        let expired_before = expired_before(&self.folder).await?;
        let date = names.iter().position(|name| *name == "date");
        let mut folders: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
        for entry in &entries {
            if let Some((path, name)) = entry.name.rsplit_once('/') {
                folders.entry(path).or_default().push(Entry { name: name.to_owned(), ..entry.clone() });
            }
        }
        let mut keys = Vec::new();
        for (path, entries) in folders {
            // What is no path of this table's partitions is not ours to register.
            let values = parse_path(path, &names);
            let key = values.and_then(|values| PartitionKey::new(&names, values).ok());
            let Some(key) = key else { continue };
            let may_be_expired = match (date, expired_before) {
                (Some(date), Some(day)) => is_before(&key.values()[date], day),
                _ => false,
            };
            if !may_be_expired || !is_expired(&self.folder.folder(path)?, &entries).await? {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    /// Whether what was in the folder has been registered whole; a catalog that does that at once needs no note.
    async fn is_noted(&self, note: Option<&str>) -> Result<bool> {
        match note {
            None => Ok(true),
            Some(note) => Ok(self.folder.folder(REGISTERED)?.size(note).await?.is_some()),
        }
    }

    /// Notes that what `enter` gave is registered.
    pub async fn note(&self, entered: &Entered) -> Result<()> {
        let Some(note) = &entered.note else { return Ok(()) };
        self.folder.folder(REGISTERED)?.note(note, Bytes::new()).await.map(|_| ())
    }

    /// The id of the table's folder, where it has one that can be read.
    pub async fn find_id(&self) -> Result<Option<String>> {
        Ok(self.folder.folder("_ticklake")?.read("id").await?.and_then(|bytes| id_of(&bytes)))
    }

    /// The id of the table's folder; `new` becomes it where it has none. A store that would overwrite is refused.
    pub async fn id(&self, new: &str) -> Result<String> {
        let folder = self.folder.folder("_ticklake")?;
        let unwritable = |e: Error| match e.is_retryable() {
            true => e,
            false => Error::new(
                e.kind(),
                "cannot write to the table's location: is it a folder, and may it be written to?",
            )
            .with("location", self.folder.location())
            .because(e),
        };
        if !folder.keeps_creates("probe").await.map_err(unwritable)? {
            return Err(Error::new(
                Kind::Store,
                "the store overwrites an object that was to be created only (it does not know If-None-Match): writers \
                 could overwrite each other's files. Use a store that does, such as AWS S3 or a newer version of this one",
            )
            .with("location", self.folder.location()));
        }
        let noted = folder.note("id", new.to_owned().into()).await.map_err(unwritable)?;
        id_of(&noted).ok_or_else(|| {
            Error::new(
                Kind::Store,
                "the id of the table's folder is no id. Remove it: the next run makes a new one, and reads the topic from \
                 its beginning (no row is doubled)",
            )
            .with("at", format!("{}id", folder.location()))
        })
    }
}

fn id_of(bytes: &[u8]) -> Option<String> {
    let id = String::from_utf8_lossy(bytes).trim().to_owned();
    ((1..=ID_BYTES_MAX).contains(&id.len()) && !id.contains(char::is_whitespace)).then_some(id)
}

/// The files must be what the catalog says they are: a column that it does not have, or has otherwise, would be unseen
/// or would break queries.
fn check_columns(ours: &Ddl, theirs: &Ddl) -> Result<()> {
    check_partition_columns(ours, theirs)?;
    let fix = "change the DDL, or the table by `ticklake table alter DDL.sql`";
    must_be_same("columns", fix, &ours.name, [&ours.columns, &theirs.columns])
}

fn check_partition_columns(ours: &Ddl, theirs: &Ddl) -> Result<()> {
    let fix = "change the DDL, or drop the table from the catalog (its files stay, and the next ingest registers them again)";
    must_be_same("partition columns", fix, &ours.name, [&ours.partitioned_by, &theirs.partitioned_by])
}

fn must_be_same(what: &str, fix: &str, table: &TableName, columns: [&Vec<Column>; 2]) -> Result<()> {
    let print = |columns: &Vec<Column>| {
        columns.iter().map(|c| format!("{} {}", c.name, c.column_type)).collect::<Vec<_>>().join(", ")
    };
    let [ours, theirs] = columns.map(print);
    if ours == theirs {
        return Ok(());
    }
    Err(Error::usage(format!("the table in the catalog has other {what} than the DDL: {fix}"))
        .with("table", table)
        .with("DDL", ours)
        .with("catalog", theirs))
}

fn warn_of_projection(ddl: &Ddl) {
    if ddl.is_projected() {
        tracing::warn!(
            table = %ddl.name,
            "the table has projection.enabled: Athena then sees the partitions that its projection computes, not those \
             that are registered here. Leave it out, unless the projection covers every partition"
        );
    }
}
