//! Defines what a check says: problems of a closed list of kinds, and what was looked at.

use serde::{Serialize, Serializer};

/// What can be wrong with a table. The order is that of a report; a kind's name in JSON is its own in kebab-case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The catalog has no such table, or not its rejected sibling.
    MissingTable,
    /// The table's folder has files and no `_ticklake/id`.
    MissingId,
    /// A note under `_ticklake/` cannot be read.
    BrokenNote,
    /// A DDL that links were written under is not in `_ticklake/spec/`.
    MissingSpec,
    /// A link does not start where the one before it ends, or is gone when it is to be read: a file is lost.
    Gap,
    /// A link starts below the end of the one before it: a file is foreign or doubled.
    Overlap,
    /// A file that is no link.
    ForeignFile,
    /// A folder with files that is no partition's.
    ForeignFolder,
    /// A link whose footer is another name's.
    RenamedFile,
    /// A link that is no whole Parquet file.
    BrokenFile,
    /// A file that the store lists and does not give.
    UnreadableFile,
    /// A file whose columns are not the catalog's.
    OtherSchema,
    /// A link of another cluster or topic than the others of its source.
    OtherTopic,
    /// A partition has links and is not in the catalog.
    UnregisteredPartition,
    /// The catalog has a partition at another place than the table's.
    PartitionElsewhere,
    /// The catalog has a partition in which no file is.
    EmptyPartition,
    /// The catalog has a partition that no path can name.
    ImpossiblePartition,
    /// The topic that the links were written from is not there any more.
    MissingTopic,
    /// A chain ends beyond the end of its source.
    BeyondTheEnd,
    /// A link has other rows than the records in its range give.
    OtherRowCount,
    /// Rows of records below the committed offset are in no link.
    MissingRows,
}

impl Kind {
    /// What the kind means, for a heading.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::MissingTable => "the catalog does not have the table",
            Self::MissingId => "the table's folder has lost its id",
            Self::BrokenNote => "a note cannot be read",
            Self::MissingSpec => "a DDL that files were written under is gone",
            Self::Gap => "a file is lost",
            Self::Overlap => "files cover the same offsets",
            Self::ForeignFile => "a file is no link of a chain",
            Self::ForeignFolder => "a folder is no partition's",
            Self::RenamedFile => "a file has another's name",
            Self::BrokenFile => "a file is damaged",
            Self::UnreadableFile => "a file cannot be read",
            Self::OtherSchema => "a file has other columns than the catalog",
            Self::OtherTopic => "a file is of another topic",
            Self::UnregisteredPartition => "a partition is not in the catalog",
            Self::PartitionElsewhere => "the catalog has a partition at another place",
            Self::EmptyPartition => "the catalog has a partition without a file",
            Self::ImpossiblePartition => "the catalog has a partition that cannot be",
            Self::MissingTopic => "the topic is not there",
            Self::BeyondTheEnd => "a chain ends beyond the end of its topic",
            Self::OtherRowCount => "a file has other rows than its records give",
            Self::MissingRows => "rows of committed records are in no file",
        }
    }

    /// What to do about it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::MissingTable => {
                "run `ticklake ingest` with the table's DDL and location, which makes both tables and registers what is \
                 there; where only the rejected one is missing, `ticklake table repair` makes it"
            }
            Self::MissingId => {
                "restore it; without it the next ingest makes a new one and reads the topic from its beginning, which \
                 doubles no row"
            }
            Self::BrokenNote => "restore it, or remove it: the next ingest notes its topics anew",
            Self::MissingSpec => {
                "restore it from the DDL that wrote those files; until then an ingest that needs it is refused"
            }
            Self::Gap => {
                "restore the file. Where Kafka still has the records: move the files of this chain that follow out of the \
                 table's folder, and run ingest once with another --group and --until-end"
            }
            Self::Overlap => {
                "rows may be there twice: find out who put the file there, and move the one that does not belong out of \
                 the table's folder"
            }
            Self::ForeignFile | Self::ForeignFolder => {
                "move it out of the table's folder: some engines read it as a part of the table"
            }
            Self::RenamedFile => {
                "give it its own name back, or move it out of the table's folder if it is a copy: its rows are there twice"
            }
            Self::BrokenFile => {
                "restore the file: queries of the partition fail. Where Kafka still has the records: move it and the files \
                 of its chain that follow out of the table's folder, and run ingest once with another --group and \
                 --until-end"
            }
            Self::UnreadableFile => {
                "see what the store says: an archived object is to be restored, a right that is missing to be granted. \
                 Queries of the partition fail until then, and so does an ingest that goes on from this file. Then verify \
                 again"
            }
            Self::OtherSchema => {
                "move it out of the table's folder if it is foreign; else make the table in the catalog anew with the \
                 columns that its files have"
            }
            Self::OtherTopic => {
                "its offsets mean other records: move it out of the table's folder if it is foreign. A topic that was moved \
                 or made anew is read with --source-epoch one higher"
            }
            Self::UnregisteredPartition => "run `ticklake table repair`",
            Self::PartitionElsewhere => {
                "rows in the table's folder are not seen: drop the partition from the catalog with the catalog's own tools, \
                 then run `ticklake table repair`"
            }
            Self::EmptyPartition => {
                "restore its files if there were any; else drop the partition from the catalog with the catalog's own tools"
            }
            Self::ImpossiblePartition => "drop the partition from the catalog with the catalog's own tools",
            Self::MissingTopic => {
                "check --brokers and the topic's name. A topic that was moved or made anew is read with --source-epoch one \
                 higher"
            }
            Self::BeyondTheEnd => {
                "the topic lost records, or was made anew: see what happened to it; new chains begin with --source-epoch one \
                 higher"
            }
            Self::OtherRowCount => {
                "move this file and the files of its chain that follow out of the table's folder, and run ingest once with \
                 another --group and --until-end, which writes them anew"
            }
            Self::MissingRows => {
                "run ingest once with another --group and --until-end: it writes what is missing, and doubles no row"
            }
        }
    }
}

