//! Decides whether a job's spec may go on where sources start (DESIGN §3.8).
//!
//! A value that does not fit an added column makes a rejected record of what was a row, and a column that is dropped or
//! widened makes a row of what was rejected. So no record may be written under two specs: where the spec has changed, no
//! link of the old one may hold what is to be read again. The links themselves say so; what an offset's writer knew when
//! it committed may be long past.
//!
//! It is asked twice: for all sources before the group is joined, since a table that is taken over by half can be
//! finished under neither spec; and for each assignment, as others may have written meanwhile.

use std::collections::{BTreeMap, HashMap};

use futures::{FutureExt, StreamExt, TryStreamExt};

use super::From;
use super::chain::{ChainSource, Footer};
use super::footer::read_footer;
use super::origin::Origin;
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
    /// At the beginning, or where the user says.
    anew: Vec<(TopicPartition, i64)>,
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
            let theirs = committed
                .get(source)
                .and_then(|commit| ours.trusted(&commit.metadata).map(|mark| (commit.offset, mark)));
            match theirs {
                Some((offset, theirs)) if theirs.spec != ours.spec => {
                    takeover.changed.push((source.clone(), offset, theirs.spec));
                }
                // Where the others start is known at their assignment.
                None if from == From::Beginning => takeover.anew.push((source.clone(), 0)),
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
                Start::Beginning { offset } | Start::Skip { offset, .. } => {
                    takeover.anew.push((offer.source.clone(), *offset));
                }
                _ => {}
            }
        }
        takeover
    }

    /// Refuses a spec that could give records another fate than the one that they have.
    pub async fn check(
        &self,
        targets: &[impl AsRef<Target>; 2],
        origin: &Origin,
        specs: &Specs,
    ) -> Result<()> {
        if self.changed.is_empty() && self.anew.is_empty() {
            return Ok(());
        }
        // One listing, however many come.
        let others = retried("read the table's DDLs", || specs.others()).await?;
        match others.is_empty() && self.changed.is_empty() {
            true => Ok(()),
            false => self.check_links(targets, origin, specs).await,
        }
    }

    /// The same for a table whose specs have been looked through already, and of which there are others.
    pub async fn check_links(
        &self,
        targets: &[impl AsRef<Target>; 2],
        origin: &Origin,
        specs: &Specs,
    ) -> Result<()> {
        if self.changed.is_empty() && self.anew.is_empty() {
            return Ok(());
        }
        for (_, _, spec) in &self.changed {
            retried("read the DDL of the last run", || specs.follow(spec)).await?;
        }
        // Dear for a large table, and rare: its DDL has changed.
        for target in targets {
            let target = target.as_ref();
            let entries = retried("list the table's files", || target.folder.list_below()).await?;
            for (source, from, spec) in &self.changed {
                if reads_again(target, origin.chain(source), *from, &entries, specs).await? {
                    return Err(specs.cut_off(spec));
                }
            }
            for (source, from) in &self.anew {
                if reads_again(target, origin.chain(source), *from, &entries, specs).await? {
                    return Err(specs.refuse_again(source));
                }
            }
        }
        Ok(())
    }
}

/// Whether a link that another spec wrote holds records of a source from an offset on. In each folder that is asked of
/// the link that the offset falls into and of all after it: a column that was dropped may come back, so that links of
/// one spec stand on both sides of another's.
async fn reads_again(
    target: &Target,
    chain: ChainSource,
    from: i64,
    entries: &[Entry],
    specs: &Specs,
) -> Result<bool> {
    let mut at: BTreeMap<&str, i64> = BTreeMap::new();
    let mut links: Vec<(&str, i64)> = Vec::new();
    for (folder, name) in entries.iter().filter_map(|entry| entry.name.rsplit_once('/')) {
        match chain.parse(name) {
            Some(start) if start > from => links.push((folder, start)),
            Some(start) => {
                let last = at.entry(folder).or_insert(start);
                *last = start.max(*last);
            }
            None => {}
        }
    }
    links.extend(at);
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
        // One that was listed and is not there cannot say.
        if footer.is_none_or(|footer: Footer| footer.spec != specs.hash() && footer.end > from) {
            return Ok(true);
        }
    }
    Ok(false)
}
