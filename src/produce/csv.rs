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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use serde_json::{Map, Value};

    use super::*;

    /// A record's key and value.
    type KeyValue = (Option<Vec<u8>>, Vec<u8>);

    fn records(text: &[u8], key: Option<&str>) -> Result<Vec<KeyValue>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        let mut csv = CsvRecords::open(file.path(), key)?;
        let mut records = Vec::new();
        loop {
            let mut batch = Batch::new(3);
            csv.fill(&mut batch)?;
            if batch.is_empty() {
                return Ok(records);
            }
            records.extend(batch.iter().map(|(key, value)| (key.map(<[u8]>::to_vec), value.to_vec())));
        }
    }

    fn fields() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[-+]?[0-9]{0,3}[.]?[0-9]{0,2}",
            "[\",\r\n'\\\\ \u{4};]{0,6}",
            Just("end of the file".to_owned()),
        ]
    }

    proptest! {
        /// What a writer of CSV wrote is what the records say, field by field.
        #[test]
        fn a_line_is_an_object_of_its_fields(
            names in prop::collection::btree_set("[^\u{feff}]{0,5}", 2..4),
            lines in prop::collection::vec(prop::collection::vec(fields(), 4), 0..6),
            crlf: bool,
        ) {
            let names: Vec<&String> = names.iter().collect();
            let end = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
            let mut writer = csv::WriterBuilder::new().terminator(end).from_writer(Vec::new());
            writer.write_record(&names).unwrap();
            for line in &lines {
                writer.write_record(&line[..names.len()]).unwrap();
            }
            let read = records(&writer.into_inner().unwrap(), Some(names[0]));
            let read = read.map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(read.len(), lines.len());
            for ((key, value), line) in read.iter().zip(&lines) {
                prop_assert_eq!(key.as_deref(), Some(line[0].as_bytes()).filter(|key| !key.is_empty()));
                let object: Map<String, Value> = serde_json::from_slice(value).unwrap();
                prop_assert_eq!(object.len(), names.len());
                for (name, field) in names.iter().zip(line) {
                    match &object[*name] {
                        Value::Null => prop_assert_eq!(field, ""),
                        Value::String(text) => prop_assert_eq!(text, field),
                        Value::Number(_) => {
                            prop_assert!(serde_json::from_str::<&RawValue>(field).is_ok());
                            prop_assert!(String::from_utf8_lossy(value).contains(field.as_str()));
                        }
                        other => prop_assert!(false, "{} of {}", other, field),
                    }
                }
            }
        }

        /// Any file is lines of as many fields as its header names, or refused.
        #[test]
        fn any_file_is_records_or_refused(text in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[ab\",\r\n\u{4}\u{feff}]{0,30}".prop_map(String::into_bytes),
            "a,b\n([ab1]{0,2}[\",\r\n]){0,12}".prop_map(String::into_bytes),
        ]) {
            match records(&text, None) {
                Ok(records) => for (_, value) in records {
                    prop_assert!(serde_json::from_slice::<Map<String, Value>>(&value).is_ok());
                },
                Err(e) => prop_assert!(matches!(e.kind(), crate::error::Kind::Usage), "{}", e),
            }
        }
    }
}
