//! Turns a CSV file with a header into JSON objects, a line each.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::feed::{Batch, Records};
use super::json;
use crate::error::{Error, Result};

/// RFC 4180 with a comma, in UTF-8 (a byte order mark is skipped). Holds one record in memory.
pub(super) struct CsvRecords {
    path: PathBuf,
    reader: Reader<File>,
    /// `{"Name":`, then `,"Name":` for each further column.
    heads: Vec<Vec<u8>>,
    /// Which column is the key.
    key: Option<usize>,
    record: StringRecord,
    file_bytes: u64,
}

/// The reader does not count a byte order mark.
const BOM_BYTES: u64 = 3;

impl CsvRecords {
    /// Opens the file and reads its header. A column name that is there twice, and a key that is no column, are refused.
    pub(super) fn open(path: &Path, key: Option<&str>) -> Result<Self> {
        let file = File::open(path).map_err(|e| {
            Error::usage("the CSV file cannot be opened").with("file", path.display()).because(e)
        })?;
        let file_bytes = file.metadata().map_or(0, |metadata| metadata.len());
        let mut reader = ReaderBuilder::new().from_reader(file);
        let header = reader.headers().map_err(|e| broken(path, &e))?;
        if header.is_empty() {
            return Err(Error::usage("the CSV file is empty; its first line has to name the columns")
                .with("file", path.display()));
        }
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
        Ok(Self { path: path.to_owned(), reader, heads, key, record: StringRecord::new(), file_bytes })
    }
}

impl CsvRecords {
    /// Whether the last record of the file has a quote without its other half: the reader takes all that follows for one
    /// field, without a word.
    fn is_open_quote(&self) -> Result<bool> {
        let start = self.record.position().map_or(0, csv::Position::byte);
        let quotes = || -> std::io::Result<usize> {
            let mut file = BufReader::new(File::open(&self.path)?);
            file.seek(SeekFrom::Start(start))?;
            let mut quotes = 0;
            for byte in file.bytes() {
                quotes += usize::from(byte? == b'"');
            }
            Ok(quotes)
        };
        let quotes = quotes().map_err(|e| {
            Error::usage("the CSV file cannot be read").with("file", self.path.display()).because(e)
        })?;
        Ok(quotes % 2 == 1)
    }
}

impl Records for CsvRecords {
    fn fill(&mut self, batch: &mut Batch) -> Result<()> {
        while !batch.is_full() {
            if !self.reader.read_record(&mut self.record).map_err(|e| broken(&self.path, &e))? {
                break;
            }
            if self.reader.position().byte() + BOM_BYTES >= self.file_bytes && self.is_open_quote()? {
                return Err(Error::usage("a quote in the CSV file is opened and never closed; close it")
                    .with("file", self.path.display())
                    .with("line", self.record.position().map_or(0, csv::Position::line)));
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

fn broken(path: &Path, e: &csv::Error) -> Error {
    let error = match e.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => Error::usage(format!(
            "a line of the CSV file has {len} fields where the header has {expected_len}; mend the line"
        )),
        ErrorKind::Utf8 { err, .. } => Error::usage(
            "a line of the CSV file is not UTF-8; convert the file, as with iconv -f LATIN1 -t UTF-8",
        )
        .because(err.clone()),
        _ => Error::usage("the CSV file cannot be read").because(e.to_string()),
    };
    let error = error.with("file", path.display());
    match e.position() {
        Some(position) => error.with("line", position.line()),
        None => error,
    }
}
