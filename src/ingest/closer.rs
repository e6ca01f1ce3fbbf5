//! Ends a chain in a partition whose rows leave the table: by a link without rows, the *closer*.
//!
//! The rows of an expired partition may still be in Kafka, and be read again. So a chain's files are not simply removed: a
//! closer `[chain end, up to)` is put behind them, create-only as each link is, where every record below `up to` has its
//! place already. Who reads those records again meets the closer, and drops their rows as rows that are in links already;
//! one that was about to write at the chain's end finds the name taken, and goes on behind the closer. Rows that are read
//! for the first time are written behind it, and the partition is in the table again, with these.
//!
//! A closer stays for ever. The links before it may be removed, some or all: they are asked for by nobody.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::chain::{ChainSource, Footer, parse_name};
use super::footer::{key_values, read_footer, read_metadata};
use super::retry::retried_at_start;
use super::target::Target;
use crate::error::{Error, Kind, Result};
use crate::store::{Create, Entry, Folder};
use crate::table::PartitionKey;

/// Notes of the days before which partitions have been expired.
const EXPIRED: &str = "_ticklake/expired";

/// Puts a closer behind a chain's last link, up to an offset below which every record has its place. `false` where another
/// link has come there: the folder is to be looked at again.
pub(crate) async fn close(
    target: &Target,
    partition: &PartitionKey,
    last: &Footer,
    up_to: i64,
    writer: &str,
) -> Result<bool> {
    let folder = target.folder.folder(partition.path())?;
    let closer =
        Footer { start: last.end, end: up_to, writer: writer.to_owned(), closes: true, ..last.clone() };
    let name = closer.chain.link_name(closer.start);
    let bytes = target.encoder.encode_none(closer.key_values()).map_err(|e| {
        Error::new(Kind::Store, "cannot encode a file").with("partition", folder.location()).because(e)
    })?;
    retried_at_start("close a chain", || async {
        match folder.create(&name, bytes.clone()).await? {
            Create::Created => Ok(true),
            // It may be this one, after a lost answer, or another's closer.
            Create::AlreadyExists => match read_footer(&folder, &name, &closer.chain, closer.start).await? {
                Some(theirs) => Ok(theirs.closes),
                None => Err(folder.has_none(&name)),
            },
        }
    })
    .await
}

/// Whether a chain has a closer anywhere, so that its first links may be gone.
pub(super) async fn has_closer(folder: &Folder, chain: &ChainSource, entries: &[Entry]) -> Result<bool> {
    for entry in entries.iter().filter(|entry| chain.parse(&entry.name).is_some()) {
        if read(folder, entry).await?.is_some_and(|footer| footer.closes) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether all rows of a folder's links have left the table: each chain in it ends with a closer.
pub(super) async fn is_expired(folder: &Folder, entries: &[Entry]) -> Result<bool> {
    let mut last: BTreeMap<&str, &Entry> = BTreeMap::new();
    for entry in entries {
        if let Some((chain, _)) = parse_name(&entry.name) {
            let last = last.entry(chain).or_insert(entry);
            if entry.name > last.name {
                *last = entry;
            }
        }
    }
    for entry in last.values() {
        if !read(folder, entry).await?.is_some_and(|footer| footer.closes) {
            return Ok(false);
        }
    }
    Ok(!last.is_empty())
}

/// A file's footer; none of one that is no link, or is gone.
async fn read(folder: &Folder, entry: &Entry) -> Result<Option<Footer>> {
    match read_metadata(folder, &entry.name, entry.size_bytes).await {
        Ok(metadata) => Ok(metadata.and_then(|metadata| Footer::read(&key_values(&metadata)).ok())),
        Err(e) if e.kind() == Kind::Protocol => Ok(None),
        Err(e) => Err(e),
    }
}

/// Notes in a table's folder that partitions before a day are expired. To be left before the first is closed: who registers
/// the partitions of a folder looks more closely at older ones.
pub(crate) async fn note_expiry(table: &Folder, before: NaiveDate) -> Result<()> {
    table.folder(EXPIRED)?.note(&before.to_string(), bytes::Bytes::new()).await.map(|_| ())
}

/// The latest day before which partitions have been expired.
pub(super) async fn expired_before(table: &Folder) -> Result<Option<NaiveDate>> {
    let entries = table.folder(EXPIRED)?.list().await?;
    Ok(entries.iter().filter_map(|entry| entry.name.parse().ok()).max())
}
