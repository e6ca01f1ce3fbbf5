//! Turns a CSV file with a header into JSON objects, a line each.

use std::fs::File;
use std::io::{Chain, Read};
use std::path::{Path, PathBuf};

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::feed::{Batch, Records};
use super::json;
use crate::error::{Error, Result};

/// RFC 4180 with a comma, in UTF-8 (a byte order mark is skipped). Holds one record in memory.
pub(super) struct CsvRecords {
    path: PathBuf,
    reader: Reader<Chain<File, &'static [u8]>>,
    /// `{"Name":`, then `,"Name":` for each further column.
    heads: Vec<Vec<u8>>,
    /// Which column is the key.
    key: Option<usize>,
    record: StringRecord,
}

/// Read behind the file as a line of its own. Where it is found in a field, that field's quote was never closed: the
/// reader would take all that follows for one field, without a word.
const END: &str = "\u{4}end of the file\u{4}";
const END_LINE: &[u8] = b"\n\x04end of the file\x04";

impl CsvRecords {
    /// Opens the file and reads its header. A column name that is there twice, and a key that is no column, are refused.
    pub(super) fn open(path: &Path, key: Option<&str>) -> Result<Self> {
        let file = File::open(path).map_err(|e| {
            Error::usage("the CSV file cannot be opened").with("file", path.display()).because(e)
        })?;
        // Flexible, as the end's line has one field; `fill` counts them.
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(file.chain(END_LINE));
        let header = reader.headers().map_err(|e| broken(path, &e))?;
        if is_end(header) {
            return Err(Error::usage("the CSV file is empty; its first line has to name the columns")
                .with("file", path.display()));
        }
        must_be_closed(path, header)?;
        let mut heads: Vec<Vec<u8>> = Vec::new();
        for (i, name) in header.iter().enumerate() {
            if header.iter().take(i).any(|earlier| earlier == name) {
                return Err(Error::usage("the CSV header has a column twice; rename one")
                    .with("column", name)
                    .with("file", path.display()));
            }
            let mut head = vec![if i == 0 { b'{' } else { b',' }];
            json::write_string(&mut head, name);
            head.push(b':');
            heads.push(head);
        }
        let key = match key {
            None => None,
            Some(key) => Some(header.iter().position(|name| name == key).ok_or_else(|| {
                Error::usage("the key is not a column of the CSV file")
                    .with("key", key)
                    .with("columns", header.iter().collect::<Vec<_>>().join(", "))
                    .with("file", path.display())
            })?),
        };
        Ok(Self { path: path.to_owned(), reader, heads, key, record: StringRecord::new() })
    }
}

impl Records for CsvRecords {
    fn fill(&mut self, batch: &mut Batch) -> Result<()> {
        while !batch.is_full() {
            let more = self.reader.read_record(&mut self.record).map_err(|e| broken(&self.path, &e))?;
            if !more || is_end(&self.record) {
                break;
            }
            must_be_closed(&self.path, &self.record)?;
            if self.record.len() != self.heads.len() {
                let told = format!(
                    "a line of the CSV file has {} fields where the header has {}; mend the line",
                    self.record.len(),
                    self.heads.len()
                );
                return Err(at(&self.path, self.record.position(), Error::usage(told)));
            }
            let key = self.key.map(|column| &self.record[column]).filter(|key| !key.is_empty());
            batch.push_with(key.map(str::as_bytes), |out| {
                for (head, field) in self.heads.iter().zip(&self.record) {
                    out.extend_from_slice(head);
                    json::write_field(out, field);
                }
                out.push(b'}');
            });
        }
        Ok(())
    }
}

fn is_end(record: &StringRecord) -> bool {
    record.len() == 1 && &record[0] == END
}

fn must_be_closed(path: &Path, record: &StringRecord) -> Result<()> {
    match record.iter().next_back() {
        Some(last) if last.ends_with(END) => {
            let e = Error::usage("a quote in the CSV file is opened and never closed; close it");
            Err(at(path, record.position(), e))
        }
        _ => Ok(()),
    }
}

fn broken(path: &Path, e: &csv::Error) -> Error {
    let error = match e.kind() {
        ErrorKind::Utf8 { err, .. } => Error::usage(
            "a line of the CSV file is not UTF-8; convert the file, as with iconv -f LATIN1 -t UTF-8",
        )
        .because(err.clone()),
        _ => Error::usage("the CSV file cannot be read").because(e.to_string()),
    };
    at(path, e.position(), error)
}

fn at(path: &Path, position: Option<&csv::Position>, error: Error) -> Error {
    let error = error.with("file", path.display());
    match position {
        Some(position) => error.with("line", position.line()),
        None => error,
    }
}
