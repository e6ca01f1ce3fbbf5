//! Notices that the table has been altered in the catalog while the job runs. It goes on under its own DDL, which is safe: what
//! it writes reads under the new one. Somebody has to start it anew for the new columns to be filled.

use tokio::time::{Duration, Instant};
use tracing::{debug, warn};

use super::Pipeline;
use crate::error::{self, Result};
use crate::table::Ddl;

/// The table is looked at so often at most, and only beside other questions to the catalog: a steady stream asks it nothing.
const APART: Duration = Duration::from_secs(60);

impl Pipeline {
    /// Looks at the table as the catalog has it now.
    pub(super) fn look_for_changes(&mut self) {
        let now = Instant::now();
        let is_due = self.looked_at.is_none_or(|at| now.duration_since(at) >= APART);
        if !is_due || !self.looking.is_empty() || self.progress.table_altered {
            return;
        }
        self.looked_at = Some(now);
        let (catalog, name) = (self.plan.catalog.clone(), self.plan.targets[0].name.clone());
        self.looking.spawn(async move { catalog.table(&name).await });
    }

    pub(super) fn on_looked(&mut self, found: Result<Option<Ddl>>) {
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => return, // it is made again with its next partition, or that fails
            Err(e) => return debug!(error = error::chain(&e), "the table could not be looked at"),
        };
        let is_same = |first: &Ddl| first.properties == found.properties;
        if found.columns == self.plan.targets[0].ddl.columns && self.first_seen.as_ref().is_none_or(is_same) {
            self.first_seen = Some(found);
            return;
        }
        self.progress.table_altered = true;
        warn!(
            table = %found.name,
            "the table was altered in the catalog since this job began, which goes on under the DDL that it has: start it anew \
             to fill what is new"
        );
    }
}
