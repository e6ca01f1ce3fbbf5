//! Keeps a source's frontier: the offset below which everything is durable, registered, rejected or skipped.

use std::collections::BTreeMap;
use std::fmt;

/// The durable progress of one source.
///
/// * Every buffer and every link in flight holds the offset of its first record until it is durable and registered.
/// * The frontier is the lowest offset held, or the position where none is held. It never goes back: an offset that
///   is held anew is never below the position.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Frontier {
    /// The offset below which every record has been decoded and appended, rejected or skipped.
    position: i64,
    held: BTreeMap<i64, usize>,
}

impl Frontier {
    pub fn new(start: i64) -> Self {
        Self { position: start, held: BTreeMap::new() }
    }

    pub fn position(&self) -> i64 {
        self.position
    }

    /// Every record below `to` has its place now. The position never goes back.
    pub fn advance(&mut self, to: i64) {
        self.position = self.position.max(to);
    }

    /// Holds the frontier at a record that is not durable yet.
    pub fn hold(&mut self, offset: i64) {
        debug_assert!(offset >= self.position);
        *self.held.entry(offset).or_default() += 1;
    }

    /// Ends a hold.
    pub fn release(&mut self, offset: i64) {
        match self.held.get_mut(&offset) {
            Some(1) => {
                self.held.remove(&offset);
            }
            Some(holds) => *holds -= 1,
            None => debug_assert!(false, "offset {offset} is not held"),
        }
    }

    /// Nothing is held: everything below the position is durable.
    pub fn is_clear(&self) -> bool {
        self.held.is_empty()
    }

    /// The offset to commit.
    pub fn committable(&self) -> i64 {
        self.held.first_key_value().map_or(self.position, |(offset, _)| *offset)
    }
}

impl fmt::Debug for Frontier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}..{})", self.committable(), self.position)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list of what is held.
        #[test]
        fn is_the_lowest_held(steps in proptest::collection::vec((0u8..3, 0i64..4), 0..200)) {
            let mut frontier = Frontier::new(0);
            let mut held: Vec<i64> = Vec::new();
            let mut last = 0;
            for (step, by) in steps {
                match step {
                    0 => frontier.advance(frontier.position() + by),
                    1 => {
                        held.push(frontier.position() + by);
                        frontier.hold(frontier.position() + by);
                    }
                    _ if held.is_empty() => {}
                    _ => frontier.release(held.swap_remove(by as usize % held.len())),
                }
                let want = held.iter().copied().min().unwrap_or(frontier.position());
                prop_assert_eq!(frontier.committable(), want);
                if held.iter().all(|h| *h <= frontier.position()) {
                    prop_assert!(want >= last, "the frontier went back");
                    last = want;
                }
            }
        }
    }
}
