//! Looks at one partition's folder: which of its files are links, and whether the links of each chain tile the offsets.
//!
//! A writer may be at work. A list of a folder is no picture of one moment: it may have a link and not the one before
//! it. So where a gap shows, the folder is listed once more. Whatever stands before a link that the first list had was
//! there before the second one began, so a gap that is left is one.
//!
//! A file that cannot be read is a problem of its own. Where the store cannot even list its folder, the store is away, and
//! that is an error.
//!
//! Memory: the names of one partition's files, and what their footers say.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use parquet::file::metadata::ParquetMetaData;

use super::columns::difference;
use super::is_marker;
use super::report::{Kind, Problem};
use crate::error::{self, Result};
use crate::ingest::{Footer, Target, key_values, parse_name, read_metadata};
use crate::store::{Entry, Folder};
use crate::table::{Ddl, PartitionKey};

/// Footers of one partition read at the same time.
const FOOTERS: usize = 8;

/// A partition's folder, as it was found.
#[derive(Debug)]
pub(super) struct Looked {
    pub key: PartitionKey,
    /// By chain and start.
    pub links: Vec<Link>,
    /// Files under a link's name of which nobody can tell where they end.
    pub unread: Vec<String>,
    /// Whether there is any file.
    pub has_files: bool,
    pub problems: Vec<Problem>,
}

/// A whole link under its own name.
#[derive(Debug)]
pub(super) struct Link {
    pub footer: Footer,
    pub rows: u64,
    pub bytes: u64,
    pub modified: DateTime<Utc>,
    /// Its rows have left the table: a closer stands behind it, or it is one.
    pub has_left: bool,
}

impl Looked {
    /// The links that have rows of the table.
    pub fn live(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| !link.has_left)
    }
}

/// What is under a link's name.
enum Read {
    Link(Link),
    /// Nobody can tell where it ends: it is damaged, gone, or the store does not give it.
    Unread,
    /// It has no place in the chain that it is named for.
    Foreign,
}

/// Names of links, by what their chain's names begin with, and by their start.
type Chains<'a> = BTreeMap<&'a str, BTreeMap<i64, &'a Entry>>;

/// Looks at the folder of a partition. `older`: the DDLs that the table had.
pub(super) async fn look(table: &Target, older: &[Ddl], key: PartitionKey) -> Result<Looked> {
    let place = Place { table, older, path: key.path(), folder: table.folder.folder(key.path())? };
    let listing = place.folder.look().await?;
    let mut problems = place.foreign(&listing.entries);
    for folder in &listing.folders {
        let entries = place.folder.folder(folder)?.list_below().await?;
        let mut names: Vec<&Entry> = entries.iter().filter(|entry| !is_marker(entry)).collect();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        let below = "it is in a folder below its partition's";
        problems.extend(
            names
                .iter()
                .map(|entry| place.problem(Kind::ForeignFile, &format!("{folder}/{}", entry.name), below)),
        );
    }
    let has_files = listing.entries.iter().any(|entry| !is_marker(entry)) || !problems.is_empty();
    let first = chains(&listing.entries);
    let mut read = place.read(&first).await;
    if read.iter().any(|chain| !chain.gaps().is_empty()) {
        let again = place.folder.list().await?;
        let mut chains = chains(&again);
        // What was written since belongs to no gap, and may have gaps of its own kind.
        chains.retain(|prefix, links| {
            let last = first.get(prefix).and_then(|links| links.last_key_value());
            links.retain(|start, _| last.is_some_and(|(last, _)| start <= last));
            !links.is_empty()
        });
        read = place.read(&chains).await;
    }
    let (mut links, mut unread) = (Vec::new(), Vec::new());
    for chain in read {
        problems.extend(place.untiled(&chain));
        let closed_at = chain.closed_at();
        problems.extend(chain.problems);
        for (start, read) in chain.read {
            match read {
                Read::Link(mut link) => {
                    link.has_left = closed_at.is_some_and(|at| start <= at);
                    links.push(link);
                }
                Read::Unread => unread.push(name_of(&chain.prefix, start)),
                Read::Foreign => {}
            }
        }
    }
    if problems.iter().any(|problem| problem.kind == Kind::UnreadableFile) {
        place.folder.look().await?; // is it the store that is away?
    }
    Ok(Looked { links, unread, has_files, problems, key })
}

fn chains(entries: &[Entry]) -> Chains<'_> {
    let mut chains = Chains::new();
    for entry in entries {
        if let Some((prefix, start)) = parse_name(&entry.name) {
            chains.entry(prefix).or_default().insert(start, entry);
        }
    }
    chains
}

fn name_of(prefix: &str, start: i64) -> String {
    format!("{prefix}{start:020}.parquet")
}

/// A chain, as its files say.
struct Chain {
    prefix: String,
    /// By start.
    read: Vec<(i64, Read)>,
    problems: Vec<Problem>,
}

/// Where a chain does not go on where it should: `expected` is where it should.
struct Break {
    start: i64,
    expected: i64,
}

impl Chain {
    /// Where the last closer starts.
    fn closed_at(&self) -> Option<i64> {
        let closers =
            self.read.iter().filter(|(_, read)| matches!(read, Read::Link(link) if link.footer.closes));
        closers.map(|(start, _)| *start).next_back()
    }

