//! Is the table whole? Walks the chains of a table and of its rejected sibling, and says what is wrong.
//!
//! ```text
//! committed offsets ─▶ walk ─▶ chains ─▶ sources ─▶ catalog ─▶ gaps ─▶ records
//! ```
//!
//! `walk` goes down to the partitions, `chains` looks at the links of each, `sources` compares links of one source with
//! each other, `catalog` with what is registered, and `records` with the topic. `repair` registers what is missing, and
//! `inventory` tells what each partition holds. `expire` alone takes something out of a table.
//!
//! Nothing else here changes a file, and a job may write meanwhile: each question is asked when its answer cannot blame a
//! writer. Offsets that are committed are read first, as their links are there from then on. Folders are listed before
//! the catalog is asked: what is registered without a file was registered since, and its folder is looked at again. A
//! link that is there and not registered may be on its way: the catalog is asked again until nothing has come for
//! `patience`. Which records were skipped, and which topic has the name, is asked when the files were looked at.
//!
//! Memory: the partitions, and with `records` three numbers a link.

mod catalog;
mod chains;
mod columns;
mod expire;
mod footers;
mod inventory;
mod records;
mod repair;
mod report;
mod sources;
mod walk;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use futures::TryStreamExt;

use self::chains::Looked;
pub use self::expire::{Committed, DayLine, Expired, Expiry, Tally as ExpiredTally, expire, ingested};
pub use self::footers::Footers;
pub use self::inventory::{FileLine, Holding, files, inventory, registered};
use self::records::Spans;
pub use self::repair::{RegisteredLine, Repaired, repair};
pub use self::report::{Checked, Compared, Fix, GapLine, Kind, Problem, Report, SourceLine};
use self::sources::{Notes, Sources};
use self::walk::{Found, walk};
use crate::catalog::Catalog;
use crate::error::{self, Error, Result};
use crate::ingest::{Side, Target, all_kept, open_targets, rejects_of};
use crate::kafka::Connection;
use crate::store::{Entry, Stores};
use crate::table::spec::Compression;
use crate::table::{Ddl, PartitionKey, TableName};

/// Partitions looked at at the same time.
const PARTITIONS: usize = 16;

/// How long a link may be on its way to the catalog.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What is to be checked.
#[derive(Clone, Debug)]
pub struct Check {
    pub table: TableName,
    pub catalog: Arc<dyn Catalog>,
    pub stores: Stores,
    /// Only partitions of these dates.
    pub dates: Option<Dates>,
    /// Compare with the topics' records.
    pub records: Option<Records>,
    /// How long what is not registered may be on its way; [`PATIENCE`] for the program.
    pub patience: Duration,
}

/// How the topics are reached.
#[derive(Clone, Debug)]
pub struct Records {
    pub connection: Connection,
    /// Whose committed offsets say what must be in the table.
    pub group: String,
}

/// Days, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dates {
    first: String,
    last: String,
}

impl Dates {
    /// Whether the day of a `date` partition is one of them. (One that is cut by the hour begins with its day.)
    fn contains(&self, value: &str) -> bool {
        let day = value.get(..self.first.len()).unwrap_or(value);
        (self.first.as_str()..=self.last.as_str()).contains(&day)
    }
}

impl FromStr for Dates {
    type Err = Error;

    /// `2026-11-01..2026-11-30`, or one day.
    fn from_str(text: &str) -> Result<Self> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let is_day = |day: &str| day.len() == 10 && NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok();
        if !is_day(first) || !is_day(last) || first > last {
            return Err(Error::usage(format!(
                "'{text}' is no range of dates: write FIRST..LAST, as 2026-11-01..2026-11-30"
            )));
        }
        Ok(Self { first: first.to_owned(), last: last.to_owned() })
    }
}

/// Checks a table. An error says that it could not be checked.
pub async fn verify(check: &Check) -> Result<Report> {
    let Some(ddl) = check.catalog.table(&check.table).await? else {
        return Ok(Report::without_table(&check.table));
    };
    check.can_be_checked(&ddl)?;
    let tables = check.open(&ddl).await?;
    let mut notes = Notes::read(&tables[0]).await?;
    let asked = match &check.records {
        Some(records) => Some(records::ask(records, &notes).await?),
        None => None,
    };
    let mut tally = Tally::new(&notes, asked.is_some());
    // Where one cannot be read, columns that were dropped are taken for ones that nobody knows.
    let older = match all_kept(&tables[0].folder).await {
        Err(e) if e.kind() == error::Kind::Protocol => Vec::new(),
        kept => kept?,
    };
    for (side, table) in [Side::Rows, Side::Rejected].into_iter().zip(&tables) {
        // The columns of rejected records are always the same.
        let older = if side == Side::Rows { &older[..] } else { &[] };
        let found = look_at(check, side, table, older, &mut tally).await?;
        let has_files = tally.checked.partitions > 0;
        let problems = catalog::compare(check, table, &found, has_files).await?;
        tally.problems.extend(problems);
    }
    notes.read_gaps(&tables[0]).await?;
    let Tally { checked, sources, spans, mut problems } = tally;
    problems.extend(notes.problems(&tables[0], checked.partitions > 0).await?);
    problems.extend(sources.missing_specs(&tables[0]).await?);
    let mut lines = sources.lines();
    if let (Some(asked), Some(spans)) = (asked, spans) {
        problems.extend(records::compare(check, &tables, &notes, asked, &sources, spans, &mut lines).await?);
    }
    problems.sort();
    // Files may be without their DDL, and records be not compared for it.
    problems.dedup_by(|a, b| a.kind == Kind::MissingSpec && b.kind == a.kind && a.file == b.file);
    Ok(Report {
        table: check.table.to_string(),
        location: Some(tables[0].folder.location().to_owned()),
        checked,
        sources: lines,
        gaps: notes.gap_lines(),
        problems,
    })
}

