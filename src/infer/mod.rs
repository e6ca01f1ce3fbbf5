//! A table's DDL out of samples of its feed, by `ticklake table infer`.
//!
//! ```text
//! samples ─▶ shape: what stands where ─▶ columns: types that hold it ─▶ DDL ─▶ decoded by it: what is rejected gets a
//!            wider type, until nothing is
//! ```
//!
//! The samples decide by the job's own decoder: each of them that is a record at all is a row of the table. The same
//! samples in the same order give the same DDL. Memory: the samples, twice.

mod columns;
mod extend;
mod names;
mod shape;
mod times;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use serde_json::value::RawValue;

use self::columns::{Choice, Leaf, comment, leaves};
pub use self::extend::extend;
use self::names::{column_name, distinct, symbol_rank, time_rank};
use self::shape::{Shape, array, object};
use crate::error::{Error, Result};
use crate::ingest::trial::{self, Outcome, Tally, trial};
use crate::kafka::{RecordSet, TopicPartition};
use crate::table::columns::Column;
use crate::table::ddl::Property;
use crate::table::pointer::Pointer;
use crate::table::spec::Format;
use crate::table::{ColumnType, Ddl, TableName};

/// How far into a message an array of records is looked for.
const RECORDS_DEPTH: usize = 3;

/// What is wanted of a table, and what is known of its feed.
#[derive(Clone, Debug)]
pub struct Wish {
    pub name: TableName,
    /// Objects are structs; else each of their fields is a column.
    pub structs: bool,
    /// Only messages that this matches hold records of the table's: `POINTER = JSON-SCALAR`.
    pub messages: Option<String>,
    /// Only records that this matches are the table's, in the same form.
    pub only: Option<String>,
    /// Where the record, or the array of records, is in a message; else it is found.
    pub records: Option<Pointer>,
    /// The field that is the symbol, and the one that is the event time; else they are found.
    pub symbol: Option<Pointer>,
    pub time: Option<Pointer>,
}

/// A DDL, and what was seen and decided on the way to it.
#[derive(Clone, Debug)]
pub struct Inferred {
    pub ddl: Ddl,
    /// What was decided and why, a line each.
    pub notes: Vec<String>,
    /// What becomes of the samples by it.
    pub tally: Tally,
}

/// Infers a table's DDL from messages of its topic. An error of kind `Usage` if none of them is a record, or what is wished
/// for is not in them.
pub fn infer(messages: &[Vec<u8>], wish: &Wish) -> Result<Inferred> {
    let mut wish = wish.clone();
    let readable = readable(messages, wish.messages.as_deref())?;
    if wish.records.is_none() {
        let mut message = Shape::default();
        readable.iter().filter(|message| is_object(message)).for_each(|value| message.add(value));
        wish.records = Some(array_of_records(&message).unwrap_or_default());
    }
    let at = wish.records.clone().unwrap_or_default();
    let records = records(&readable, &at);
    let alone: Vec<Vec<u8>> = records.iter().map(|record| record.get().as_bytes().to_vec()).collect();
    let taken = taken(&alone, "ticklake.only", wish.only.as_deref())?;
    let mut record = Shape::default();
    taken.iter().for_each(|at| record.add(records[*at]));
    if record.objects == 0 {
        let what = match (wish.only.as_ref().or(wish.messages.as_ref()), at.is_root()) {
            (Some(_), _) => "no sample is a record that the condition matches",
            (None, false) => "no sample has a record there",
            (None, true) => "no sample is a record: a JSON object, or an array of them",
        };
        let mut error = Error::usage(what).with("samples", messages.len());
        if !at.is_root() {
            error = error.with("records at", at);
        }
        return Err(error);
    }
    let leaves = leaves(&record, wish.structs);
    if leaves.is_empty() {
        return Err(Error::usage("the samples' records have no fields").with("samples", messages.len()));
    }
    let mut plan = Plan { leaves, wider: BTreeMap::new(), no_symbols: BTreeSet::new() };
    loop {
        let draft = plan.draft(&wish)?;
        // The records stand alone here, without what is around them.
        let mut of_records = draft.ddl.clone();
        of_records
            .properties
            .retain(|p| !["ticklake.records", "ticklake.messages"].contains(&p.key.as_str()));
        let tried = tally(&alone, &of_records)?;
        if !plan.widen(&draft, &tried) {
            let tally = tally(messages, &draft.ddl)?;
            return Ok(Inferred { ddl: draft.ddl, notes: draft.notes, tally });
        }
    }
}

