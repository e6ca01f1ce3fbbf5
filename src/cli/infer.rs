//! `ticklake table infer`: a DDL out of samples of a file or a topic. The DDL goes to stdout, what became of the samples to
//! stderr.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::HumanCount;
use serde_json::value::RawValue;

use super::ingest::{find_table, is_file};
use super::table::read_ddl;
use super::terminal::{Stdout, counted, unwritable};
use super::{block_on, connection, open_existing, signals};
use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::infer::{Inferred, Wish, extend, infer};
use crate::ingest::trial::Tally;
use crate::kafka::{Connection, Reader};
use crate::produce;
use crate::table::TableName;
use crate::table::pointer::Pointer;

/// So much of a file is read.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// The group that a look at a topic is of: nothing is committed, and no group is joined.
const GROUP: &str = "ticklake-infer";

#[derive(Debug, Args)]
pub struct InferArgs {
    /// JSON, a record or an array of them a line or one after another, or a CSV file with a header (.csv); - is stdin
    #[arg(value_name = "FILE|-", required_unless_present = "topic", conflicts_with = "topic")]
    file: Option<PathBuf>,
    /// Take the newest records of a topic; its consumers do not notice
    #[arg(long)]
    topic: Option<String>,
    /// From so many messages
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sample: u32,
    /// The table's name
    #[arg(long, value_name = "DB.TABLE", default_value = "market.ticks")]
    name: TableName,
    /// Objects within a record become structs [default: a column for each of their fields]
    #[arg(long)]
    structs: bool,
    /// Where in a message the records are [default: found]
    #[arg(long, value_name = "/POINTER")]
    records: Option<Pointer>,
    /// Only messages that match, as in '/channel = "trade"'
    #[arg(long, value_name = "/POINTER = SCALAR")]
    messages: Option<String>,
    /// Only records that match, as in '/type = "trade"'
    #[arg(long, value_name = "/POINTER = SCALAR")]
    only: Option<String>,
    /// The field that is the symbol [default: found by its name]
    #[arg(long, value_name = "/POINTER")]
    symbol: Option<Pointer>,
    /// The field that is the time of the event [default: found by its name and values]
    #[arg(long, value_name = "/POINTER")]
    time: Option<Pointer>,
    /// Print this table's DDL, with a column for each field that it takes nothing of, and say what it rejects
    #[arg(
        long,
        value_name = "DDL.sql|DB.NAME",
        conflicts_with_all = ["name", "records", "messages", "only", "symbol", "time"]
    )]
    diff: Option<String>,
    /// Print no DDL: how many of the samples it would reject, and why
    #[arg(long)]
    check: bool,
}

pub fn run(args: &InferArgs, settings: &Settings) -> Result<()> {
    block_on(async {
        signals::end_at_first()?;
        let count = args.sample as usize;
        let messages = match (&args.topic, &args.file) {
            (Some(topic), _) => {
                let (connection, topic) = (connection(settings)?, topic.clone());
                blocking(move || of_topic(&connection, &topic, count)).await?
            }
            (None, Some(file)) => {
                let file = file.clone();
                blocking(move || of_file(&file, count)).await?
            }
            (None, None) => unreachable!("clap wants one of them"),
        };
        let wish = Wish {
            name: args.name.clone(),
            structs: args.structs,
            messages: args.messages.clone(),
            only: args.only.clone(),
            records: args.records.clone(),
            symbol: args.symbol.clone(),
            time: args.time.clone(),
        };
        let table = match &args.diff {
            None => None,
            Some(file) if is_file(file) => Some(read_ddl(Path::new(file))?),
            Some(name) => Some(find_table(name, &open_existing(settings).await?.catalog, settings).await?),
        };
        let inferred = blocking(move || match table {
            None => infer(&messages, &wish),
            Some(ddl) => extend(&messages, &ddl, wish.structs),
        });
        let inferred = inferred.await?;
        let mut out = Stdout::buffered();
        match args.check {
            true => print_tally(&inferred.tally, &mut out),
            false => print(&inferred, &mut out),
        }
        .and_then(|()| out.flush())
        .map_err(unwritable)?;
        if !args.check {
            // Where stderr is closed there is nobody to tell.
            let _ = print_tally(&inferred.tally, &mut io::stderr());
        }
        Ok(())
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::new(Kind::System, "the samples were not looked at to their end").because(e))?
}

fn print(Inferred { ddl, notes, tally }: &Inferred, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "-- Inferred from {}; read it before you use it.", counted(tally.messages, "message"))?;
    for note in notes {
        writeln!(out, "-- {note}")?;
    }
    writeln!(out, "{ddl}")
}

