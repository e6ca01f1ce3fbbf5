//! Turns sealed rows into a durable link: looks up where the chain ends, encodes, and puts, create-only.
//!
//! Every answer of a store comes to one case: a name is taken. Then the link under it is read; rows below its end are
//! in it, whoever wrote it (another writer, or this one before an answer was lost), so they are dropped here, and the
//! rest goes on from there (DESIGN §3.2). Nothing is ever overwritten.

use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use tracing::{debug, warn};

use super::chain::{ChainSource, Footer, ends};
use super::closer::has_closer;
use super::columns;
use super::encode::Encoder;
use super::encoders::Encoders;
use super::footer::read_footer;
use super::origin::Origin;
use super::packed::{Form, Packed};
use super::progress::Meter;
use super::retry::retried;
use super::specs::Specs;
use super::target::Target;
use crate::error::{Error, Kind, Result};
use crate::store::{Create, Folder};
use crate::table::PartitionKey;

/// A buffer on its way to become a link.
#[derive(Debug)]
pub(super) struct Seal {
    pub target: Arc<Target>,
    pub partition: PartitionKey,
    pub chain: ChainSource,
    pub rows: Arc<Rows>,
    /// Where the source began to be read.
    pub source_start: i64,
    /// Every record of the source below it has its place.
    pub end: i64,
    /// Where the chain ends, if that is known.
    pub chain_end: Option<i64>,
}

/// A buffer's rows, taken out of it.
#[derive(Debug)]
pub(super) struct Rows {
    pub packed: Packed,
    pub forms: Arc<[Form]>,
}

/// What became of a seal: all its rows are durable, or have left the table since they were.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Landed {
    /// Where the chain ends now.
    pub chain_end: i64,
    /// The link that was written; none where all rows were found in links already.
    pub link: Option<Link>,
    /// Rows that were found in links already.
    pub found: usize,
    pub showing: Showing,
}

/// What is to be done so that the partition is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Showing {
    /// Nothing: an earlier flight has seen to it, or all of its rows have left the table.
    #[default]
    Nothing,
    /// There is a link in it, written or found: its writer may have died before it was registered.
    Register,
    /// There is a link after a closer: what is known of the catalog may be from before the partition left it.
    RegisterAnew,
}

