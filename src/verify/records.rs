//! Compares the links with the records that they were made of: each record is read, decoded and routed once more.
//!
//! A record's fate is pure, so the rows that its offsets give to a partition are the rows that the link over these offsets
//! must have. What is below the committed offset and in no link is missing. What Kafka has removed cannot be compared, nor
//! a link whose range begins before it.
//!
//! Committed offsets are asked for before the files are walked: the rows below them are in links by then. Where a source
//! ends is asked after the walk: what a link was made of is there by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chains::Link;
use super::report::{Compared, Kind, Problem, SourceLine};
use super::sources::{Notes, Sources};
use super::{Check, Records};
use crate::error::{self, Error, Result};
use crate::ingest::{Census, ChainSource, CommitMark, Footer, Note, Side, Target, kept, may_be_one_topic};
use crate::kafka::{Reader, ReaderTopic, TopicPartition};
use crate::table::{Ddl, PartitionKey, Spec};

/// Offsets of missing rows that are named.
const NAMED: usize = 5;

/// The ranges and rows of links, by source and partition.
#[derive(Debug, Default)]
pub(super) struct Spans {
    read: BTreeMap<ChainSource, BTreeMap<Place, Vec<Span>>>,
    /// Names of links that could not be read: rows may be in them, and are not called missing.
    unread: BTreeMap<Place, Vec<String>>,
}

/// Which of the two tables, and a partition's path.
type Place = (Side, String);

#[derive(Clone, Copy, Debug)]
struct Span {
    start: i64,
    end: i64,
    /// None of a link that could not be read, which reaches up to the next one.
    rows: Option<u64>,
    /// Rows that the records of the range give,
    counted: u64,
    /// and those of them whose records are noted as skipped: another group may have read them.
    skipped: u64,
    /// Rows of records below its end have left the table, with their links or without them.
    closes: bool,
}

impl Spans {
    pub fn add(&mut self, side: Side, key: &PartitionKey, link: &Link) {
        let source = self.read.entry(link.footer.chain.clone()).or_default();
        let spans = source.entry((side, key.path().to_owned())).or_default();
        let Footer { start, end, closes, .. } = link.footer;
        spans.push(Span { closes, ..Span::new(start, end, Some(link.rows)) });
    }

    pub fn add_unread(&mut self, side: Side, key: &PartitionKey, names: Vec<String>) {
        if !names.is_empty() {
            self.unread.insert((side, key.path().to_owned()), names);
        }
    }

    /// Takes those of one source, by their start.
    fn take(&mut self, chain: &ChainSource) -> BTreeMap<Place, Vec<Span>> {
        let mut places = self.read.remove(chain).unwrap_or_default();
        for (place, names) in &self.unread {
            let starts = names.iter().filter_map(|name| chain.parse(name));
            let mut spans = starts.map(|start| Span::new(start, i64::MAX, None)).peekable();
            if spans.peek().is_some() {
                places.entry(place.clone()).or_default().extend(spans);
            }
        }
        for spans in places.values_mut() {
            spans.sort_by_key(|span| span.start);
            for at in 1..spans.len() {
                if spans[at - 1].rows.is_none() {
                    spans[at - 1].end = spans[at].start;
                }
            }
        }
        places
    }
}

impl Span {
    fn new(start: i64, end: i64, rows: Option<u64>) -> Self {
        Self { start, end, rows, counted: 0, skipped: 0, closes: false }
    }
}

/// What was asked before the files were walked.
pub(super) struct Asked {
    reader: Arc<Reader>,
    committed: BTreeMap<TopicPartition, (i64, String)>,
}

/// Asks for what is committed of the noted topics.
pub(super) async fn ask(records: &Records, notes: &Notes) -> Result<Asked> {
    let records = records.clone();
    let names: BTreeSet<String> = notes.topics.iter().map(|note| note.topic.clone()).collect();
    blocking(move || {
        let reader = Reader::new(&records.connection, &records.group)?;
        let mut sources = Vec::new();
        for name in names {
            let partitions = reader.topic(&name)?.map_or_else(Vec::new, |found| found.partitions);
            sources.extend(partitions.into_iter().map(|partition| TopicPartition::new(&name, partition)));
        }
        let committed = if sources.is_empty() { BTreeMap::new() } else { reader.committed(&sources)? };
        Ok(Asked { reader: Arc::new(reader), committed })
    })
    .await
}

