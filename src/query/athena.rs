//! Runs queries in AWS, by Athena.
//!
//! SQL ─ start ─▶ queued, running ─ poll ─▶ succeeded ─ pages ─▶ `rows`: batches
//!
//! The query runs at AWS and goes on when this process ends: `cancel` stops it there.

mod rows;
mod workgroup;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_athena::Client;
use aws_sdk_athena::error::SdkError;
use aws_sdk_athena::types::{
    QueryExecution, QueryExecutionContext, QueryExecutionState, ResultConfiguration, ResultSet, StatementType,
};
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;

use self::rows::Rows;
pub use self::workgroup::{Results, Workgroup};
use super::price::dollars;
use super::{Answer, Engine, Scanned};
use crate::aws::{self, Aws, CallError};
use crate::error::{self, Error, Kind, Place, Result};

/// Athena gives no more rows in a page (FACTS 3.14).
const PAGE: i32 = 1000;
/// A query is looked at so soon, then less and less often: an account may ask 100 times a second (FACTS 3.12, 3.13).
const POLL_FIRST: Duration = Duration::from_millis(100);
const POLL_MAX: Duration = Duration::from_secs(5);
/// A query that cannot be looked at is given up after this; until then it is asked for again.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often `cancel` looks whether a query that is being started has an id.
const START_PAUSE: Duration = Duration::from_millis(20);

/// What statements may begin with: an engine only reads.
const READS: [&str; 7] = ["select", "with", "values", "table", "show", "describe", "desc"];

/// Where queries run, and what they cost.
#[derive(Clone, Debug, PartialEq)]
pub struct AthenaOptions {
    pub workgroup: String,
    /// Of names without one; without it, Athena's `default`.
    pub database: Option<String>,
    /// `s3://…` for the results; without it, the workgroup says it.
    pub output: Option<String>,
    /// Where Athena is, if it is not AWS's; above what [`Aws`] finds.
    pub endpoint: Option<String>,
    /// Of a terabyte (2⁴⁰ bytes) scanned, in US dollars.
    pub price_per_tb: f64,
}

impl Default for AthenaOptions {
    fn default() -> Self {
        Self {
            workgroup: "primary".to_owned(),
            database: None,
            output: None,
            endpoint: None,
            price_per_tb: 5.0,
        }
    }
}

/// AWS Athena over its own catalog, which is Glue's.
#[derive(Clone)]
pub struct AthenaEngine {
    client: Client,
    options: AthenaOptions,
    running: Arc<Mutex<Running>>,
}

/// What goes on at AWS, as far as is known here.
#[derive(Debug, Default)]
struct Running {
    /// Queries that are being started, whose ids are not known yet.
    starting: usize,
    /// Those that were started and are not known to have ended.
    ids: Vec<String>,
}

impl AthenaEngine {
    /// Nothing is asked of Athena yet; the region is looked up.
    pub async fn open(options: AthenaOptions, aws: &Aws) -> Result<Self> {
        let mut config = aws_sdk_athena::config::Builder::from(aws.config().await?);
        if let Some(endpoint) = &options.endpoint {
            config = config.endpoint_url(aws::endpoint_of(endpoint)?);
        }
        Ok(Self { client: Client::from_conf(config.build()), options, running: Arc::default() })
    }

    /// Gives the id of the query. The SDK sends a token of its own along, the same with each try, so that a query whose
    /// answer got lost is not started twice.
    async fn start(&self, sql: &str) -> Result<String> {
        let context = QueryExecutionContext::builder().set_database(self.options.database.clone()).build();
        let output =
            self.options.output.as_ref().map(|at| ResultConfiguration::builder().output_location(at).build());
        let start = self
            .client
            .start_query_execution()
            .query_string(sql)
            .work_group(&self.options.workgroup)
            .query_execution_context(context)
            .set_result_configuration(output);
        self.lock().starting += 1;
        let started = start.send().await;
        let mut running = self.lock();
        running.starting -= 1;
        let started =
            started.map_err(|e| failed("start the query", e).with("workgroup", &self.options.workgroup))?;
        let id = started.query_execution_id.filter(|id| !id.is_empty()).ok_or_else(|| {
            Error::new(Kind::Query, "Athena gives the query no id: is it Athena that answers?")
        })?;
        running.ids.push(id.clone());
        Ok(id)
    }

