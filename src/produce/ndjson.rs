//! Hands on the lines of a file or of standard input as they are.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};

use super::Input;
use super::feed::{Batch, Records};
use super::json;
use crate::error::{Error, Result};

/// Far above any broker's limit for a record (1 MiB unless it was raised): a file without line ends is not read whole.
const LINE_BYTES_MAX: usize = 64 << 20;

const BUFFER_BYTES: usize = 256 << 10;

/// Lines, whatever their bytes are; a line that is not JSON is sent, too, only without a key. Holds one line in memory.
pub(super) struct NdjsonRecords {
    name: String,
    reader: BufReader<Box<dyn Read + Send>>,
    key: Option<String>,
    line: Vec<u8>,
    line_number: u64,
}

impl NdjsonRecords {
    pub(super) fn open(input: &Input, key: Option<&str>) -> Result<Self> {
        let (name, bytes): (_, Box<dyn Read + Send>) = match input {
            Input::Stdin => ("standard input".to_owned(), Box::new(stdin())),
            Input::File(path) => {
                let file = File::open(path).map_err(|e| {
                    Error::usage("the NDJSON file cannot be opened").with("file", path.display()).because(e)
                })?;
                (path.display().to_string(), Box::new(file))
            }
        };
        Ok(Self::new(name, bytes, key))
    }

    fn new(name: String, bytes: Box<dyn Read + Send>, key: Option<&str>) -> Self {
        let reader = BufReader::with_capacity(BUFFER_BYTES, bytes);
        Self { name, reader, key: key.map(str::to_owned), line: Vec::new(), line_number: 0 }
    }

    /// Reads a line without its end (`\n` or `\r\n`) into `self.line`; false at the end of the input.
    fn read_line(&mut self) -> Result<bool> {
        self.line.clear();
        self.line_number += 1;
        let mut limited = (&mut self.reader).take(LINE_BYTES_MAX as u64 + 1);
        let read = limited.read_until(b'\n', &mut self.line);
        let read = read.map_err(|e| self.broken("the input cannot be read").because(e))?;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        } else if self.line.len() > LINE_BYTES_MAX {
            return Err(self.broken("a line is longer than 64 MiB; a record has to be on a line of its own"));
        }
        Ok(read > 0)
    }

    fn broken(&self, what: &str) -> Error {
        Error::usage(what).with("input", &self.name).with("line", self.line_number)
    }
}

impl Records for NdjsonRecords {
    fn fill(&mut self, batch: &mut Batch) -> Result<()> {
        // A line that is not in the buffer yet may be a long time coming: what is in the batch goes now.
        while batch.is_empty() || (!batch.is_full() && self.reader.buffer().contains(&b'\n')) {
            if !self.read_line()? {
                break;
            }
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            let key = self.key.as_deref().and_then(|name| json::key(&self.line, name));
            batch.push_with(key.as_deref(), |out| out.extend_from_slice(&self.line));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it has at once, then fails: a read that a terminal or a pipe would have blocked in.
    struct Waits(&'static [u8]);

    impl Read for Waits {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(std::io::Error::other("it was waited for")),
                read => Ok(read),
            }
        }
    }

    #[test]
    fn whole_lines_go_before_the_next_is_waited_for() {
        let mut records = NdjsonRecords::new("test".into(), Box::new(Waits(b"a\n\nb\n\nc")), None);
        let mut batch = Batch::new(100);
        records.fill(&mut batch).unwrap();
        let values: Vec<_> = batch.iter().map(|(_, value)| value).collect();
        assert_eq!(values, [b"a", b"b"]);
        assert!(records.fill(&mut Batch::new(100)).is_err());
    }

    #[test]
    fn an_input_without_line_ends_is_not_read_whole() {
        let mut records = NdjsonRecords::new("test".into(), Box::new(std::io::repeat(b'x')), None);
        let error = records.fill(&mut Batch::new(100)).unwrap_err();
        assert!(error.to_string().contains("line is longer than 64 MiB"), "{error}");
        assert!(records.line.len() <= LINE_BYTES_MAX + 1);
    }
}