/// Reads the topics and compares. Adds to the lines of the sources what was compared.
pub(super) async fn compare(
    check: &Check,
    tables: &[Target; 2],
    notes: &Notes,
    asked: Asked,
    sources: &Sources,
    mut spans: Spans,
    lines: &mut Vec<SourceLine>,
) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let mut specs = Specs { table: &tables[0], read: BTreeMap::new() };
    let mut by_topic: BTreeMap<String, Vec<Note>> = BTreeMap::new();
    for note in sources.topics() {
        by_topic.entry(note.topic.clone()).or_default().push(note);
    }
    for (topic, epochs) in by_topic {
        // Now, as it may have been made anew since the offsets were asked for.
        let found = {
            let (reader, topic) = (asked.reader.clone(), topic.clone());
            blocking(move || reader.topic(&topic)).await?
        };
        let missing =
            |detail: String| Problem::new(Kind::MissingTopic, &check.table, detail).of_source(&topic);
        let Some(found) = found else {
            problems.push(missing("the cluster has no topic of that name".to_owned()));
            continue;
        };
        // Of a topic that was made anew, the links of the epochs before have no records any more.
        let Some(note) = epochs.iter().rfind(|note| is_it(note, &found)) else {
            let ReaderTopic { cluster, topic_id, .. } = &found;
            problems.push(missing(format!(
                "the files are of another topic of that name: theirs is none of the cluster {cluster} with the id {}",
                topic_id.as_deref().unwrap_or("none"),
            )));
            continue;
        };
        for partition in found.partitions {
            let source = TopicPartition::new(&topic, partition);
            let chain = ChainSource { source: source.clone(), epoch: note.epoch, replay: 0 };
            let ours = CommitMark {
                table: check.table.to_string(),
                lake: notes.id.clone().unwrap_or_default(),
                cluster: note.cluster.clone(),
                topic_id: note.topic_id.clone(),
                epoch: note.epoch,
                spec: String::new(),
            };
            let committed = asked.committed.get(&source);
            let committed = committed.and_then(|(offset, text)| Some((*offset, ours.trusted(text)?)));
            let wanted = by_offset(sources.specs(&chain), committed.as_ref().map(|(_, mark)| &*mark.spec));
            let Some(specs) = specs.all(&wanted).await? else { continue };
            if specs.is_empty() {
                continue; // nothing was ever written or committed of it
            }
            let recount = Recount {
                source: source.clone(),
                specs,
                committed: committed.map(|(offset, _)| offset),
                gaps: gaps(notes, &chain),
                places: Places::new(check, tables, spans.take(&chain)),
            };
            let reader = asked.reader.clone();
            let (compared, places) = blocking(move || recount.run(&reader)).await?;
            let chain_end = sources.chain_end(&chain);
            if chain_end > compared.to {
                let detail = format!("its chains end at {chain_end}, and the topic at {}", compared.to);
                let problem = Problem::new(Kind::BeyondTheEnd, &check.table, detail);
                problems.push(problem.of_source(chain.to_string()));
            }
            problems.extend(places.problems(&chain, &compared, tables));
            note_compared(lines, &chain, compared);
        }
    }
    problems.extend(specs.problems());
    Ok(problems)
}

fn is_it(note: &Note, found: &ReaderTopic) -> bool {
    note.cluster == found.cluster
        && may_be_one_topic(&note.topic_id, found.topic_id.as_deref().unwrap_or_default())
}

/// The specs of a source by the offsets up to which each holds; the last one holds to the end.
fn by_offset(mut specs: Vec<(i64, String)>, committed: Option<&str>) -> Vec<(i64, String)> {
    if let Some(spec) = committed
        && specs.last().is_none_or(|(_, last)| last != spec)
    {
        specs.push((i64::MAX, spec.to_owned()));
    }
    if let Some((up_to, _)) = specs.last_mut() {
        *up_to = i64::MAX;
    }
    specs
}

fn gaps(notes: &Notes, chain: &ChainSource) -> Vec<(i64, i64)> {
    let ours = notes.gaps.iter().filter(|gap| {
        gap.topic == *chain.source.topic
            && gap.partition == chain.source.partition
            && gap.epoch == chain.epoch
    });
    ours.map(|gap| (gap.from, gap.to)).collect()
}