    fn breaks(&self) -> Vec<Break> {
        let closed_at = self.closed_at();
        let mut breaks = Vec::new();
        // Unknown behind a file that cannot be read.
        let mut expected = Some(0);
        for (start, read) in &self.read {
            let end = match read {
                Read::Foreign => continue,
                Read::Unread => None,
                Read::Link(link) => Some(link.footer.end),
            };
            // What stands before a closer may be gone.
            let may_be_gone = |expected: &i64| start > expected && closed_at.is_some_and(|at| *start <= at);
            if let Some(expected) = expected.filter(|expected| start != expected && !may_be_gone(expected)) {
                breaks.push(Break { start: *start, expected });
            }
            expected = end.map(|end| end.max(expected.unwrap_or(0)));
        }
        breaks
    }

    fn gaps(&self) -> Vec<Break> {
        self.breaks().into_iter().filter(|at| at.start > at.expected).collect()
    }

    /// `ticks-3`, `ticks-3-e1`: by a footer, since a long topic's name is hashed in names.
    fn source(&self) -> String {
        let link = self.read.iter().find_map(|(_, read)| match read {
            Read::Link(link) => Some(&link.footer.chain),
            Read::Unread | Read::Foreign => None,
        });
        link.map_or_else(|| self.prefix.trim_matches(['k', '-']).to_owned(), ToString::to_string)
    }
}

/// A partition's folder.
struct Place<'a> {
    table: &'a Target,
    older: &'a [Ddl],
    path: &'a str,
    folder: Folder,
}

impl Place<'_> {
    fn problem(&self, kind: Kind, name: &str, detail: impl Into<String>) -> Problem {
        Problem::new(kind, &self.table.name, detail)
            .in_partition(self.path)
            .of_file(format!("{}/{name}", self.path))
    }

    fn foreign(&self, entries: &[Entry]) -> Vec<Problem> {
        let foreign = entries.iter().filter(|entry| !is_marker(entry) && parse_name(&entry.name).is_none());
        foreign.map(|entry| self.problem(Kind::ForeignFile, &entry.name, "its name is no link's")).collect()
    }

    /// Reads the footers of chains.
    async fn read(&self, chains: &Chains<'_>) -> Vec<Chain> {
        let mut read = Vec::with_capacity(chains.len());
        for (prefix, links) in chains {
            let mut chain = Chain { prefix: (*prefix).to_owned(), read: Vec::new(), problems: Vec::new() };
            let files: Vec<_> = links.values().map(|entry| self.read_one(entry)).collect();
            let mut files =
                futures::stream::iter(files).buffered(FOOTERS).zip(futures::stream::iter(links.keys()));
            while let Some(((file, problem), start)) = files.next().await {
                chain.read.push((*start, file));
                chain.problems.extend(problem);
            }
            read.push(chain);
        }
        read
    }

    async fn read_one(&self, entry: &Entry) -> (Read, Option<Problem>) {
        let problem = |kind, detail: String| Some(self.problem(kind, &entry.name, detail));
        let metadata = match read_metadata(&self.folder, &entry.name, entry.size_bytes).await {
            Ok(Some(metadata)) => metadata,
            Ok(None) => {
                let gone = "it was listed, and was gone when it was to be read".to_owned();
                return (Read::Unread, problem(Kind::Gap, gone));
            }
            Err(e) if e.kind() == error::Kind::Protocol => {
                return (Read::Unread, problem(Kind::BrokenFile, error::chain(&e)));
            }
            Err(e) => return (Read::Unread, problem(Kind::UnreadableFile, error::chain(&e))),
        };
        let texts = key_values(&metadata);
        let footer = match Footer::read(&texts) {
            Ok(footer) if footer.is_named(&entry.name) => footer,
            Ok(footer) => {
                let detail = format!("its footer is that of {footer}");
                return (Read::Foreign, problem(Kind::RenamedFile, detail));
            }
            Err(e) if Footer::is_in(&texts) => {
                return (Read::Unread, problem(Kind::BrokenFile, error::chain(&e)));
            }
            Err(e) => return (Read::Foreign, problem(Kind::ForeignFile, error::chain(&e))),
        };
        let other = difference(&metadata, &self.table.ddl.columns, self.older);
        let other = other.and_then(|detail| problem(Kind::OtherSchema, detail));
        let (bytes, modified) = (entry.size_bytes, entry.modified);
        let link = Link { footer, rows: rows(&metadata), bytes, modified, has_left: false };
        (Read::Link(link), other)
    }

    fn untiled(&self, chain: &Chain) -> Vec<Problem> {
        let of = |at: Break| {
            let Break { start, expected } = at;
            let name = name_of(&chain.prefix, start);
            let problem = match start > expected {
                true => self.problem(
                    Kind::Gap,
                    &name,
                    format!("the offsets from {expected} up to {start} are missing before it"),
                ),
                false => self.problem(
                    Kind::Overlap,
                    &name,
                    format!("it starts at {start}, and the file before it ends at {expected}"),
                ),
            };
            problem.of_source(chain.source())
        };
        chain.breaks().into_iter().map(of).collect()
    }
}

fn rows(metadata: &ParquetMetaData) -> u64 {
    u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0)
}
