//! Knows the links of a rejected table: whose each is, and from which offset on it has rows.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt};
use parquet::file::metadata::ParquetMetaData;

use super::plan::{Plan, Stretch};
use crate::error::Result;
use crate::ingest::chain::{ChainSource, Footer, parse_name};
use crate::ingest::footer::{key_values, ranges, read_metadata};
use crate::ingest::target::Target;

/// Footers read at the same time.
const READS: usize = 16;

/// A link of the rejected table.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Below the table's folder.
    pub path: String,
    pub footer: Footer,
    /// No row of it is of a lower offset.
    pub first_offset: i64,
    /// Its rows have left the table: a closer stands behind it, or it is one.
    has_left: bool,
}

/// All links of the table, by source; some hundred bytes each.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeMap<ChainSource, Vec<Link>>);

/// Reads the footer of each link.
pub(super) async fn read_links(table: &Target) -> Result<Links> {
    let entries = table.folder.list_below().await?;
    let named = entries.into_iter().filter(|entry| {
        let name = entry.name.rsplit_once('/').map_or(&*entry.name, |(_, name)| name);
        parse_name(name).is_some() && !entry.name.starts_with("_ticklake/")
    });
    let reads = named.map(|entry| async move {
        let metadata = read_metadata(&table.folder, &entry.name, entry.size_bytes).await?;
        let metadata = metadata.ok_or_else(|| table.folder.has_none(&entry.name))?;
        let footer = Footer::read(&key_values(&metadata))
            .map_err(|e| e.with("at", format!("{}{}", table.folder.location(), entry.name)))?;
        let first_offset = first_offset(&metadata).unwrap_or(footer.start);
        Ok::<_, crate::Error>(Link { path: entry.name, footer, first_offset, has_left: false })
    });
    let mut links = Links::default();
    let mut read = std::pin::pin!(futures::stream::iter(reads).buffered(READS));
    while let Some(link) = read.try_next().await? {
        links.0.entry(link.footer.chain.clone()).or_default().push(link);
    }
    links.0.values_mut().for_each(|links| mark_left(links));
    Ok(links)
}

/// Marks those of one source whose rows have left the table, each partition by its own closer.
fn mark_left(links: &mut [Link]) {
    let folder = |path: &str| path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let mut closed: HashMap<String, i64> = HashMap::new();
    for link in links.iter().filter(|link| link.footer.closes) {
        let at = closed.entry(folder(&link.path)).or_default();
        *at = link.footer.start.max(*at);
    }
    for link in links {
        link.has_left = closed.get(&folder(&link.path)).is_some_and(|at| link.footer.start <= *at);
    }
}

impl Links {
    /// The sources of the ingest's links.
    pub fn of_ingest(&self) -> impl Iterator<Item = ChainSource> {
        self.0.keys().filter(|chain| chain.replay == 0).cloned()
    }

    /// The cluster and the topic's id that a source's links say.
    pub fn identity(&self, chain: &ChainSource) -> Option<(String, String)> {
        let footer = &self.0.get(chain)?.first()?.footer;
        Some((footer.cluster.clone(), footer.topic_id.clone()))
    }

    /// Where a source's chains end.
    pub fn end(&self, chain: &ChainSource) -> i64 {
        self.0.get(chain).into_iter().flatten().map(|link| link.footer.end).max().unwrap_or(0)
    }

    /// Those that may have rows that are open for a plan's replay.
    pub fn open_of<'a>(&'a self, plan: &'a Plan) -> Vec<&'a Link> {
        plan.sources.iter().flat_map(|stretch| self.open(plan.replay, stretch)).collect()
    }

    /// Those of one source.
    pub fn open<'a>(&'a self, replay: u32, stretch: &'a Stretch) -> impl Iterator<Item = &'a Link> {
        let of = |replay: u32| self.0.get(&ChainSource { replay, ..stretch.chain() }).into_iter().flatten();
        let before = (replay > 1).then(|| of(replay - 1)).into_iter().flatten();
        let since = of(0).filter(|link| link.footer.end > stretch.from && link.first_offset < stretch.to);
        before.chain(since).filter(|link| !link.has_left)
    }
}

/// The least offset of a file's rows, by its statistics.
fn first_offset(metadata: &ParquetMetaData) -> Option<i64> {
    let ranges: Option<Vec<(i64, i64)>> = ranges(metadata, "offset").into_iter().collect();
    ranges?.into_iter().map(|(least, _)| least).min()
}
