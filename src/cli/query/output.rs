//! Decides in which form an answer goes where: stdout, or a file that appears when it is whole.

use std::fs::Permissions;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tempfile::NamedTempFile;

use crate::cli::terminal::{Stdout, unwritable};
use crate::error::{Error, Kind, Result};
use crate::query::Format;

#[derive(Debug, Args)]
pub struct OutputArgs {
    /// How rows are printed [default: table on a terminal, as the name of -o ends, else csv]
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// A file for the answer, which appears when it is whole
    #[arg(short = 'o', long = "to", value_name = "FILE")]
    to: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    Table,
    Csv,
    /// One JSON object a line
    Jsonl,
    Markdown,
    /// One file with the answer's types
    Parquet,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Table => Self::Table,
            FormatName::Csv => Self::Csv,
            FormatName::Jsonl => Self::JsonLines,
            FormatName::Markdown => Self::Markdown,
            FormatName::Parquet => Self::Parquet,
        }
    }
}

impl OutputArgs {
    /// Bytes that are no text are not written to a terminal.
    pub fn format(&self) -> Result<Format> {
        let on_terminal = self.to.is_none() && io::stdout().is_terminal();
        match self.format.map(Format::from) {
            Some(Format::Parquet) if on_terminal => Err(Error::usage(
                "Parquet is nothing to read on a terminal: name a file with -o FILE, or lead stdout into one",
            )),
            Some(format) => Ok(format),
            None if on_terminal => Ok(Format::Table),
            None => Ok(self.to.as_deref().and_then(format_of).unwrap_or(Format::Csv)),
        }
    }

    pub fn is_file(&self) -> bool {
        self.to.is_some()
    }

    pub fn open(&self) -> Result<Destination> {
        match &self.to {
            None => Ok(Destination::Stdout(Stdout::buffered())),
            Some(path) => Destination::file(path),
        }
    }
}

/// As the name of a file ends.
fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "csv" => Some(Format::Csv),
        "jsonl" | "ndjson" => Some(Format::JsonLines),
        "md" => Some(Format::Markdown),
        "parquet" => Some(Format::Parquet),
        "txt" => Some(Format::Table),
        _ => None,
    }
}

/// Where answers go.
pub enum Destination {
    Stdout(Stdout),
    /// Below another name, until it is finished.
    File {
        out: BufWriter<NamedTempFile>,
        path: PathBuf,
    },
}

impl Destination {
    fn file(path: &Path) -> Result<Self> {
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        // As any file that a user makes; the umask takes from it.
        let temporary = tempfile::Builder::new()
            .prefix(".ticklake-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|e| unmade(path, e))?;
        Ok(Self::File { out: BufWriter::new(temporary), path: path.to_owned() })
    }

    /// Writes what is held; a file gets its name.
    pub fn finish(self) -> Result<()> {
        match self {
            Self::Stdout(mut out) => out.flush().map_err(unwritable),
            Self::File { out, path } => {
                let temporary = out.into_inner().map_err(|e| unmade(&path, e.into_error()))?;
                temporary.persist(&path).map(drop).map_err(|e| unmade(&path, e.error))
            }
        }
    }
}

fn unmade(path: &Path, e: io::Error) -> Error {
    Error::new(Kind::System, "cannot write the answer to a file").with("file", path.display()).because(e)
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File { out, .. } => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File { out, .. } => out.flush(),
        }
    }
}
