//! Decides whether a job's spec may go on where sources start (DESIGN §3.8).
//!
//! A value that does not fit an added column makes a rejected record of what was a row. So no record may be written
//! under two specs: where the spec has changed, no link of the old one may hold what is to be read again. The links
//! themselves say so; what an offset's writer knew when it committed may be long past.
//!
//! It is asked twice: for all sources before the group is joined, since a table that is taken over by half can be
//! finished under neither spec; and for each assignment, as others may have written meanwhile.

use std::collections::{BTreeMap, HashMap};

use futures::{FutureExt, StreamExt, TryStreamExt};

use super::From;
use super::chain::{ChainSource, Footer};
use super::footer::read_footer;
use super::retry::retried;
use super::specs::Specs;
use super::start::{CommitMark, Start};
use super::target::Target;
use crate::error::Result;
use crate::kafka::{Commit, Offer, TopicPartition};
use crate::store::Entry;

/// Footers that are read at once.
const READS: usize = 16;

/// Where sources start whose records another spec may have written.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    /// At an offset that was committed under another spec, which is named by its hash.
    changed: Vec<(TopicPartition, i64, String)>,
    /// At the beginning.
    anew: Vec<TopicPartition>,
}

impl Takeover {
    /// Of sources before they are assigned: by what the group has committed.
    pub fn of_group<'a>(
        sources: impl Iterator<Item = &'a TopicPartition>,
        committed: &[Commit],
        from: From,
        mark: impl Fn(&TopicPartition) -> CommitMark,
    ) -> Self {
        let committed: HashMap<&TopicPartition, &Commit> = committed.iter().map(|c| (&c.source, c)).collect();
        let mut takeover = Self::default();
        for source in sources {
            let ours = mark(source);
            let theirs = committed.get(source).and_then(|commit| {
                CommitMark::parse(&commit.metadata)
                    .filter(|mark| ours.trusts(mark))
                    .map(|mark| (commit.offset, mark))
            });
            match theirs {
                Some((offset, theirs)) if theirs.spec != ours.spec => {
                    takeover.changed.push((source.clone(), offset, theirs.spec));
                }
                None if from == From::Beginning => takeover.anew.push(source.clone()),
                _ => {}
            }
        }
        takeover
    }

    /// Of an assignment.
    pub fn of_assignment(planned: &[(Offer, Start)], hash: &str) -> Self {
        let mut takeover = Self::default();
        for (offer, start) in planned {
            match start {
                Start::Committed { mark, .. } | Start::Lost { mark, .. } if mark.spec != hash => {
                    takeover.changed.push((offer.source.clone(), start.offset(), mark.spec.clone()));
                }
                Start::Beginning { .. } => takeover.anew.push(offer.source.clone()),
                _ => {}
            }
        }
        takeover
    }

    /// Refuses a spec that could give records another fate than the one that they have.
    pub async fn check(&self, targets: &[impl AsRef<Target>; 2], epoch: u32, specs: &Specs) -> Result<()> {
        for (_, _, spec) in &self.changed {
            retried("read the DDL of the last run", || specs.follow(spec)).await?;
        }
        // One listing, however many come.
        let others = retried("read the table's DDLs", || specs.follow_all()).await?;
        if !others || (self.changed.is_empty() && self.anew.is_empty()) {
            return Ok(());
        }
        // Dear for a large table, and rare: its DDL has changed.
        for target in targets {
            let target = target.as_ref();
            let entries = retried("list the table's files", || target.folder.list_below()).await?;
            for (source, from, spec) in &self.changed {
                let chain = ChainSource { source: source.clone(), epoch };
                let lasts = links(&chain, &entries, Ord::max);
                let again = |footer: &Footer| footer.spec != specs.hash() && footer.end > *from;
                if any(target, &chain, lasts, again).await? {
                    return Err(specs.cut_off(spec));
                }
            }
            for source in &self.anew {
                let chain = ChainSource { source: source.clone(), epoch };
                let firsts = links(&chain, &entries, Ord::min); // what is of the other spec comes first in a chain
                if any(target, &chain, firsts, |footer| footer.spec != specs.hash()).await? {
                    return Err(specs.refuse_again(source));
                }
            }
        }
        Ok(())
    }
}

/// One link's start in each folder that has some of a source: the one that `pick` prefers.
fn links<'a>(chain: &ChainSource, entries: &'a [Entry], pick: fn(i64, i64) -> i64) -> BTreeMap<&'a str, i64> {
    let mut links = BTreeMap::new();
    for (folder, name) in entries.iter().filter_map(|entry| entry.name.rsplit_once('/')) {
        if let Some(start) = chain.parse(name) {
            links.entry(folder).and_modify(|picked| *picked = pick(*picked, start)).or_insert(start);
        }
    }
    links
}

/// Whether a condition holds for the footer of one of the links. One that was listed and is not there cannot say.
async fn any(
    target: &Target,
    chain: &ChainSource,
    links: BTreeMap<&str, i64>,
    condition: impl Fn(&Footer) -> bool,
) -> Result<bool> {
    let mut reads = Vec::with_capacity(links.len());
    for (path, start) in links {
        let (folder, chain) = (target.folder.folder(path)?, chain.clone());
        reads.push(
            async move {
                let name = chain.link_name(start);
                retried("read a link's footer", || read_footer(&folder, &name, &chain, start)).await
            }
            .boxed(),
        );
    }
    let mut footers = futures::stream::iter(reads).buffer_unordered(READS);
    while let Some(footer) = footers.try_next().await? {
        if footer.as_ref().is_none_or(&condition) {
            return Ok(true);
        }
    }
    Ok(false)
}