    /// Waits until the query has ended. It may be queued again after it ran (FACTS 3.12).
    async fn end(&self, id: &str) -> Result<QueryExecution> {
        let mut pause = POLL_FIRST;
        let mut seen = Instant::now();
        loop {
            match self.look(id).await {
                Ok(Looked::Succeeded(execution)) => {
                    self.ended(id);
                    return Ok(*execution);
                }
                Ok(Looked::Unsuccessful(e)) => {
                    self.ended(id);
                    return Err(e);
                }
                Ok(Looked::Running) => seen = Instant::now(),
                Err(e) if e.is_retryable() && seen.elapsed() < PATIENCE => {
                    tracing::warn!(error = error::chain(&e), "asking again");
                }
                Err(e) => {
                    let still = match self.cancel().await {
                        Ok(()) => "it was stopped",
                        Err(_) => "it may still run and cost: look in Athena",
                    };
                    return Err(e.with("of the query", still));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(POLL_MAX);
        }
    }

    async fn look(&self, id: &str) -> Result<Looked> {
        let asked = self.client.get_query_execution().query_execution_id(id).send().await;
        let answer = asked.map_err(|e| failed("look at the query", e).with("query", id))?;
        let unknown = |state: &str| {
            Error::new(Kind::Query, "Athena tells a state of the query that is not known here")
                .with("query", id)
                .with("state", state)
        };
        let execution = answer.query_execution.ok_or_else(|| unknown("none"))?;
        match execution.status.as_ref().and_then(|status| status.state.as_ref()) {
            Some(QueryExecutionState::Succeeded) => Ok(Looked::Succeeded(Box::new(execution))),
            Some(QueryExecutionState::Failed | QueryExecutionState::Cancelled) => {
                Ok(Looked::Unsuccessful(unsuccessful(id, &execution)))
            }
            Some(QueryExecutionState::Queued | QueryExecutionState::Running) => Ok(Looked::Running),
            other => Err(unknown(other.map_or("none", |state| state.as_str()))),
        }
    }

    fn scanned(&self, execution: &QueryExecution) -> Option<Scanned> {
        let bytes = execution.statistics.as_ref()?.data_scanned_in_bytes?;
        let bytes = u64::try_from(bytes).unwrap_or(0);
        // DDL is free. EXPLAIN ANALYZE, a utility, runs its query and is paid for.
        let charged = match &execution.statement_type {
            Some(StatementType::Ddl) => 0,
            _ => bytes,
        };
        Some(Scanned { bytes, dollars: dollars(charged, self.options.price_per_tb) })
    }

    async fn page(&self, id: &str, token: Option<String>) -> Result<(ResultSet, Option<String>)> {
        let asked = self
            .client
            .get_query_results()
            .query_execution_id(id)
            .max_results(PAGE)
            .set_next_token(token)
            .send()
            .await;
        let page = asked.map_err(|e| failed("read the rows of the query", e).with("query", id))?;
        Ok((page.result_set.unwrap_or_else(|| ResultSet::builder().build()), page.next_token))
    }

    async fn answer(&self, id: String) -> Result<Answer> {
        let execution = self.end(&id).await?;
        let scanned = self.scanned(&execution);
        let (mut first, next) = self.page(&id, None).await?;
        let columns = first.result_set_metadata.take().and_then(|metadata| metadata.column_info);
        let rows = Rows::new(columns.unwrap_or_default())?;
        // The names of the columns, which only the results of a query begin with.
        if execution.statement_type == Some(StatementType::Dml)
            && let Some(rows_of_page) = &mut first.rows
            && rows_of_page.first().is_some_and(|row| rows.is_header(row))
        {
            rows_of_page.remove(0);
        }
        let schema = rows.schema();
        let first = rows.batch(first.rows.unwrap_or_default())?;
        let engine = self.clone();
        let others = futures::stream::try_unfold(next, move |token| {
            let (engine, id, rows) = (engine.clone(), id.clone(), rows.clone());
            async move {
                let Some(token) = token else { return Ok(None) };
                let (page, next) = engine.page(&id, Some(token)).await?;
                Ok(Some((rows.batch(page.rows.unwrap_or_default())?, next)))
            }
        });
        let batches = futures::stream::once(async { Ok(first) }).chain(others.into_stream()).boxed();
        Ok(Answer { schema, batches, scanned })
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, id: &str) {
        self.lock().ids.retain(|running| running != id);
    }
}

#[async_trait]
impl Engine for AthenaEngine {
    async fn query(&self, sql: &str) -> Result<Answer> {
        let sql = sql.trim_start_matches('\u{feff}').trim().trim_end_matches(';');
        check_reads(sql)?;
        let id = self.start(sql).await.map_err(placed)?;
        tracing::debug!(query = id, "query started");
        self.answer(id).await.map_err(placed)
    }

    /// Waits for the id of a query that is being started: it would run otherwise.
    async fn cancel(&self) -> Result<()> {
        while self.lock().starting > 0 {
            tokio::time::sleep(START_PAUSE).await;
        }
        let ids = std::mem::take(&mut self.lock().ids);
        for id in ids {
            let stopped = self.client.stop_query_execution().query_execution_id(&id).send().await;
            stopped
                .map_err(|e| failed("stop the query, which may still run and cost", e).with("query", &id))?;
        }
        Ok(())
    }
}

impl fmt::Debug for AthenaEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AthenaEngine").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What became of a query.
enum Looked {
    Running,
    Succeeded(Box<QueryExecution>),
    Unsuccessful(Error),
}

/// Refuses what writes, by the first word; all else of the statement is Athena's to judge.
fn check_reads(sql: &str) -> Result<()> {
    let mut rest = sql;
    loop {
        let word = first_word(&mut rest).to_ascii_lowercase();
        match word.as_str() {
            "" if rest.is_empty() => return Err(Error::usage("the statement is empty")),
            // It may run what it explains.
            "explain" | "analyze" | "verbose" => {}
            // EXPLAIN's options, in parentheses that are no statement's.
            "format" | "type" => rest = rest.split_once(')').map_or("", |(_, rest)| rest),
            word if READS.contains(&word) => return Ok(()),
            _ => {
                return Err(Error::new(
                    Kind::Query,
                    format!(
                        "{} is no statement that only reads: run it in Athena itself",
                        word.to_uppercase()
                    ),
                ));
            }
        }
    }
}

/// Takes the first word off, with the comments (which do not nest), white space and parentheses before it.
fn first_word<'a>(text: &mut &'a str) -> &'a str {
    loop {
        let rest = text.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        *text = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, rest)| rest)
        } else {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (word, rest) = rest.split_at(end);
            *text = rest;
            return word;
        }
    }
}

