//! Walks a table's folder down to its partitions, and finds what is between them that should not be.
//!
//! Level by level, so that no list of all files is held, and partitions outside of the wanted dates are never looked at.

use std::collections::VecDeque;

use futures::Stream;

use super::report::{Kind, Problem};
use super::{Dates, is_marker};
use crate::error::Result;
use crate::ingest::Target;
use crate::table::PartitionKey;
use crate::table::partition::parse_path;

/// What the walk meets.
pub(super) enum Found {
    /// A folder of a partition; it may be empty.
    Partition(PartitionKey),
    Foreign(Problem),
}

/// A table's folder on the way down.
struct Walk<'a> {
    table: &'a Target,
    names: Vec<&'a str>,
    dates: Option<&'a Dates>,
    /// Folders above partitions that are still to be looked at, the next one last: the values that lead there.
    open: Vec<Vec<String>>,
    found: VecDeque<Found>,
}

/// What is in a table's folder, in the order of paths.
pub(super) fn walk<'a>(
    table: &'a Target,
    dates: Option<&'a Dates>,
) -> impl Stream<Item = Result<Found>> + 'a {
    let names = table.ddl.partitioned_by.iter().map(|column| column.name.as_str()).collect();
    let walk = Walk { table, names, dates, open: vec![Vec::new()], found: VecDeque::new() };
    futures::stream::try_unfold(walk, |mut walk| async move {
        loop {
            if let Some(found) = walk.found.pop_front() {
                return Ok(Some((found, walk)));
            }
            match walk.open.pop() {
                Some(values) => walk.look_below(values).await?,
                None => return Ok(None),
            }
        }
    })
}

impl Walk<'_> {
    /// Looks at a folder above partitions.
    async fn look_below(&mut self, values: Vec<String>) -> Result<()> {
        let depth = values.len();
        let above = match depth {
            0 => String::new(),
            _ => PartitionKey::new(&self.names[..depth], values.clone())
                .map(|key| format!("{}/", key.path()))
                .unwrap_or_default(), // what is open was checked
        };
        let folder = match above.trim_end_matches('/') {
            "" => self.table.folder.clone(),
            path => self.table.folder.folder(path)?,
        };
        let listing = folder.look().await?;
        // Above the folders of dates nothing has one.
        let is_wanted = self.dates.is_none() || self.names[..depth].contains(&"date");
        let foreign = listing.entries.iter().filter(|entry| is_wanted && !is_marker(entry));
        self.found.extend(foreign.map(|entry| {
            let outside = "it is outside of every partition's folder";
            let problem = Problem::new(Kind::ForeignFile, &self.table.name, outside);
            Found::Foreign(problem.of_file(format!("{above}{}", entry.name)))
        }));
        let mut below = Vec::new();
        for name in &listing.folders {
            let path = format!("{above}{name}");
            let Some(key) = self.key(&values, &path) else {
                let files = self.table.folder.folder(&path)?.list_below().await?;
                let files = files.iter().filter(|entry| !is_marker(entry)).count();
                if is_wanted && files > 0 {
                    let detail = format!("it is no path of the table's partitions, and has {files} files");
                    let problem = Problem::new(Kind::ForeignFolder, &self.table.name, detail);
                    self.found.push_back(Found::Foreign(problem.of_file(format!("{path}/"))));
                }
                continue;
            };
            if self.names[depth] == "date" && !self.dates.is_none_or(|d| d.contains(&key.values()[depth])) {
                continue;
            }
            if depth + 1 == self.names.len() {
                self.found.push_back(Found::Partition(key));
            } else {
                below.push(key.values().to_vec());
            }
        }
        self.open.extend(below.into_iter().rev());
        Ok(())
    }

    /// The values of a path, if it is the very path that they have.
    fn key(&self, above: &[String], path: &str) -> Option<PartitionKey> {
        let names = &self.names[..=above.len()];
        let key = PartitionKey::new(names, parse_path(path, names)?).ok()?;
        (key.path() == path).then_some(key)
    }
}