/// What was found so far, in both tables.
struct Tally {
    checked: Checked,
    sources: Sources,
    /// Kept to be compared with records.
    spans: Option<Spans>,
    problems: Vec<Problem>,
}

impl Tally {
    fn new(notes: &Notes, with_records: bool) -> Self {
        Self {
            checked: Checked::default(),
            sources: Sources::new(notes),
            spans: with_records.then(Spans::default),
            problems: Vec::new(),
        }
    }

    fn add(&mut self, side: Side, table: &Target, looked: Looked) {
        let has_left = !looked.links.is_empty() && looked.live().next().is_none();
        let Looked { key, links, unread, has_files, problems } = looked;
        self.problems.extend(problems);
        if let Some(spans) = &mut self.spans {
            spans.add_unread(side, &key, unread);
        }
        self.checked.partitions += u64::from(has_files && !has_left);
        for link in links {
            if link.has_left {
                self.checked.expired += 1;
            } else {
                self.checked.links += 1;
                self.checked.rows += link.rows;
                self.checked.bytes += link.bytes;
            }
            if let Some(detail) = self.sources.add(&link.footer) {
                let name = link.footer.chain.link_name(link.footer.start);
                let problem = Problem::new(Kind::OtherTopic, &table.name, detail);
                let problem = problem.in_partition(key.path()).of_file(format!("{}/{name}", key.path()));
                self.problems.push(problem.of_source(link.footer.chain.to_string()));
            }
            if let Some(spans) = &mut self.spans {
                spans.add(side, &key, &link);
            }
        }
    }
}

/// Looks at each partition of a table, in the order of paths; gives those that hold a file, and how many links.
async fn look_at(
    check: &Check,
    side: Side,
    table: &Target,
    older: &[Ddl],
    tally: &mut Tally,
) -> Result<BTreeMap<PartitionKey, usize>> {
    let looks = walk(table, check.dates.as_ref()).map_ok(|found| async move {
        match found {
            Found::Partition(key) => chains::look(table, older, key).await.map(Ok),
            Found::Foreign(problem) => Ok(Err(problem)),
        }
    });
    let mut looks = std::pin::pin!(looks.try_buffered(PARTITIONS));
    let mut found = BTreeMap::new();
    while let Some(looked) = looks.try_next().await? {
        match looked {
            Ok(looked) => {
                if looked.has_files {
                    found.insert(looked.key.clone(), looked.live().count());
                }
                tally.add(side, table, looked);
            }
            Err(problem) => tally.problems.push(problem),
        }
    }
    Ok(found)
}

impl Check {
    fn can_be_checked(&self, ddl: &Ddl) -> Result<()> {
        if ddl.partitioned_by.is_empty() {
            return Err(Error::usage("the table has no partition columns: it is none of ticklake's")
                .with("table", &self.table));
        }
        if let Some(of) = rejects_of(ddl) {
            return Err(Error::usage("a table of rejected records is checked with its table: name that")
                .with("its table", of));
        }
        self.can_be_dated(ddl)
    }

    fn can_be_dated(&self, ddl: &Ddl) -> Result<()> {
        if self.dates.is_some() && !ddl.partitioned_by.iter().any(|column| column.name == "date") {
            return Err(Error::usage("the table has no partition column `date`: leave --dates out")
                .with("table", &self.table));
        }
        Ok(())
    }

    /// The table and its rejected sibling; each with the columns that the catalog has.
    async fn open(&self, ddl: &Ddl) -> Result<[Target; 2]> {
        let location = ddl.location.as_deref().ok_or_else(|| {
            Error::usage("the table has no LOCATION in the catalog, so nobody knows where its files are")
                .with("table", &self.table)
        })?;
        // No file is written, so none is sorted and compressed.
        let mut tables = open_targets(ddl, location, &self.stores, Vec::new(), Compression::None).await?;
        if let Some(theirs) = self.catalog.table(&tables[1].name).await? {
            tables[1].ddl.columns = theirs.columns;
        }
        Ok(tables)
    }
}

impl Report {
    fn without_table(table: &TableName) -> Self {
        let problem = Problem::new(Kind::MissingTable, table, "it is not in the catalog");
        Self {
            table: table.to_string(),
            location: None,
            checked: Checked::default(),
            sources: Vec::new(),
            gaps: Vec::new(),
            problems: vec![problem],
        }
    }
}

/// An empty object is a folder's marker, as consoles leave them; an empty file of ours is a lost one.
fn is_marker(entry: &Entry) -> bool {
    entry.size_bytes == 0 && !entry.name.ends_with(".parquet")
}
