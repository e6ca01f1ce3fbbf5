//! Keeps what footers said, so that the next look at a table reads those of new files alone.
//!
//! Files never change, and those of a chain come in the order of their names. So of the first files of a chain what all say
//! together is enough, as long as the list has the very same ones at its beginning. Pure: where it is kept is the caller's.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::inventory::Holding;
use crate::ingest::parse_name;
use crate::store::Entry;

/// What is known of the partitions of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footers {
    /// Another version may read more out of a footer.
    version: String,
    /// The column whose times are known.
    time: Option<String>,
    /// By location.
    partitions: HashMap<String, Vec<Beginning>>,
}

/// The first files of a chain in a partition, and what they hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beginning {
    /// What their names begin with; empty of those that are no links' by their names.
    chain: String,
    files: usize,
    /// Of their names, sizes and times: another file under a name is another file.
    digest: String,
    pub held: Holding,
}

/// The files of a chain, as they are listed.
pub(super) struct Listed<'a> {
    chain: &'a str,
    files: Vec<&'a Entry>,
}

impl Footers {
    /// Nothing, for these times.
    pub(super) fn of(time: Option<&str>) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { version, time: time.map(str::to_owned), partitions: HashMap::new() }
    }

    /// What is known, if it is of this version and of these times.
    pub(super) fn if_of(self, time: Option<&str>) -> Self {
        let new = Self::of(time);
        if (&self.version, &self.time) == (&new.version, &new.time) { self } else { new }
    }

    pub(super) fn of_chain(&self, location: &str, listed: &Listed<'_>) -> Option<&Beginning> {
        let known = self.partitions.get(location)?.iter().find(|known| known.chain == listed.chain)?;
        let first = listed.files.get(..known.files)?;
        (digest(first) == known.digest).then_some(known)
    }

    pub(super) fn keep(&mut self, location: &str, chains: Vec<Beginning>) {
        self.partitions.insert(location.to_owned(), chains);
    }
}

impl Beginning {
    /// All of the files that are listed, which were read.
    pub(super) fn all(listed: &Listed<'_>, held: Holding) -> Self {
        Self {
            chain: listed.chain.to_owned(),
            files: listed.files.len(),
            digest: digest(&listed.files),
            held,
        }
    }
}

impl<'a> Listed<'a> {
    /// The chains of a partition's files, which are listed by their names.
    pub(super) fn chains(entries: &'a [Entry]) -> Vec<Self> {
        let mut chains: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.name.ends_with(".parquet")) {
            let chain = parse_name(&entry.name).map_or("", |(chain, _)| chain);
            chains.entry(chain).or_default().push(entry);
        }
        chains.into_iter().map(|(chain, files)| Self { chain, files }).collect()
    }

    /// Those that are not known.
    pub(super) fn after(&self, known: Option<&Beginning>) -> &[&'a Entry] {
        &self.files[known.map_or(0, |known| known.files)..]
    }
}

fn digest(files: &[&Entry]) -> String {
    let mut digest = Sha256::new();
    for Entry { name, size_bytes, modified } in files {
        digest.update(format!("{name}\n{size_bytes} {}\n", modified.timestamp_millis()));
    }
    digest.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a text takes all
        text
    })
}
