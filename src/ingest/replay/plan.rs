//! Defines the plan of a replay, as it is kept in the table's folder: made create-only before a row is written, marked as done
//! after the last one is registered.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::ingest::ChainSource;
use crate::kafka::TopicPartition;
use crate::store::Folder;

/// Where the plans are, in a table's folder.
const REPLAYS: &str = "_ticklake/replays";

/// What a replay takes, and by which spec.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::ingest) struct Plan {
    /// From 1 on, one after the other.
    pub replay: u32,
    pub spec: String,
    /// By topic, partition and epoch; all of the plan before, and new ones.
    pub sources: Vec<Stretch>,
}

/// The offsets of one source: what the replay before rejected is below `from`, what only the ingest did from there up to `to`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::ingest) struct Stretch {
    pub topic: String,
    pub partition: i32,
    pub epoch: u32,
    pub cluster: String,
    /// Empty where it is not known.
    pub topic_id: String,
    pub from: i64,
    pub to: i64,
}

impl Stretch {
    /// The ingest's chains of the source.
    pub fn chain(&self) -> ChainSource {
        ChainSource { source: self.source(), epoch: self.epoch, replay: 0 }
    }

    pub fn source(&self) -> TopicPartition {
        TopicPartition::new(&self.topic, self.partition)
    }
}

impl Plan {
    /// What it takes of a source, which is named as the ingest's.
    pub fn stretch(&self, chain: &ChainSource) -> Option<&Stretch> {
        self.sources.iter().find(|stretch| stretch.chain() == *chain)
    }

    /// Leaves the plan in the table's folder. Where another process was quicker, it is theirs.
    pub async fn note(&self, table: &Folder) -> Result<Self> {
        let text = serde_json::to_string(self).map_err(|e| {
            Error::new(Kind::Store, "cannot write the plan of a replay")
                .with("replay", self.replay)
                .because(e)
        })?;
        let folder = table.folder(REPLAYS)?;
        let name = name(self.replay, "json");
        let noted = folder.note(&name, text.into()).await?;
        read(&noted, &folder, &name)
    }

    /// Marks it as done.
    pub async fn note_done(&self, table: &Folder) -> Result<()> {
        table.folder(REPLAYS)?.note(&name(self.replay, "done"), Bytes::new()).await.map(|_| ())
    }
}

/// All replays of a table.
#[derive(Debug, Default)]
pub(in crate::ingest) struct Ledger {
    last: Option<Plan>,
    is_done: bool,
}

impl Ledger {
    pub async fn read(table: &Folder) -> Result<Self> {
        let folder = table.folder(REPLAYS)?;
        let entries = folder.list().await?;
        let Some(last) = entries.iter().filter_map(|entry| number(&entry.name)).max() else {
            return Ok(Self::default());
        };
        let (plan, done) = (name(last, "json"), name(last, "done"));
        let text = folder.read(&plan).await?.ok_or_else(|| folder.has_none(&plan))?;
        let is_done = entries.iter().any(|entry| entry.name == done);
        Ok(Self { last: Some(read(&text, &folder, &plan)?), is_done })
    }

    pub fn last(&self) -> Option<&Plan> {
        self.last.as_ref()
    }

    pub fn unfinished(&self) -> Option<&Plan> {
        self.last.as_ref().filter(|_| !self.is_done)
    }
}

fn read(text: &[u8], folder: &Folder, name: &str) -> Result<Plan> {
    serde_json::from_slice(text).map_err(|e| {
        Error::new(
            Kind::Store,
            "the plan of a replay cannot be read: it is empty, damaged, or of a later version",
        )
        .with("at", format!("{}{name}", folder.location()))
        .because(e)
    })
}

/// So that they are listed in their order.
fn name(replay: u32, end: &str) -> String {
    format!("{replay:010}.{end}")
}

fn number(name: &str) -> Option<u32> {
    name.strip_suffix(".json")?.parse().ok()
}