/// A query that Athena ended, with Athena's reason.
fn unsuccessful(id: &str, execution: &QueryExecution) -> Error {
    let status = execution.status.as_ref();
    let cause = status.and_then(|status| status.athena_error.as_ref());
    let reason = status
        .and_then(|status| status.state_change_reason.clone())
        .or_else(|| cause.and_then(|cause| cause.error_message.clone()))
        .unwrap_or_else(|| "Athena gives no reason".to_owned());
    let what = match status.and_then(|status| status.state.as_ref()) {
        Some(QueryExecutionState::Cancelled) => "the query was cancelled in Athena",
        _ => "Athena failed the query",
    };
    let mut error = Error::new(Kind::Query, what).with("query", id);
    if let Some(category) = cause.and_then(|cause| cause.error_category) {
        // As AthenaError's page of the API names them.
        error = error.with(
            "category",
            match category {
                1 => "system".to_owned(),
                2 => "user".to_owned(),
                3 => "other".to_owned(),
                other => other.to_string(),
            },
        );
    }
    let error = error.because(reason);
    if cause.is_some_and(|cause| cause.retryable) { error.retryable() } else { error }
}

/// With the place in the statement, where Athena tells it: `COLUMN_NOT_FOUND: line 1:8: Column …`.
fn placed(e: Error) -> Error {
    let text = error::chain(&e);
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
    let place = text.match_indices("line ").find_map(|(at, word)| {
        let (line, rest) = text[at + word.len()..].split_once(':')?;
        let (column, _) = rest.split_once(':')?;
        Some(Place { line: number(line)?, column: number(column)? })
    });
    match place {
        Some(place) => e.at(place),
        None => e,
    }
}

fn failed(what: &str, e: SdkError<impl CallError>) -> Error {
    aws::failed(Kind::Query, format!("cannot {what} in Athena"), e)
}