/// What becomes of messages by a DDL.
pub fn tally(messages: &[Vec<u8>], ddl: &Ddl) -> Result<Tally> {
    let mut tally = Tally::default();
    tally.add(ddl, &set(messages), |_| {})?;
    Ok(tally)
}

fn set(messages: &[Vec<u8>]) -> RecordSet {
    let mut set = RecordSet::new(TopicPartition::new("samples", 0), 1);
    for (offset, message) in messages.iter().enumerate() {
        set.push(offset as i64, None, None, Some(message));
    }
    set
}

/// The messages that hold a record which the decoder can read, and that a condition matches.
fn readable<'a>(messages: &'a [Vec<u8>], only: Option<&str>) -> Result<Vec<&'a RawValue>> {
    let taken = taken(messages, "ticklake.messages", only)?;
    let message = |at: usize| serde_json::from_slice(trial::message(&messages[at])).ok();
    Ok(taken.into_iter().filter_map(message).collect())
}

/// Which messages have rows in a table that takes any record, or those of one condition.
fn taken(messages: &[Vec<u8>], key: &str, only: Option<&str>) -> Result<BTreeSet<usize>> {
    let mut any = Ddl::parse(
        "CREATE EXTERNAL TABLE a.a (at bigint) PARTITIONED BY (d string) STORED AS PARQUET \
         TBLPROPERTIES ('ticklake.partition.d' = 'day(@timestamp)', 'ticklake.source.at' = '@offset')",
    )?;
    any.properties.extend(only.map(|only| property(key, only)));
    let outcomes = trial(&any, &set(messages))?.into_iter();
    Ok(outcomes
        .filter_map(|outcome| match outcome {
            Outcome::Row { row, .. } => Some(row.column(0).as_primitive::<Int64Type>().value(0) as usize),
            Outcome::Skipped | Outcome::Rejected { .. } => None,
        })
        .collect())
}

/// The records of messages, each apart: the elements of an array; of an object what is there within it.
fn records<'a>(messages: &[&'a RawValue], at: &Pointer) -> Vec<&'a RawValue> {
    let found = messages.iter().filter_map(|message| {
        let within = if is_object(message) { at.tokens() } else { &[] };
        within.iter().try_fold(*message, |value, name| {
            let fields = if is_object(value) { object(value.get()) } else { Vec::new() };
            fields.into_iter().find(|(field, _)| field == name).map(|(_, value)| value)
        })
    });
    found.flat_map(elements).filter(|record| is_object(record)).collect()
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

fn elements(value: &RawValue) -> Vec<&RawValue> {
    match value.get().starts_with('[') {
        true => array(value.get()),
        false => vec![value],
    }
}

/// Where a message holds an array of records, which say what is traded or when, as the message itself does not.
fn array_of_records(message: &Shape) -> Option<Pointer> {
    let is_named = |shape: &Shape, rank: fn(&str) -> Option<usize>| {
        shape
            .fields
            .iter()
            .any(|(name, value)| rank(name).is_some() && value.objects == 0 && value.arrays == 0)
    };
    if is_named(message, symbol_rank) {
        return None;
    }
    let mut open = vec![(Vec::new(), message)];
    for _ in 0..RECORDS_DEPTH {
        let mut deeper = Vec::new();
        for (path, shape) in open {
            for (name, value) in shape.fields.iter().filter(|(_, value)| value.kinds() == 1) {
                let path: Vec<String> = [&path[..], &[name.to_owned()]].concat();
                let elements = value
                    .elements
                    .as_deref()
                    .filter(|elements| elements.kinds() == 1 && elements.objects > 0);
                if elements.is_some_and(|e| is_named(e, symbol_rank) || is_named(e, time_rank)) {
                    return Some(pointer(&path));
                }
                deeper.push((path, value));
            }
        }
        open = deeper;
    }
    None
}

fn pointer(path: &[String]) -> Pointer {
    path.iter().fold(Pointer::default(), |pointer, name| pointer.child(name))
}

fn property(key: impl Into<String>, value: impl Into<String>) -> Property {
    Property { key: key.into(), value: value.into(), line: 0 }
}

/// What is decided so far.
struct Plan {
    leaves: Vec<Leaf>,
    /// By leaf: so many of its choices did not hold.
    wider: BTreeMap<usize, usize>,
    /// Leaves that cannot be the symbol, as some values name no partition.
    no_symbols: BTreeSet<usize>,
}

