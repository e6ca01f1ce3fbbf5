//! Decides where a newly assigned source starts, and what a committed offset says about itself.
//!
//! At the committed offset if its metadata is this table's, in this folder, on this cluster; else at the log's beginning, which the
//! chains make safe: rows that are there already are dropped. Never at the end by default (DESIGN §3.9).

use super::From;
use super::origin::may_be_one_topic;
use crate::kafka::Offer;

/// What a committed offset is for, as its metadata in Kafka (at most 4,096 bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommitMark {
    pub table: String,
    /// The id of the table's folder: an offset is for those files, and for no others.
    pub lake: String,
    pub cluster: String,
    pub topic_id: String,
    pub epoch: u32,
    pub spec: String,
}

impl CommitMark {
    pub fn print(&self) -> String {
        let Self { table, lake, cluster, topic_id, epoch, spec } = self;
        format!(
            "ticklake/1 table={table} lake={lake} cluster={cluster} topic_id={topic_id} epoch={epoch} spec={spec}"
        )
    }

    /// `None` where the metadata is not ours, or of a later version.
    pub fn parse(text: &str) -> Option<Self> {
        // Some clients that move offsets count the string's end in.
        let mut fields = text.trim_end_matches('\0').strip_prefix("ticklake/1 ")?.split(' ');
        let mut next = |key: &str| fields.next()?.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
        Some(Self {
            table: next("table")?,
            lake: next("lake")?,
            cluster: next("cluster")?,
            topic_id: next("topic_id")?,
            epoch: next("epoch")?.parse().ok()?,
            spec: next("spec")?,
        })
    }

    /// The mark of an offset that was committed of the same table and the same records; `None` of any other.
    pub fn trusted(&self, metadata: &str) -> Option<Self> {
        Self::parse(metadata).filter(|other| self.trusts(other))
    }

    /// Whether an offset committed under `other` is one of the same table and the same records.
    pub fn trusts(&self, other: &Self) -> bool {
        self.table == other.table
            && self.lake == other.lake
            && self.cluster == other.cluster
            && self.epoch == other.epoch
            && may_be_one_topic(&self.topic_id, &other.topic_id)
    }
}

/// Where a source starts, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At the group's committed offset.
    Committed { offset: i64, mark: CommitMark },
    /// Where the log begins now, beyond the group's committed offset `from`: the records between are gone.
    Lost { offset: i64, from: i64, mark: CommitMark },
    /// At the log's beginning.
    Beginning { offset: i64 },
    /// Where the user said: the records before it are skipped on purpose.
    Skip { offset: i64, from: i64 },
}

impl Start {
    pub fn offset(&self) -> i64 {
        match self {
            Self::Committed { offset, .. }
            | Self::Lost { offset, .. }
            | Self::Beginning { offset }
            | Self::Skip { offset, .. } => *offset,
        }
    }
}

/// Where an offered source starts.
pub(super) fn start(offer: &Offer, from: From, ours: &CommitMark) -> Start {
    let low = offer.low_watermark;
    if let Some((offset, metadata)) = &offer.committed
        && let Some(mark) = ours.trusted(metadata)
    {
        return match *offset < low {
            true => Start::Lost { offset: low, from: *offset, mark },
            false => Start::Committed { offset: *offset, mark },
        };
    }
    let wanted = match from {
        From::Beginning => low,
        From::Latest => offer.high_watermark,
        From::Offset(offset) => offset.clamp(low, offer.high_watermark),
        From::Time(_) => offer.at_time.unwrap_or(low).clamp(low, offer.high_watermark),
    };
    if wanted > low { Start::Skip { offset: wanted, from: low } } else { Start::Beginning { offset: low } }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kafka::TopicPartition;

    fn mark() -> CommitMark {
        CommitMark {
            table: "market.ticks".into(),
            lake: "l1".into(),
            cluster: "c1".into(),
            topic_id: String::new(),
            epoch: 0,
            spec: "s1".into(),
        }
    }

    proptest! {
        #[test]
        fn any_mark_comes_back(
            texts in prop::collection::vec("[^ \0]{0,12}", 5), epoch: u32,
        ) {
            let [table, lake, cluster, topic_id, spec] = texts.try_into().unwrap();
            let mark = CommitMark { table, lake, cluster, topic_id, epoch, spec };
            prop_assert_eq!(CommitMark::parse(&mark.print()), Some(mark));
        }

        /// Metadata is whatever a client of the group has written.
        #[test]
        fn any_metadata_is_ours_or_is_not(
            text in any::<String>(), cut in any::<prop::sample::Index>(), piece in "[ =\0a-z0-9/]{0,8}",
        ) {
            let whole = mark().print();
            let cut = cut.index(whole.len());
            for text in [text, whole[..cut].to_owned(), format!("{}{piece}{}", &whole[..cut], &whole[cut..])] {
                if let Some(read) = CommitMark::parse(&text) {
                    // What is trusted says all that ours says, and the offset is no other table's.
                    let same = read.table == "market.ticks" && read.lake == "l1" && read.cluster == "c1" && read.epoch == 0;
                    prop_assert_eq!(mark().trusts(&read), same, "{}", text);
                }
            }
        }
    }

    fn offer(committed: Option<(i64, String)>) -> Offer {
        Offer {
            source: TopicPartition::new("t", 0),
            committed,
            low_watermark: 10,
            high_watermark: 90,
            at_time: Some(50),
        }
    }

    #[test]
    fn our_own_commit_is_trusted() {
        let ours = offer(Some((42, mark().print())));
        assert_eq!(start(&ours, From::Latest, &mark()), Start::Committed { offset: 42, mark: mark() });
    }

    #[test]
    fn what_is_below_the_log_is_lost() {
        let ours = offer(Some((4, mark().print())));
        assert_eq!(start(&ours, From::Beginning, &mark()), Start::Lost { offset: 10, from: 4, mark: mark() });
    }

    #[test]
    fn marks_come_back() {
        assert_eq!(CommitMark::parse(&mark().print()), Some(mark()));
        assert_eq!(CommitMark::parse(&format!("{}\0", mark().print())), Some(mark()));
    }

    #[test]
    fn a_foreign_commit_is_not() {
        let other_cluster = CommitMark { cluster: "c2".into(), ..mark() };
        let other_table = CommitMark { table: "market.other".into(), ..mark() };
        let other_lake = CommitMark { lake: "l2".into(), ..mark() };
        let other_epoch = CommitMark { epoch: 1, ..mark() };
        let others = [other_cluster, other_table, other_lake, other_epoch].map(|mark| mark.print());
        for metadata in [String::new(), "x".into()].into_iter().chain(others) {
            let start = start(&offer(Some((42, metadata))), From::Beginning, &mark());
            assert_eq!(start, Start::Beginning { offset: 10 });
        }
    }

    #[test]
    fn the_user_may_skip() {
        for (from, want) in [
            (From::Latest, Start::Skip { offset: 90, from: 10 }),
            (From::Time(0), Start::Skip { offset: 50, from: 10 }),
            (From::Offset(70), Start::Skip { offset: 70, from: 10 }),
            (From::Offset(5), Start::Beginning { offset: 10 }),
            (From::Offset(900), Start::Skip { offset: 90, from: 10 }),
        ] {
            assert_eq!(start(&offer(None), from, &mark()), want);
        }
    }
}
