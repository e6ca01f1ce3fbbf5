//! Remembers which fields of the records no column takes, so that a feed that grows is noticed.

use std::collections::HashSet;

use crate::table::pointer::Pointer;

/// Names that are remembered: a feed may have as many as it has records.
const MOST: usize = 100;

/// Fields that were met and not taken, in the order they were met.
#[derive(Debug, Default)]
pub(super) struct Unused {
    /// By the object that they are in, and their name as it is written.
    met: HashSet<(usize, Box<[u8]>)>,
    fields: Vec<String>,
}

impl Unused {
    /// Remembers a field of the object that `within` points to, which has a number of its own.
    pub fn add(&mut self, object: usize, within: &Pointer, name: &[u8]) {
        if self.fields.len() < MOST && self.met.insert((object, name.into())) {
            self.fields.push(within.clone().child(&String::from_utf8_lossy(name)).to_string());
        }
    }

    /// As pointers.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }
}