fn print_tally(tally: &Tally, out: &mut impl Write) -> io::Result<()> {
    let Tally { messages, rows, skipped, rejected } = tally;
    writeln!(
        out,
        "{}: {}, {} skipped, {} rejected",
        counted(*messages, "message"),
        counted(*rows, "row"),
        HumanCount(*skipped),
        HumanCount(tally.all_rejected())
    )?;
    for ((reason, column), count) in rejected {
        match column {
            Some(column) => writeln!(out, "  {} {reason}, for column {column}", HumanCount(*count))?,
            None => writeln!(out, "  {} {reason}", HumanCount(*count))?,
        }
    }
    Ok(())
}

fn of_file(file: &Path, count: usize) -> Result<Vec<Vec<u8>>> {
    if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        return produce::first_records(&produce::Source::Csv(file.to_owned()), count);
    }
    let cannot = |e| Error::usage("the samples cannot be read").with("file", file.display()).because(e);
    let mut bytes = Vec::new();
    match file.as_os_str() == "-" {
        true => io::stdin().lock().take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(cannot)?,
        false => File::open(file)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
            .map_err(cannot)?,
    };
    if bytes.len() as u64 == FILE_BYTES_MAX {
        let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        bytes.truncate(end); // the last line is cut
    }
    Ok(messages(&bytes, count))
}

/// A message a line; of a text whose first line is no JSON of its own, a message for each value, or for each element of an
/// array that is all of it.
fn messages(bytes: &[u8], count: usize) -> Vec<Vec<u8>> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let is_blank = |line: &&[u8]| line.iter().all(u8::is_ascii_whitespace);
    let lines = || bytes.split(|byte| *byte == b'\n').filter(|line| !is_blank(line));
    let is_json = |line: &[u8]| serde_json::from_slice::<&RawValue>(line).is_ok();
    let by_line = || lines().take(count).map(<[u8]>::to_vec).collect();
    if lines().next().is_some_and(is_json) && lines().nth(1).is_some() {
        return by_line();
    }
    let values = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
    let values: Vec<&RawValue> = values.take(count).map_while(|value| value.ok()).collect();
    let elements = match &values[..] {
        [] => return by_line(), // whatever it is: it is told
        [whole] => serde_json::from_str::<Vec<&RawValue>>(whole.get()).ok(),
        _ => None,
    };
    let values = elements.unwrap_or(values);
    values.into_iter().take(count).map(|value| value.get().as_bytes().to_vec()).collect()
}

/// The newest messages.
fn of_topic(connection: &Connection, topic: &str, count: usize) -> Result<Vec<Vec<u8>>> {
    let reader = Reader::new(connection, GROUP)?;
    let found = reader.topic(topic)?.ok_or_else(|| {
        Error::new(Kind::Kafka, "the topic is not there: check its name").with("topic", topic)
    })?;
    let newest = reader.newest(topic, &found.partitions, count)?;
    let records = newest.iter().flat_map(|set| set.iter());
    let messages: Vec<_> = records.map(|record| record.value.unwrap_or_default().to_vec()).collect();
    if messages.is_empty() {
        return Err(Error::new(Kind::Kafka, "the topic holds no records").with("topic", topic));
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_lines_values_or_elements() {
        let of = |text: &str| {
            let messages = messages(text.as_bytes(), 3);
            messages.into_iter().map(|message| String::from_utf8(message).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of("{\"a\":1}\n\n{\"a\":2}\r\nbad\n{\"a\":3}\n"), ["{\"a\":1}", "{\"a\":2}\r", "bad"]);
        assert_eq!(of("\u{feff}[{\"a\":1},{\"a\":2}]\n"), ["{\"a\":1}", "{\"a\":2}"]);
        assert_eq!(of("[1]\n[2]\n"), ["[1]", "[2]"]);
        assert_eq!(of("{\n \"a\": 1\n}\n{\n \"a\": 2\n}"), ["{\n \"a\": 1\n}", "{\n \"a\": 2\n}"]);
        assert_eq!(of("[\n1,\n2,3,4]"), ["1", "2", "3"]);
        assert_eq!(of("{\"a\":1}"), ["{\"a\":1}"]);
        assert_eq!(of("nothing"), ["nothing"]);
        assert!(of("").is_empty());
    }
}
