//! Reads what the end of a file says: a link's footer, and what Parquet tells beside it.

use std::collections::HashMap;

use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::statistics::Statistics;

use super::chain::{ChainSource, Footer};
use crate::error::{Error, Kind, Result};
use crate::store::Folder;

/// A footer of a file of ours, with its statistics, is within this; else it is asked for once more.
const FOOTER_BYTES: u64 = 64 << 10;

/// Reads a link's footer; `None` where there is no object of that name.
pub(super) async fn read_footer(
    folder: &Folder,
    name: &str,
    chain: &ChainSource,
    start: i64,
) -> Result<Option<Footer>> {
    let at = |e: Error| match e.kind() {
        Kind::Protocol => e.with("at", format!("{}{name}", folder.location())),
        _ => e, // the store's say where
    };
    let Some(size) = folder.size(name).await? else { return Ok(None) };
    let Some(metadata) = read_metadata(folder, name, size).await.map_err(at)? else { return Ok(None) };
    Footer::parse(&key_values(&metadata), chain, start).map(Some).map_err(at)
}

/// Reads what Parquet keeps at the end of a file of this size; `None` where there is no object of that name. An error of
/// the kind `Protocol` says that it is no whole Parquet file.
pub(crate) async fn read_metadata(folder: &Folder, name: &str, size: u64) -> Result<Option<ParquetMetaData>> {
    let damaged = |e: ParquetError| {
        Error::new(Kind::Protocol, "a file has a link's name and is no whole Parquet file").because(e)
    };
    if size == 0 {
        return Err(damaged(ParquetError::EOF("it is empty".to_owned())));
    }
    let mut wanted = FOOTER_BYTES.min(size);
    loop {
        let Some(tail) = folder.tail(name, wanted).await? else { return Ok(None) };
        let mut reader = ParquetMetaDataReader::new();
        match reader.try_parse_sized(&tail, size) {
            Ok(()) => return reader.finish().map(Some).map_err(damaged),
            Err(ParquetError::NeedMoreData(needed)) if wanted < size => {
                wanted = (needed as u64).max(wanted * 2).min(size);
            }
            Err(e) => return Err(damaged(e)),
        }
    }
}

/// The texts that a writer left in a file.
pub(crate) fn key_values(metadata: &ParquetMetaData) -> HashMap<String, String> {
    let key_values = metadata.file_metadata().key_value_metadata().cloned().unwrap_or_default();
    key_values.into_iter().filter_map(|kv| Some((kv.key, kv.value?))).collect()
}

/// The least and the greatest value of a column of whole numbers, by row group; none of a group without statistics, and
/// nothing at all of a file without the column.
pub(crate) fn ranges(metadata: &ParquetMetaData, column: &str) -> Vec<Option<(i64, i64)>> {
    let columns = metadata.file_metadata().schema_descr().columns();
    let Some(at) = columns.iter().position(|leaf| leaf.path().string() == column) else { return Vec::new() };
    let of_groups = metadata.row_groups().iter().map(|group| match group.column(at).statistics()? {
        Statistics::Int64(of_group) => Some((*of_group.min_opt()?, *of_group.max_opt()?)),
        _ => None,
    });
    of_groups.collect()
}
