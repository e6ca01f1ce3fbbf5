//! Compares what the links of one source say of it: one cluster, one topic, and specs that are kept.

use std::collections::BTreeMap;

use futures::StreamExt;

use super::report::{GapLine, Kind, Problem, SourceLine};
use crate::error::{self, Result};
use crate::ingest::{ChainSource, Footer, GAPS, Gap, NOTES, Note, Target, kept, may_be_one_topic};

/// Notes read at the same time.
const READS: usize = 16;

/// What the table's folder says of itself, beside its files.
#[derive(Debug)]
pub(super) struct Notes {
    pub id: Option<String>,
    /// By topic and epoch.
    pub topics: Vec<Note>,
    /// By source; none before `read_gaps`.
    pub gaps: Vec<Gap>,
    /// Paths of notes that cannot be read, and why.
    broken: Vec<(String, String)>,
}

impl Notes {
    /// Where the folder's id is not given, nothing of the folder can be told: that is an error. A note that is not given is a
    /// problem.
    pub async fn read(table: &Target) -> Result<Self> {
        let id = table.find_id().await?;
        let mut broken = Vec::new();
        let mut topics: Vec<Note> = read_notes(table, NOTES, &mut broken).await?;
        topics.sort_by(|a, b| (&a.topic, a.epoch).cmp(&(&b.topic, b.epoch)));
        Ok(Self { id, topics, gaps: Vec::new(), broken })
    }

    /// Reads which records were skipped. To be asked when offsets are known and files were looked at: a job notes a gap
    /// before it commits beyond it, and before a link covers it.
    pub async fn read_gaps(&mut self, table: &Target) -> Result<()> {
        self.gaps = read_notes(table, GAPS, &mut self.broken).await?;
        self.gaps.sort_by(|a, b| {
            (&a.topic, a.partition, a.epoch, a.from).cmp(&(&b.topic, b.partition, b.epoch, b.from))
        });
        Ok(())
    }

    /// What is wrong with the notes. To be asked after the walk: the first job may just have begun before it.
    pub async fn problems(&self, table: &Target, has_files: bool) -> Result<Vec<Problem>> {
        let broken = self
            .broken
            .iter()
            .map(|(path, why)| Problem::new(Kind::BrokenNote, &table.name, why).of_file(path));
        let mut problems: Vec<Problem> = broken.collect();
        if has_files && self.id.is_none() && table.find_id().await?.is_none() {
            let detail = "it is not there, or cannot be read";
            problems.push(Problem::new(Kind::MissingId, &table.name, detail).of_file("_ticklake/id"));
        }
        Ok(problems)
    }

    pub fn gap_lines(&self) -> Vec<GapLine> {
        let line = |gap: &Gap| GapLine {
            topic: gap.topic.clone(),
            partition: gap.partition,
            epoch: gap.epoch,
            from: gap.from,
            to: gap.to,
            why: gap.why.clone(),
        };
        self.gaps.iter().map(line).collect()
    }
}

async fn read_notes<T: serde::de::DeserializeOwned>(
    table: &Target,
    at: &str,
    broken: &mut Vec<(String, String)>,
) -> Result<Vec<T>> {
    let folder = table.folder.folder(at)?;
    let entries = folder.list().await?;
    let reads = entries.iter().map(|entry| async { (&entry.name, folder.read(&entry.name).await) });
    let mut texts = futures::stream::iter(reads).buffered(READS);
    let mut notes = Vec::with_capacity(entries.len());
    while let Some((name, text)) = texts.next().await {
        let why = match text.map(|text| text.map(|text| serde_json::from_slice(&text))) {
            Ok(Some(Ok(note))) => {
                notes.push(note);
                continue;
            }
            Ok(Some(Err(_))) => "it is no note of this version".to_owned(),
            Ok(None) => continue, // removed just now
            Err(e) => error::chain(&e),
        };
        broken.push((format!("{at}/{name}"), why));
    }
    Ok(notes)
}

/// The sources that links name.
#[derive(Debug)]
pub(super) struct Sources {
    seen: BTreeMap<ChainSource, Seen>,
    /// What the folder notes of topics; by topic and epoch.
    notes: BTreeMap<(String, u32), Identity>,
}

/// Which topic it is.
#[derive(Clone, Debug)]
struct Identity {
    cluster: String,
    topic_id: String,
}

#[derive(Debug)]
struct Seen {
    identity: Identity,
    links: u64,
    chain_end: i64,
    /// Where the last link of each spec ends.
    specs: BTreeMap<String, i64>,
}

