//! Owns what the pipelines of one process have in common: the budget of memory, what is known of the catalog, the slots
//! for writes, and the threads that encode.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Limits;
use super::buffer::Side;
use super::encoders::Encoders;
use crate::error::Result;
use crate::table::PartitionKey;

/// Partitions that are registered, and when that is to be looked up again.
pub(super) type Known = Arc<Mutex<HashMap<(Side, PartitionKey), Instant>>>;

/// One pipeline's hold on it.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub encoders: Arc<Encoders>,
    /// So many links are encoded and put at once.
    pub writes: Arc<Semaphore>,
    pub known: Known,
    budget: Arc<Budget>,
    /// Which of the pipelines.
    at: usize,
}

#[derive(Debug)]
struct Budget {
    bytes: usize,
    /// By pipeline: the bytes of its rows that are in no file yet, as it told them last.
    held: Box<[AtomicUsize]>,
}

impl Shared {
    /// For so many pipelines, a hold for each. Called where tokio runs.
    pub fn new(limits: &Limits, pipelines: usize) -> Result<Vec<Self>> {
        let encoders = Arc::new(Encoders::start()?);
        let writes = Arc::new(Semaphore::new(limits.writes));
        let held = (0..pipelines).map(|_| AtomicUsize::new(0)).collect();
        let budget = Arc::new(Budget { bytes: limits.rows_bytes(), held });
        let known = Known::default();
        let hold = |at| Self {
            encoders: encoders.clone(),
            writes: writes.clone(),
            known: known.clone(),
            budget: budget.clone(),
            at,
        };
        Ok((0..pipelines).map(hold).collect())
    }

    /// Notes what this pipeline holds. Tells whether it is to hold less: the budget is spent, and this pipeline has more
    /// than its share. Somebody has, where it is spent.
    pub fn is_too_much(&self, held: usize) -> bool {
        self.budget.held[self.at].store(held, Ordering::Relaxed);
        let all: usize = self.budget.held.iter().map(|held| held.load(Ordering::Relaxed)).sum();
        all > self.budget.bytes && held > self.share()
    }

    /// What each pipeline may hold, whatever the others do.
    pub fn share(&self) -> usize {
        self.budget.bytes / self.budget.held.len()
    }
}