struct Draft {
    ddl: Ddl,
    notes: Vec<String>,
    /// The leaf of each column, and of the partition of the symbol.
    leaves: BTreeMap<String, usize>,
    symbol: Option<usize>,
}

const DATE: &str = "date";
const SYMBOL: &str = "symbol";

impl Plan {
    fn choice(&self, leaf: usize) -> &Choice {
        let choices = &self.leaves[leaf].choices;
        &choices[self.wider.get(&leaf).copied().unwrap_or(0).min(choices.len() - 1)]
    }

    /// Gives what was rejected wider types; false if nothing was, or nothing can be done about it.
    fn widen(&mut self, draft: &Draft, tried: &Tally) -> bool {
        let mut widened = BTreeSet::new();
        for (_, column) in tried.rejected.keys() {
            let Some(column) = column else { continue };
            if let Some(leaf) = draft.leaves.get(column).filter(|leaf| widened.insert(**leaf)) {
                let wider = self.wider.entry(*leaf).or_default();
                if *wider + 1 < self.leaves[*leaf].choices.len() {
                    *wider += 1;
                } else {
                    widened.remove(leaf);
                }
            } else if let Some(leaf) = draft.symbol.filter(|_| column == SYMBOL) {
                widened.extend(self.no_symbols.insert(leaf).then_some(leaf));
            }
        }
        !widened.is_empty()
    }

    fn draft(&self, wish: &Wish) -> Result<Draft> {
        let symbol = self.symbol(wish)?;
        let time = self.time(wish)?;
        let mut notes = Vec::new();
        let mut properties = vec![property("parquet.compression", "ZSTD")];
        let mut taken = HashSet::from([DATE.to_owned()]);
        taken.extend(symbol.map(|_| SYMBOL.to_owned()));
        let mut columns = Vec::new();
        let mut of_column = BTreeMap::new();
        let mut sources = Vec::new();
        let mut time_column = None;
        let mut sort = None;
        for (at, leaf) in self.leaves.iter().enumerate() {
            // The symbol is in the path of each file, and no column beside, unless there would be none.
            if symbol == Some(at) && self.leaves.len() > 1 {
                continue;
            }
            let choice = self.choice(at);
            let name = distinct(column_name(&leaf.path), &mut taken);
            let said = comment(leaf, choice);
            let column_type = match choice {
                Choice::Plain(column_type) | Choice::Time { column_type, .. } => column_type.clone(),
            };
            of_column.insert(name.clone(), at);
            if self.needs_pointer(leaf, &name) {
                sources.push(property(format!("ticklake.source.{name}"), pointer(&leaf.path).to_string()));
            }
            let mut finer = None;
            if let Choice::Time { format, is_finer, .. } = choice {
                sources.push(property(format!("ticklake.format.{name}"), text(format)));
                if *is_finer {
                    let fine = distinct(format!("{name}_ns"), &mut taken);
                    of_column.insert(fine.clone(), at);
                    sources
                        .push(property(format!("ticklake.source.{fine}"), pointer(&leaf.path).to_string()));
                    sources.push(property(format!("ticklake.format.{fine}"), text(format)));
                    let comment = Some(format!("`{name}` with all its digits: nanoseconds since the epoch"));
                    finer = Some(Column { name: fine, column_type: ColumnType::BigInt, comment });
                }
            }
            if time == Some(at) {
                time_column = Some(name.clone());
                sort = Some(finer.as_ref().map_or(&name, |finer| &finer.name).clone());
            }
            columns.push(Column { name, column_type, comment: said });
            columns.extend(finer);
        }
        let mut partitioned_by = vec![DATE];
        match (time, &time_column) {
            (Some(leaf), Some(column)) => {
                properties.push(property("ticklake.partition.date", format!("day({column})")));
                notes.push(format!(
                    "the event time is {}: {}",
                    pointer(&self.leaves[leaf].path),
                    self.why(leaf, wish.time.as_ref(), "time")
                ));
            }
            _ => {
                properties.push(property("ticklake.partition.date", "day(@timestamp)"));
                notes.push("no field is a time: the day is that of the Kafka timestamp".to_owned());
            }
        }
        match symbol {
            Some(leaf) => {
                let path = pointer(&self.leaves[leaf].path);
                properties.push(property("ticklake.partition.symbol", format!("identity({path})")));
                notes.push(format!("the symbol is {path}: {}", self.why(leaf, wish.symbol.as_ref(), "symbol")));
                partitioned_by.push(SYMBOL);
            }
            None => notes.push(
                "no field has a name of a symbol's, or its values name no folder: partitioned by day alone; name one \
                 with --symbol /FIELD"
                    .to_owned(),
            ),
        }
        if let Some(records) = wish.records.as_ref().filter(|records| !records.is_root()) {
            properties.push(property("ticklake.records", records.to_string()));
            notes.push(format!(
                "a message holds its records at {records}; what is around them is in no column"
            ));
        }
        properties.extend(wish.messages.as_deref().map(|only| property("ticklake.messages", only)));
        properties.extend(wish.only.as_deref().map(|only| property("ticklake.only", only)));
        properties.extend(sources);
        properties.extend(sort.map(|column| property("ticklake.sort", column)));
        let partitioned_by = partitioned_by.into_iter().map(|name| Column {
            name: name.to_owned(),
            column_type: ColumnType::String,
            comment: None,
        });
        let ddl = Ddl {
            name: wish.name.clone(),
            columns,
            comment: None,
            partitioned_by: partitioned_by.collect(),
            location: None,
            properties,
        };
        Ok(Draft { ddl, notes, leaves: of_column, symbol })
    }