fn note_compared(lines: &mut Vec<SourceLine>, chain: &ChainSource, compared: Compared) {
    let of = |line: &SourceLine| (line.topic.clone(), line.partition, line.epoch, line.replay);
    let ours = (chain.source.topic.to_string(), chain.source.partition, chain.epoch, chain.replay);
    match lines.binary_search_by_key(&ours, of) {
        Ok(at) => lines[at].compared = Some(compared),
        Err(at) => {
            let (topic, partition, epoch, replay) = ours;
            let line = SourceLine {
                topic,
                partition,
                epoch,
                replay,
                links: 0,
                chain_end: 0,
                compared: Some(compared),
            };
            lines.insert(at, line);
        }
    }
}

/// The specs that are kept, each read once.
struct Specs<'a> {
    table: &'a Target,
    /// In words why not, where one cannot be read.
    read: BTreeMap<String, Result<Spec, String>>,
}

impl Specs<'_> {
    /// `None` where one of them is not there or cannot be read.
    async fn all(&mut self, wanted: &[(i64, String)]) -> Result<Option<Vec<(i64, Spec)>>> {
        let mut specs = Vec::with_capacity(wanted.len());
        for (up_to, hash) in wanted {
            if !self.read.contains_key(hash) {
                let text = kept(&self.table.folder, hash).await?;
                let read = text.ok_or_else(|| "it is not there".to_owned()).and_then(|text| {
                    let spec = Ddl::parse(&text).and_then(|ddl| Spec::from_ddl(&ddl));
                    spec.map_err(|e| error::chain(&e))
                });
                self.read.insert(hash.clone(), read);
            }
            match &self.read[hash] {
                Ok(spec) => specs.push((*up_to, spec.clone())),
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(specs))
    }

    fn problems(self) -> impl Iterator<Item = Problem> {
        let table = &self.table.name;
        let failed = self.read.into_iter().filter_map(|(hash, read)| Some((hash, read.err()?)));
        failed.map(move |(hash, why)| {
            let detail = format!("{why}, so that the records of its time could not be compared");
            Problem::new(Kind::MissingSpec, table, detail).of_file(format!("_ticklake/spec/{hash}.sql"))
        })
    }
}

/// Counts the rows of one source's records.
struct Recount {
    source: TopicPartition,
    specs: Vec<(i64, Spec)>,
    committed: Option<i64>,
    /// Records that were skipped on purpose.
    gaps: Vec<(i64, i64)>,
    places: Places,
}

impl Recount {
    fn run(self, reader: &Reader) -> Result<(Compared, Places)> {
        let Self { source, specs, committed, gaps, mut places } = self;
        let (from, to) = reader.watermarks(&source)?;
        let mut compared = Compared { from, to, records: 0, committed };
        let mut specs = specs.into_iter().peekable();
        let Some((mut up_to, mut census)) = specs.next().map(|(up_to, spec)| (up_to, Census::new(&spec)))
        else {
            return Ok((compared, places));
        };
        places.numbers.clear();
        reader.read(&source.topic, &[(source.partition, from..to)], |set| {
            for record in set.iter() {
                let offset = record.offset;
                while offset >= up_to
                    && let Some((next, spec)) = specs.next()
                {
                    (up_to, census) = (next, Census::new(&spec));
                    places.numbers.clear(); // they are the census's
                }
                compared.records += 1;
                let is_skipped = gaps.iter().any(|(from, to)| (*from..*to).contains(&offset));
                let is_due = !is_skipped && committed.is_some_and(|committed| offset < committed);
                let mut numbers = Vec::new();
                census.count(&source, &record, &mut |number| numbers.push(number));
                for number in numbers {
                    while places.numbers.len() < census.partitions() {
                        let (side, key) = census.partition(places.numbers.len());
                        places.add_number(side, key);
                    }
                    places.count(number, offset, is_skipped, is_due);
                }
            }
            Ok(())
        })?;
        Ok((compared, places))
    }
}

/// The partitions of one source's rows.
struct Places {
    /// Where the dates to be checked stand among the values of a partition, if only some are.
    dates: Option<([Option<usize>; 2], super::Dates)>,
    chains: Vec<Chain>,
    known: BTreeMap<Place, usize>,
    /// The chain of each number of the census; none for a partition that is not checked.
    numbers: Vec<Option<usize>>,
}

