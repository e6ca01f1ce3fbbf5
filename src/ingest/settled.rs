//! Tells up to which offset all that a source gives to a table is there: its links are written and registered.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::chain::ChainSource;
use super::origin::{may_be_one_topic, newest_epochs};
use super::start::CommitMark;
use super::target::Target;
use crate::error::{Error, Kind, Result};
use crate::kafka::{Connection, Reader, ReaderTopic, TopicPartition};

/// Up to where a source has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Up to the offset that the group has committed.
    UpTo(i64),
    /// Nothing comes to it any more: its topic is gone, was made anew, or is read under a later epoch.
    Whole,
}

/// The cluster and the topic's id that a source's links say.
pub(crate) type Identity = (String, String);

/// Asks for some sources of the ingest. `table`: the one whose name is in committed offsets, also for what was rejected of it.
pub(crate) async fn settled(
    table: &Target,
    connection: &Connection,
    group: &str,
    sources: &BTreeMap<ChainSource, Identity>,
) -> Result<BTreeMap<ChainSource, Settled>> {
    let mut settled = BTreeMap::new();
    if sources.is_empty() {
        return Ok(settled);
    }
    let lake = table.find_id().await?.unwrap_or_default();
    let newest = newest_epochs(&table.folder).await?;
    let (found, committed, cluster) = ask(connection, group, sources).await?;
    for (chain, (of_cluster, topic_id)) in sources {
        let topic = &*chain.source.topic;
        if newest.get(topic).is_some_and(|newest| *newest > chain.epoch) {
            settled.insert(chain.clone(), Settled::Whole);
            continue;
        }
        if *of_cluster != cluster {
            return Err(Error::usage(
                "the brokers are of another cluster than the table's records: give its --brokers",
            )
            .with("topic", topic)
            .with("its cluster", of_cluster)
            .with("theirs", cluster));
        }
        let is_it =
            |found: &ReaderTopic| may_be_one_topic(topic_id, found.topic_id.as_deref().unwrap_or_default());
        let up_to = match found.get(topic).is_some_and(is_it) {
            false => Settled::Whole,
            true => {
                let ours = CommitMark {
                    table: table.name.to_string(),
                    lake: lake.clone(),
                    cluster: of_cluster.clone(),
                    topic_id: topic_id.clone(),
                    epoch: chain.epoch,
                    spec: String::new(),
                };
                let commit = committed
                    .get(&chain.source)
                    .and_then(|(offset, text)| ours.trusted(text).map(|_| *offset));
                Settled::UpTo(commit.ok_or_else(|| {
                    Error::usage(
                        "the group has committed no offset of this table, so nobody knows up to where its records are all \
                         there: name the group that ingests it with --group, or run `ticklake ingest --until-end` first",
                    )
                    .with("group", group)
                    .with("source", &chain.source)
                })?)
            }
        };
        settled.insert(chain.clone(), up_to);
    }
    Ok(settled)
}

type Asked = (HashMap<String, ReaderTopic>, BTreeMap<TopicPartition, (i64, String)>, String);

/// The topics as the cluster has them, what the group has committed of them, and the cluster's id.
async fn ask(
    connection: &Connection,
    group: &str,
    sources: &BTreeMap<ChainSource, Identity>,
) -> Result<Asked> {
    let (connection, group) = (connection.clone(), group.to_owned());
    let sources: Vec<TopicPartition> = sources.keys().map(|chain| chain.source.clone()).collect();
    let asked = tokio::task::spawn_blocking(move || {
        let reader = Reader::new(&connection, &group)?;
        let topics: BTreeSet<&str> = sources.iter().map(|source| &*source.topic).collect();
        let mut found = HashMap::new();
        for topic in topics {
            if let Some(there) = reader.topic(topic)? {
                found.insert(topic.to_owned(), there);
            }
        }
        let cluster = reader.cluster()?;
        Ok((found, reader.committed(&sources)?, cluster))
    });
    asked.await.map_err(|e| Error::new(Kind::System, "the look at Kafka broke off").because(e))?
}
