//! Owns where a job's records come from: which cluster, and which topic of that name.
//!
//! Offsets mean records of one topic only. If a topic was moved to another cluster, or deleted and made anew, its
//! offsets mean other records, and chains under the old ones must not go on (DESIGN §3.10). The table's folder keeps a
//! note of each topic in `_ticklake/topics/`, so that this is seen at the start, before a row is written; footers say
//! it too, for links that another writer put.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::chain::{ChainSource, Footer};
use super::start::CommitMark;
use crate::error::{Error, Kind, Result};
use crate::kafka::{Found, TopicPartition};
use crate::store::Folder;
use crate::table::TableName;

/// Where the notes of gaps are, in a table's folder.
pub(crate) const GAPS: &str = "_ticklake/gaps";

/// The note of records of a source that were skipped on purpose: those from `from` up to and without `to`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Gap {
    pub topic: String,
    pub partition: i32,
    pub epoch: u32,
    pub from: i64,
    pub to: i64,
    pub cluster: String,
    pub why: String,
}

/// What this run writes into the footers of its links.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub cluster: String,
    pub topics: HashMap<String, Topic>,
    pub spec: String,
    pub writer: String,
    /// Above 0 where it decodes rejected records anew.
    pub replay: u32,
}

/// A topic as this run reads it.
#[derive(Clone, Debug, Default)]
pub(super) struct Topic {
    /// Empty where the broker gives topics no ids.
    pub id: String,
    pub epoch: u32,
}

impl Origin {
    pub fn topic_id(&self, topic: &str) -> &str {
        self.topics.get(topic).map_or("", |topic| &topic.id)
    }

    /// The chains that a source's rows belong to.
    pub fn chain(&self, source: &TopicPartition) -> ChainSource {
        let epoch = self.topics.get(&*source.topic).map_or(0, |topic| topic.epoch);
        ChainSource { source: source.clone(), epoch, replay: self.replay }
    }

    /// The topics that are read under an epoch.
    pub fn epochs(&self) -> BTreeMap<String, u32> {
        let epochs = self.topics.iter().map(|(topic, Topic { epoch, .. })| (topic.clone(), *epoch));
        epochs.filter(|(_, epoch)| *epoch > 0).collect()
    }

    /// What an offset of a source is committed under: for a table, whose folder has an id.
    pub fn mark(&self, table: &TableName, lake: &str, source: &TopicPartition) -> CommitMark {
        CommitMark {
            lake: lake.to_owned(),
            table: table.to_string(),
            cluster: self.cluster.clone(),
            topic_id: self.topic_id(&source.topic).to_owned(),
            epoch: self.chain(source).epoch,
            spec: self.spec.clone(),
        }
    }

    /// Whether our rows may follow a link: it is of the same cluster and topic.
    pub fn check(&self, link: &Footer) -> Result<()> {
        let topic = &*link.chain.source.topic;
        must_be_same(&link.cluster, &self.cluster, &link.topic_id, self.topic_id(topic))
            .map_err(|e| e.with("topic", topic))
    }
}

/// Where the notes of topics are, in a table's folder.
pub(crate) const NOTES: &str = "_ticklake/topics";

/// The note of a topic in a table's folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Note {
    pub topic: String,
    pub epoch: u32,
    pub cluster: String,
    /// Empty where it is not known.
    pub topic_id: String,
}

/// Takes a topic's note, or leaves one where there is none yet, and says how the topic is read. One that is another than
/// the noted one is refused. `epoch`: where no earlier one has read this very topic, which goes on under its own.
pub(super) async fn admit(table: &Folder, found: &Found, epoch: u32) -> Result<Topic> {
    let folder = table.folder(NOTES)?;
    let epoch = match epoch {
        0 => 0,
        _ => read_before(&folder, found, epoch).await?.unwrap_or(epoch),
    };
    let name = format!("{}.json", ChainSource::topic_name(&found.topic, epoch));
    let ours = Note {
        topic: found.topic.clone(),
        epoch,
        cluster: found.cluster.clone(),
        topic_id: found.topic_id.clone().unwrap_or_default(),
    };
    let at = || format!("{}{name}", folder.location());
    let text = serde_json::to_string(&ours).map_err(|e| {
        Error::new(Kind::Store, "cannot write the note of a topic").with("at", at()).because(e)
    })?;
    let text = folder.note(&name, text.into()).await?;
    let damaged = || {
        Error::new(Kind::Store, "the note of a topic cannot be read: it is empty or damaged").with("at", at())
    };
    let theirs: Note = serde_json::from_slice(&text).map_err(|e| damaged().because(e))?;
    must_be_same(&theirs.cluster, &ours.cluster, &theirs.topic_id, &ours.topic_id)
        .map_err(|e| e.with("topic", &found.topic).with("noted in", at()))?;
    Ok(Topic { id: ours.topic_id, epoch })
}

/// The latest epoch of each topic that the table was written from.
pub(super) async fn newest_epochs(table: &Folder) -> Result<HashMap<String, u32>> {
    let folder = table.folder(NOTES)?;
    let mut newest: HashMap<String, u32> = HashMap::new();
    for entry in folder.list().await? {
        if let Some(Note { topic, epoch, .. }) = read_note(&folder, &entry.name).await? {
            let of_topic = newest.entry(topic).or_default();
            *of_topic = epoch.max(*of_topic);
        }
    }
    Ok(newest)
}

/// The epoch, below the one that is asked for, that has read this very topic: a new one would write each of its rows
/// again. (Of a job's topics one may be made anew, and the others not.)
async fn read_before(notes: &Folder, found: &Found, epoch: u32) -> Result<Option<u32>> {
    let Some(topic_id) = &found.topic_id else { return Ok(None) };
    let of_topic = ChainSource::topic_name(&found.topic, 0);
    let mut before = None;
    for entry in notes.list().await? {
        if !entry.name.starts_with(&of_topic) {
            continue;
        }
        let note = read_note(notes, &entry.name).await?;
        let is_it = |note: &Note| {
            let Note { topic, epoch: before, cluster, topic_id: theirs } = note;
            *before < epoch && *topic == found.topic && *cluster == found.cluster && theirs == topic_id
        };
        before = before.max(note.filter(is_it).map(|note| note.epoch));
    }
    if let Some(before) = before {
        tracing::info!(
            topic = found.topic,
            epoch = before,
            "goes on under the epoch that has read it before"
        );
    }
    Ok(before)
}

/// One that cannot be read is its own epoch's to complain of.
async fn read_note(notes: &Folder, name: &str) -> Result<Option<Note>> {
    Ok(notes.read(name).await?.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// Whether two ids may be one topic's: where one is not known (empty), nothing speaks against it.
pub(crate) fn may_be_one_topic(topic_id: &str, other: &str) -> bool {
    topic_id.is_empty() || other.is_empty() || topic_id == other
}

fn must_be_same(cluster: &str, our_cluster: &str, topic_id: &str, our_topic_id: &str) -> Result<()> {
    let other = |what: &str, theirs: &str, ours: &str| {
        Error::new(
            Kind::Protocol,
            format!(
                "the table has files of another {what}: the offsets in it mean other records. If the topic was moved or \
                 made anew, set ingest.source_epoch (--source-epoch) one higher, which begins new chains"
            ),
        )
        .with("theirs", theirs)
        .with("ours", ours)
    };
    if cluster != our_cluster {
        return Err(other("cluster", cluster, our_cluster));
    }
    if !may_be_one_topic(topic_id, our_topic_id) {
        return Err(other("topic of that name", topic_id, our_topic_id));
    }
    Ok(())
}