struct Chain {
    place: Place,
    spans: Vec<Span>,
    /// The first span that ends beyond the last row.
    at: usize,
    /// Rows of records below it have left the table.
    closed: i64,
    missing: u64,
    missing_at: Vec<i64>,
}

impl Places {
    fn new(check: &Check, tables: &[Target; 2], spans: BTreeMap<Place, Vec<Span>>) -> Self {
        let date = |table: &Target| table.ddl.partitioned_by.iter().position(|column| column.name == "date");
        let dates = check.dates.clone().map(|dates| ([date(&tables[0]), date(&tables[1])], dates));
        let mut places = Self { dates, chains: Vec::new(), known: BTreeMap::new(), numbers: Vec::new() };
        for (place, spans) in spans {
            places.add(place, spans);
        }
        places
    }

    fn add(&mut self, place: Place, spans: Vec<Span>) -> usize {
        let number = self.chains.len();
        self.known.insert(place.clone(), number);
        let closed = spans.iter().filter(|span| span.closes).map(|span| span.end).max().unwrap_or(0);
        self.chains.push(Chain { place, spans, at: 0, closed, missing: 0, missing_at: Vec::new() });
        number
    }

    /// Takes the next number of the census.
    fn add_number(&mut self, side: Side, key: &PartitionKey) {
        let is_checked = self.dates.as_ref().is_none_or(|(columns, dates)| {
            columns[side as usize].is_some_and(|column| dates.contains(&key.values()[column]))
        });
        let number = is_checked.then(|| {
            let place = (side, key.path().to_owned());
            self.known.get(&place).copied().unwrap_or_else(|| self.add(place, Vec::new()))
        });
        self.numbers.push(number);
    }

    /// Counts a row of a record; offsets rise.
    fn count(&mut self, number: usize, offset: i64, is_skipped: bool, is_due: bool) {
        let Some(chain) = self.numbers[number] else { return };
        let Chain { spans, at, closed, missing, missing_at, .. } = &mut self.chains[chain];
        while spans.get(*at).is_some_and(|span| span.end <= offset) {
            *at += 1;
        }
        match spans.get_mut(*at).filter(|span| span.start <= offset) {
            Some(span) => {
                span.counted += 1;
                span.skipped += u64::from(is_skipped);
            }
            None if is_due && offset >= *closed => {
                *missing += 1;
                if missing_at.len() < NAMED && missing_at.last() != Some(&offset) {
                    missing_at.push(offset);
                }
            }
            None => {}
        }
    }

    fn problems(&self, chain: &ChainSource, compared: &Compared, tables: &[Target; 2]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let has_holes =
            i64::try_from(compared.records).is_ok_and(|records| records < compared.to - compared.from);
        for Chain { place: (side, path), spans, missing, missing_at, .. } in &self.chains {
            let table = &tables[*side as usize].name;
            let problem = |kind, detail: String| {
                Problem::new(kind, table, detail).in_partition(path).of_source(chain.to_string())
            };
            // Those that Kafka still has whole.
            for span in spans.iter().filter(|span| span.start >= compared.from && span.end <= compared.to) {
                let Span { start, end, rows, counted, skipped, .. } = span;
                let Some(rows) = rows.filter(|rows| !(counted - skipped..=*counted).contains(rows)) else {
                    continue;
                };
                let mut detail =
                    format!("it has {rows} rows, and the records from {start} up to {end} give {counted}");
                if has_holes {
                    detail.push_str(" (not every offset has a record: is the topic compacted?)");
                }
                let name = chain.link_name(*start);
                problems.push(problem(Kind::OtherRowCount, detail).of_file(format!("{path}/{name}")));
            }
            if *missing > 0 {
                let offsets: Vec<String> = missing_at.iter().map(i64::to_string).collect();
                let more = if *missing > missing_at.len() as u64 { ", …" } else { "" };
                let rows = if *missing == 1 { "row" } else { "rows" };
                let detail = format!("{missing} {rows}: of the records at {}{more}", offsets.join(", "));
                problems.push(problem(Kind::MissingRows, detail));
            }
        }
        problems
    }
}

/// Does what blocks on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::new(error::Kind::System, "reading the records broke off").because(e))?
}