/// One thing that is wrong.
///
/// * `partition` and `file` are relative to the location of `table`, which may be the rejected sibling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    pub kind: Kind,
    pub table: String,
    pub partition: Option<String>,
    pub file: Option<String>,
    /// `TOPIC-PARTITION`, with `-eEPOCH` where that is not 0.
    pub source: Option<String>,
    pub detail: String,
    pub fix: Fix,
}

/// The kind's own, so that a reader of JSON need not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fix(Kind);

impl Serialize for Fix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.fix())
    }
}

impl Problem {
    pub(super) fn new(kind: Kind, table: &impl ToString, detail: impl Into<String>) -> Self {
        let (table, detail) = (table.to_string(), detail.into());
        Self { kind, table, partition: None, file: None, source: None, detail, fix: Fix(kind) }
    }

    #[must_use]
    pub(super) fn in_partition(self, path: &str) -> Self {
        Self { partition: Some(path.to_owned()), ..self }
    }

    /// `path` is relative to the table's location.
    #[must_use]
    pub(super) fn of_file(self, path: impl Into<String>) -> Self {
        Self { file: Some(path.into()), ..self }
    }

    #[must_use]
    pub(super) fn of_source(self, source: impl ToString) -> Self {
        Self { source: Some(source.to_string()), ..self }
    }
}

/// What was looked at, in the table and in its rejected sibling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub partitions: u64,
    /// Those that can be read.
    pub links: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Links beside those whose rows have left the table (`ticklake table expire`).
    pub expired: u64,
}

/// One source that links were written from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceLine {
    pub topic: String,
    pub partition: i32,
    pub epoch: u32,
    /// Above 0 where its rows were rejected records first, and that replay made them rows.
    #[serde(skip_serializing_if = "is_zero")]
    pub replay: u32,
    pub links: u64,
    /// The greatest end of its chains.
    pub chain_end: i64,
    /// Only where the records were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What of a source was compared with its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The records from here on, since the ones before are gone from Kafka;
    pub from: i64,
    /// and up to here.
    pub to: i64,
    pub records: u64,
    /// Below it, rows that are in no link are missing. None where the group has committed nothing for this table.
    pub committed: Option<i64>,
}

/// Records that were skipped on purpose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct GapLine {
    pub topic: String,
    pub partition: i32,
    pub epoch: u32,
    pub from: i64,
    pub to: i64,
    pub why: String,
}

/// All that a check says. As JSON it is what `ticklake verify --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub table: String,
    /// None where the catalog does not have the table.
    pub location: Option<String>,
    pub checked: Checked,
    pub sources: Vec<SourceLine>,
    pub gaps: Vec<GapLine>,
    /// By kind, then by place.
    pub problems: Vec<Problem>,
}