impl Showing {
    /// `met`: whether the last link that was met is a closer, where any was.
    fn of(is_written: bool, met: Option<bool>) -> Self {
        match (is_written, met) {
            (false, None | Some(true)) => Self::Nothing,
            (true, Some(true)) => Self::RegisterAnew,
            (true, None | Some(false)) | (false, Some(false)) => Self::Register,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub rows: usize,
    pub bytes: usize,
}

/// Makes the rows durable. A failing store is tried again for a while; an error ends the job.
pub(super) async fn land(
    seal: Seal,
    origin: &Origin,
    specs: &Specs,
    encoders: &Encoders,
    meter: &Meter,
) -> Result<Landed> {
    let folder = seal.target.folder.folder(seal.partition.path())?;
    let mut met = None;
    let mut chain_end = match seal.chain_end {
        Some(end) => end,
        None => {
            let last = retried("look up a chain's end", || {
                find_last(&folder, &seal.chain, seal.source_start, origin, specs)
            });
            let last = last.await?;
            met = last.as_ref().map(|last| last.closes);
            last.map_or(0, |last| last.end)
        }
    };
    loop {
        let footer = Footer {
            chain: seal.chain.clone(),
            start: chain_end,
            end: seal.end,
            cluster: origin.cluster.clone(),
            topic_id: origin.topic_id(&seal.chain.source.topic).to_owned(),
            spec: origin.spec.clone(),
            writer: origin.writer.clone(),
            closes: false,
        };
        let (target, rows, key_values) = (seal.target.clone(), seal.rows.clone(), footer.key_values());
        let encoded = encoders.run(move || encode(&rows, chain_end, &target.encoder, key_values)).await?;
        let Encoded { bytes, rows, found } = encoded.map_err(|e| cannot_encode(e, &folder))?;
        if rows == 0 {
            return Ok(Landed { chain_end, link: None, found, showing: Showing::of(false, met) });
        }
        let name = seal.chain.link_name(chain_end);
        let link = Link { rows, bytes: bytes.len() };
        let source_start = seal.source_start;
        let at = Place { folder: &folder, name: &name, chain: &seal.chain, start: chain_end, source_start };
        match put(at, bytes, origin, specs, meter).await? {
            None => {
                debug!(link = %footer, folder = ?folder, rows = link.rows, bytes = link.bytes, "link written");
                let showing = Showing::of(true, met);
                return Ok(Landed { chain_end: seal.end, link: Some(link), found, showing });
            }
            Some(winner) => {
                let ours = winner.writer == footer.writer && winner.end == footer.end;
                if ours {
                    let showing = Showing::of(true, met);
                    return Ok(Landed { chain_end: winner.end, link: Some(link), found, showing });
                }
                warn!(ours = %footer, theirs = %winner, folder = ?folder, "another writer's link is there; going on from its end");
                met = Some(winner.closes);
                chain_end = winner.end;
            }
        }
    }
}

/// Where a link goes.
#[derive(Clone, Copy)]
struct Place<'a> {
    folder: &'a Folder,
    name: &'a str,
    chain: &'a ChainSource,
    start: i64,
    /// Where the source began to be read.
    source_start: i64,
}

/// Puts a link; `None` where it was created, else the footer of the link that has its name.
async fn put(
    at: Place<'_>,
    bytes: Bytes,
    origin: &Origin,
    specs: &Specs,
    meter: &Meter,
) -> Result<Option<Footer>> {
    let Place { folder, name, chain, start, source_start } = at;
    retried("put a link", || async {
        let created = folder.create(name, bytes.clone()).await;
        match created.inspect_err(|_| meter.put_failed())? {
            Create::Created => {
                meter.put_created();
                Ok(None)
            }
            // Look: a store may say so of a write that was dropped, and nothing is there (FACTS 1.21).
            Create::AlreadyExists => {
                meter.put_taken();
                match read_footer(folder, name, chain, start).await? {
                    Some(footer) => {
                        check(&footer, source_start, folder, name, origin, specs).await.map(|()| Some(footer))
                    }
                    None => Err(folder.has_none(name)),
                }
            }
        }
    })
    .await
}

/// Lists the folder once and reads the chain's greatest link, where there is one.
async fn find_last(
    folder: &Folder,
    chain: &ChainSource,
    source_start: i64,
    origin: &Origin,
    specs: &Specs,
) -> Result<Option<Footer>> {
    let entries = folder.list().await?;
    let Some((least, start)) = ends(chain, entries.iter().map(|entry| entry.name.as_str())) else {
        return Ok(None);
    };
    if source_start < least && !has_closer(folder, chain, &entries).await? {
        // Their rows would be taken for rows that are there.
        return Err(Error::new(
            Kind::Protocol,
            "the first files of a chain are missing, and their records are being read again: somebody removed them. \
             Restore them, or move the files of that source that are left out of the table's folder too",
        )
        .with("partition", folder.location())
        .with("source", &chain.source)
        .with("missing below offset", least)
        .with("read from offset", source_start));
    }
    // Offsets will be committed for what is in that link, which may be another process's of this moment.
    folder.settle().await?;
    let name = chain.link_name(start);
    let footer = read_footer(folder, &name, chain, start).await?.ok_or_else(|| {
        Error::new(Kind::Store, "a link was listed and is not there")
            .with("at", format!("{}{name}", folder.location()))
            .retryable()
    })?;
    check(&footer, source_start, folder, &name, origin, specs).await?;
    Ok(Some(footer))
}

/// Whether our rows may follow a link: it is of the same cluster and topic, and of a spec that gives the same fate.
async fn check(
    footer: &Footer,
    source_start: i64,
    folder: &Folder,
    name: &str,
    origin: &Origin,
    specs: &Specs,
) -> Result<()> {
    origin.check(footer).map_err(|e| e.with("link", format!("{}{name}", folder.location())))?;
    specs.follow_link(footer, source_start).await
}

/// A file of rows, as it is put.
pub(super) struct Encoded {
    pub bytes: Bytes,
    rows: usize,
    /// Rows left out: those of records below the file's start, which are in a link already.
    found: usize,
}

pub(super) fn encode(
    rows: &Rows,
    start: i64,
    encoder: &Encoder,
    footer: Vec<(String, String)>,
) -> std::result::Result<Encoded, ParquetError> {
    let (batch, found) = columns::batch(&rows.packed, &rows.forms, start, encoder.schema())?;
    let bytes = match batch.num_rows() {
        0 => Bytes::new(),
        _ => encoder.encode(&batch, footer)?,
    };
    Ok(Encoded { bytes, rows: batch.num_rows(), found })
}

fn cannot_encode(e: ParquetError, folder: &Folder) -> Error {
    Error::new(Kind::Store, "cannot encode a file").with("partition", folder.location()).because(e)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use proptest::prelude::*;

    use super::*;
    use crate::kafka::TopicPartition;
    use crate::store::{Durability, Stores};
    use crate::table::spec::Compression;

    /// What was written, as a reader sees it.
    fn written() -> Footer {
        Footer {
            chain: ChainSource { source: TopicPartition::new("ticks", 3), epoch: 1, replay: 0 },
            start: 120,
            end: 480,
            cluster: "lkc-1".into(),
            topic_id: "a0".into(),
            spec: "0123456789abcdef".into(),
            writer: "w1".into(),
            closes: false,
        }
    }

    /// A real link.
    fn link() -> Bytes {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("seq", Arc::new(Int64Array::from_iter(0..50))),
            ("symbol", Arc::new(StringArray::from_iter_values((0..50).map(|i| format!("S{i}"))))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        Encoder::new(&rows.schema(), vec![0], Compression::Zstd)
            .encode(&rows, written().key_values())
            .unwrap()
    }

    /// What is read of a file that stands under the link's name.
    fn read(file: Vec<u8>) -> Result<Option<Footer>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = Stores::new(Durability::NoFsync).open("memory:///t/").await?;
            let Footer { chain, start, .. } = written();
            let name = chain.link_name(start);
            folder.create(&name, file.into()).await?;
            read_footer(&folder, &name, &chain, start).await
        })
    }

    /// A whole footer, or one in which a text that nothing else says again is another. Anything else is no link.
    fn must_be_told(file: Vec<u8>) -> std::result::Result<(), TestCaseError> {
        let footer = match read(file) {
            Ok(footer) => footer,
            Err(e) => {
                prop_assert!(matches!(e.kind(), Kind::Protocol), "{}", e);
                return Ok(());
            }
        };
        let read = footer.expect("the file is there");
        prop_assert_eq!(read, written());
        Ok(())
    }

    #[test]
    fn a_link_says_what_was_written() {
        assert_eq!(read(link().to_vec()).unwrap(), Some(written()));
    }

    #[test]
    fn a_footer_that_claims_to_be_huge_is_refused() {
        let file = link();
        for length in [i32::MAX as u32, u32::MAX, file.len() as u32, 1 << 31] {
            let mut file = file.to_vec();
            let at = file.len() - 8;
            file[at..at + 4].copy_from_slice(&length.to_le_bytes());
            let e = read(file).unwrap_err();
            assert!(e.to_string().contains("no whole Parquet file"), "{e}");
        }
    }

    proptest! {
        #[test]
        fn a_damaged_link_is_refused_or_says_the_same(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
        ) {
            let mut file = link().to_vec();
            // The footer, its length and the magic bytes: what is before them is not read here.
            let length = u32::from_le_bytes(file[file.len() - 8..file.len() - 4].try_into().unwrap()) as usize;
            let footer = file.len() - 8 - length;
            for (at, byte) in changes {
                let at = footer + at.index(file.len() - footer);
                file[at] = byte;
            }
            if let Some(cut) = cut {
                file.truncate(cut.index(file.len() + 1));
            }
            must_be_told(file)?;
        }

        #[test]
        fn no_other_file_is_a_link(bytes in prop::collection::vec(any::<u8>(), 0..200), length in any::<u8>()) {
            must_be_told(bytes.clone())?;
            let mut file = [b"PAR1", &bytes[..]].concat();
            file.extend(u32::from(length).to_le_bytes());
            file.extend(b"PAR1");
            must_be_told(file)?;
        }
    }
}
