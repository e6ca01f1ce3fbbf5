//! Asks statements, one at a time: filled with their parameters, held to the limit of bytes, answered or explained.
//!
//! Where an error has a place in the statement, the line is shown with it.

use std::io::Write;
use std::sync::Arc;

use indicatif::HumanBytes;

use super::engines::{EngineName, Engines};
use super::explain;
use crate::error::{Error, Kind, Result};
use crate::query::parameters::Parameters;
use crate::query::place::excerpt;
use crate::query::text::Statement;
use crate::query::{self, Format, Scanned};

/// What all statements of a command are asked with.
#[derive(Debug)]
pub struct Desk {
    pub engines: Arc<Engines>,
    pub engine: EngineName,
    pub parameters: Parameters,
    /// More is not read.
    pub max_bytes: Option<u64>,
}

/// How much of a plan is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What is read and what that would cost in Athena.
    Cost,
    /// And the engine's own plan.
    Plan,
}

impl Desk {
    /// Writes the answer, and gives what Athena says that it scanned.
    pub async fn answer(
        &self,
        statement: &Statement,
        format: Format,
        out: &mut dyn Write,
    ) -> Result<Option<Scanned>> {
        let filled = self.fill(statement)?;
        let answered = async {
            self.hold_to_limit(&filled.text).await?;
            let answer = self.engines.get(self.engine).await?.query(&filled.text).await?;
            let scanned = answer.scanned;
            query::print(answer, format, out).await?;
            Ok(scanned)
        };
        answered.await.map_err(|e| shown(e, &filled))
    }

    /// Writes what the statement would read and how, without running it.
    pub async fn explain(&self, statement: &Statement, detail: Detail, out: &mut dyn Write) -> Result<()> {
        let filled = self.fill(statement)?;
        let explained = explain::explain(&filled.text, &self.engines, self.engine, detail).await;
        let text = explained.map_err(|e| shown(e, &filled))?;
        writeln!(out, "{text}").map_err(crate::cli::terminal::unwritable)
    }

    fn fill(&self, statement: &Statement) -> Result<Statement> {
        Ok(Statement { text: self.parameters.fill(&statement.text)?, line: statement.line })
    }

    /// Athena has no limit for one query, so the same estimate stands before both engines.
    async fn hold_to_limit(&self, sql: &str) -> Result<()> {
        let Some(max) = self.max_bytes else { return Ok(()) };
        let estimate = self.engines.planner(self.engine).await?.estimate(sql).await;
        let bytes = match (estimate, self.engine) {
            (Ok(estimate), _) => estimate.bytes(),
            (Err(e), EngineName::Local) => return Err(e),
            (Err(e), EngineName::Athena) => {
                return Err(Error::new(
                    Kind::Query,
                    "not sent: --max-bytes is held by planning the statement here, and it cannot be planned here; \
                     what it reads is not guessed. Leave --max-bytes out, or set the limit on a workgroup of its own",
                )
                .because(e));
            }
        };
        if bytes > max {
            return Err(Error::new(
                Kind::Query,
                "not run: it may read more than --max-bytes; name partitions in its WHERE, or fewer columns, \
                 or give it more (--explain shows what it reads)",
            )
            .with("reads at most", HumanBytes(bytes))
            .with("max bytes", HumanBytes(max)));
        }
        Ok(())
    }
}

fn shown(e: Error, statement: &Statement) -> Error {
    match e.place().and_then(|place| excerpt(statement, place)) {
        Some(excerpt) => e.showing(excerpt),
        None => e,
    }
}