    /// A column finds its field by its name alone where no other field has that, in whatever case.
    fn needs_pointer(&self, leaf: &Leaf, column: &str) -> bool {
        let [field] = &leaf.path[..] else { return true };
        let is_alike = |other: &Leaf| other.path[0].eq_ignore_ascii_case(field);
        field.to_ascii_lowercase() != *column
            || self.leaves.iter().filter(|other| is_alike(other)).count() > 1
    }

    fn symbol(&self, wish: &Wish) -> Result<Option<usize>> {
        if let Some(wished) = &wish.symbol {
            return self.find(wished, "symbol").map(Some);
        }
        let rank = |at: usize| {
            let Leaf { path, shape, .. } = &self.leaves[at];
            let rank = symbol_rank(path.last()?)?;
            let is_time = matches!(self.choice(at), Choice::Time { .. });
            let is_text = shape.texts.count > 0 && shape.numbers.count == 0;
            // A number of one letter is a size.
            let is_number =
                shape.numbers.count > 0 && shape.numbers.beyond_i64 == 0 && path.last()?.len() > 1;
            let is_one = shape.kinds() == 1 && !is_time && (is_text || is_number);
            (is_one && !self.no_symbols.contains(&at)).then_some((rank, path.len(), at))
        };
        Ok((0..self.leaves.len()).filter_map(rank).min().map(|(.., at)| at))
    }

    fn time(&self, wish: &Wish) -> Result<Option<usize>> {
        if let Some(wished) = &wish.time {
            let at = self.find(wished, "time")?;
            return match self.choice(at) {
                Choice::Time { .. } => Ok(Some(at)),
                Choice::Plain(_) => {
                    Err(Error::usage("its values are no times of a form that is known").with("field", wished))
                }
            };
        }
        let rank = |at: usize| {
            let Leaf { path, shape, of, .. } = &self.leaves[at];
            let is_time = matches!(self.choice(at), Choice::Time { .. });
            let rank = time_rank(path.last()?).unwrap_or(usize::MAX);
            let is_rare = 2 * (shape.seen - shape.nulls) < *of;
            is_time.then_some((is_rare, rank, path.len(), at))
        };
        Ok((0..self.leaves.len()).filter_map(rank).min().map(|(.., at)| at))
    }

    fn find(&self, wished: &Pointer, what: &str) -> Result<usize> {
        let found = self.leaves.iter().position(|leaf| leaf.path == wished.tokens());
        found.ok_or_else(|| {
            let fields: Vec<String> =
                self.leaves.iter().map(|leaf| pointer(&leaf.path).to_string()).collect();
            Error::usage(format!("the samples have no such field for the {what}"))
                .with("field", wished)
                .with("they have", fields.join(" "))
        })
    }

    fn why(&self, leaf: usize, wished: Option<&Pointer>, what: &str) -> String {
        let name = self.leaves[leaf].path.last().map_or("", String::as_str);
        let is_named = if what == "time" { time_rank(name) } else { symbol_rank(name) }.is_some();
        match (wished, is_named) {
            (Some(_), _) => "as you say".to_owned(),
            (None, true) => format!(
                "by its name, and all its values are {}",
                if what == "time" { "times" } else { "fit for a folder" }
            ),
            (None, false) => "the first whose values are all times".to_owned(),
        }
    }
}

fn text(format: &Format) -> String {
    match format {
        Format::Strftime(pattern) => pattern.clone(),
        known => known.to_string(),
    }
}
