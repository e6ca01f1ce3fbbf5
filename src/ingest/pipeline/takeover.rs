//! Decides whether a job's spec may go on where sources start (DESIGN §3.8).
//!
//! A value that does not fit an added column makes a rejected record of what was a row. So no record may be written
//! under two specs: where the spec has changed, no link of the old one may hold what is to be read again. The links
//! themselves say so; what an offset's writer knew when it committed may be long past.

use std::collections::BTreeMap;

use futures::{FutureExt, StreamExt, TryStreamExt};

use super::Pipeline;
use crate::error::Result;
use crate::ingest::chain::{ChainSource, Footer};
use crate::ingest::footer::read_footer;
use crate::ingest::retry::retried;
use crate::ingest::start::Start;
use crate::ingest::target::Target;
use crate::kafka::Offer;
use crate::store::Entry;

/// Footers that are read at once.
const READS: usize = 16;

impl Pipeline {
    /// Refuses a spec that could give records another fate than the one that they have.
    pub(super) async fn check_specs(&self, planned: &[(Offer, Start)]) -> Result<()> {
        let specs = &self.plan.specs;
        let mut changed = Vec::new();
        let mut anew = Vec::new();
        for (offer, start) in planned {
            match start {
                Start::Committed { mark, .. } | Start::Lost { mark, .. } => {
                    retried("read the DDL of the last run", || specs.follow(&mark.spec)).await?;
                    if mark.spec != specs.hash() {
                        changed.push((offer, start.offset(), &mark.spec));
                    }
                }
                Start::Beginning { .. } => anew.push(offer),
                Start::Skip { .. } => {}
            }
        }
        let committed = |start: &Start| matches!(start, Start::Committed { .. } | Start::Lost { .. });
        if !planned.iter().all(|(_, start)| committed(start)) {
            // One listing, however many come.
            let others = retried("read the table's DDLs", || specs.follow_all()).await?;
            if !others {
                anew.clear();
            }
        }
        if changed.is_empty() && anew.is_empty() {
            return Ok(());
        }
        // Dear for a large table, and rare: its DDL has changed.
        for target in &self.plan.targets {
            let entries = retried("list the table's files", || target.folder.list_below()).await?;
            for (offer, from, spec) in &changed {
                let chain = ChainSource { source: offer.source.clone(), epoch: self.plan.epoch };
                let lasts = links(&chain, &entries, Ord::max);
                let again = |footer: &Footer| footer.spec != specs.hash() && footer.end > *from;
                if any(target, &chain, lasts, again).await? {
                    return Err(specs.cut_off(spec));
                }
            }
            for offer in &anew {
                let chain = ChainSource { source: offer.source.clone(), epoch: self.plan.epoch };
                let firsts = links(&chain, &entries, Ord::min); // what is of the other spec comes first in a chain
                if any(target, &chain, firsts, |footer| footer.spec != specs.hash()).await? {
                    return Err(specs.refuse_again(&offer.source));
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