impl Sources {
    pub fn new(notes: &Notes) -> Self {
        let identity =
            |note: &Note| Identity { cluster: note.cluster.clone(), topic_id: note.topic_id.clone() };
        let notes = notes.topics.iter().map(|note| ((note.topic.clone(), note.epoch), identity(note)));
        Self { seen: BTreeMap::new(), notes: notes.collect() }
    }

    /// Adds a link; says how it is another source's than the folder's note of the topic, or than the first link.
    pub fn add(&mut self, footer: &Footer) -> Option<String> {
        let theirs = Identity { cluster: footer.cluster.clone(), topic_id: footer.topic_id.clone() };
        let topic = (footer.chain.source.topic.to_string(), footer.chain.epoch);
        let noted = self.notes.get(&topic);
        let seen = self.seen.entry(footer.chain.clone()).or_insert_with(|| Seen {
            identity: noted.cloned().unwrap_or_else(|| theirs.clone()),
            links: 0,
            chain_end: 0,
            specs: BTreeMap::new(),
        });
        seen.links += 1;
        let ours = &mut seen.identity;
        let what = match noted {
            Some(_) => "the note of the topic",
            None => "the first link of its source",
        };
        if theirs.cluster != ours.cluster {
            return Some(format!(
                "it is of the cluster {}, and {what} says {}",
                theirs.cluster, ours.cluster
            ));
        }
        if !may_be_one_topic(&theirs.topic_id, &ours.topic_id) {
            return Some(format!(
                "it is of the topic id {}, and {what} says {}",
                theirs.topic_id, ours.topic_id
            ));
        }
        if ours.topic_id.is_empty() {
            ours.topic_id = theirs.topic_id;
        }
        seen.chain_end = seen.chain_end.max(footer.end);
        // A closer has the spec of the link before it, and tells nothing of the records that it covers.
        let end = seen.specs.entry(footer.spec.clone()).or_default();
        *end = footer.rows_end().max(*end);
        None
    }

    /// Those specs of links that are not kept.
    pub async fn missing_specs(&self, table: &Target) -> Result<Vec<Problem>> {
        let mut sources: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (chain, seen) in &self.seen {
            for spec in seen.specs.keys() {
                sources.entry(spec).or_default().push(chain.to_string());
            }
        }
        let mut problems = Vec::new();
        for (spec, sources) in sources {
            if kept(&table.folder, spec).await?.is_none() {
                let detail = format!("files of {} were written under it", sources.join(", "));
                let problem = Problem::new(Kind::MissingSpec, &table.name, detail);
                problems.push(problem.of_file(format!("_ticklake/spec/{spec}.sql")));
            }
        }
        Ok(problems)
    }

    pub fn lines(&self) -> Vec<SourceLine> {
        let line = |(chain, seen): (&ChainSource, &Seen)| SourceLine {
            topic: chain.source.topic.to_string(),
            partition: chain.source.partition,
            epoch: chain.epoch,
            replay: chain.replay,
            links: seen.links,
            chain_end: seen.chain_end,
            compared: None,
        };
        self.seen.iter().map(line).collect()
    }

    /// The topics that are noted, and those that only links name; by topic and epoch.
    pub fn topics(&self) -> Vec<Note> {
        let mut topics = self.notes.clone();
        for (chain, seen) in &self.seen {
            let topic = (chain.source.topic.to_string(), chain.epoch);
            topics.entry(topic).or_insert_with(|| seen.identity.clone());
        }
        let note =
            |((topic, epoch), Identity { cluster, topic_id })| Note { topic, epoch, cluster, topic_id };
        topics.into_iter().map(note).collect()
    }

    /// Where the greatest chain of a source ends; 0 where it has none.
    pub fn chain_end(&self, chain: &ChainSource) -> i64 {
        self.seen.get(chain).map_or(0, |seen| seen.chain_end)
    }

    /// The specs of a source's links, and up to where each wrote. A writer under a new spec begins where the one before
    /// has ended whole, so each offset was read under the first whose links reach beyond it.
    pub fn specs(&self, chain: &ChainSource) -> Vec<(i64, String)> {
        let specs = self.seen.get(chain).into_iter().flat_map(|seen| &seen.specs);
        let mut specs: Vec<(i64, String)> = specs.map(|(spec, end)| (*end, spec.clone())).collect();
        specs.sort();
        specs
    }
}
