//! Everything that a job needs, looked at before it starts: a line each, good or bad, with what to do.
//!
//! ```text
//! topics ─▶ group ─▶ the newest records, decoded ─▶ store ─▶ catalog ─▶ Athena ─▶ what a day of it would come to
//! ```
//!
//! Nothing of a job is done: no group is joined, no offset committed, no row written. The store gets what a job's start gives it
//! too, one small object under `_ticklake/` that asks whether objects are overwritten.

mod athena;
mod estimate;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::estimate::Estimate;
use crate::catalog::IndexState;
use crate::error::{Result, chain};
use crate::ingest::Job;
use crate::ingest::trial::{Outcome, Tally};
use crate::kafka::{Connection, Reader, ReaderTopic, RecordSet, TopicPartition};
use crate::query::AthenaEngine;
use crate::table::{Ddl, Spec};

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was looked at: `topic`, `group`, `records`, `store`, `expiry`, `clock`, `catalog`, `athena`, `estimate`.
    pub what: &'static str,
    pub verdict: Verdict,
    pub said: String,
    /// What to do, where it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Good,
    /// The job would run; the user may not want what it does.
    Doubtful,
    /// The job would end, or do nothing.
    Bad,
}

impl Finding {
    fn good(what: &'static str, said: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Good, said: said.into(), fix: None }
    }

    fn doubtful(what: &'static str, said: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Doubtful, said: said.into(), fix: Some(fix.into()) }
    }

    fn bad(what: &'static str, said: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Bad, said: said.into(), fix: Some(fix.into()) }
    }

    /// An error's own words say what to do.
    fn failed(what: &'static str, e: &crate::Error) -> Self {
        Self { what, verdict: Verdict::Bad, said: chain(e), fix: None }
    }
}

/// Looks at all that a job needs, and decodes `sample` of each topic's newest records; what one thing lacks does not keep it
/// from the next. An error only if the DDL is none. `athena` is looked at where there is one: a job runs without it.
pub async fn check(job: &Job, athena: Option<&AthenaEngine>, sample: usize) -> Result<Vec<Finding>> {
    Spec::from_ddl(&job.ddl)?;
    let mut findings = Vec::new();
    let (connection, group, topics) = (job.connection.clone(), job.group.clone(), job.topics.clone());
    let kafka =
        tokio::task::spawn_blocking(move || look_at_kafka(&connection, &group, &topics, sample)).await;
    let (of_kafka, sets) = kafka.map_err(|e| {
        crate::Error::new(crate::error::Kind::System, "the look at Kafka broke off").because(e)
    })?;
    findings.extend(of_kafka);
    let mut estimate = Estimate::default();
    // Where no topic could be read, that is said already.
    if findings.iter().any(|finding| finding.what == "topic" && finding.verdict == Verdict::Good) {
        findings.extend(decode(&job.ddl, &sets, &mut estimate)?);
    }
    findings.extend(store::look(job).await);
    findings.push(look_at_catalog(job).await);
    if let Some(athena) = athena {
        findings.push(athena::look(athena).await);
    }
    findings.extend(estimate.finding(&job.limits));
    Ok(findings)
}

fn look_at_kafka(
    connection: &Connection,
    group: &str,
    topics: &[String],
    sample: usize,
) -> (Vec<Finding>, Vec<RecordSet>) {
    let mut findings = Vec::new();
    let mut sets = Vec::new();
    let reader = match Reader::new(connection, group) {
        Ok(reader) => reader,
        Err(e) => return (vec![Finding::failed("topic", &e)], sets),
    };
    for topic in topics {
        let found = match reader.topic(topic) {
            Err(e) => {
                findings.push(Finding::failed("topic", &e));
                continue;
            }
            Ok(None) => {
                let fix = "create it, or check its name and the ACL to describe it";
                findings.push(Finding::bad("topic", format!("{topic} is not there"), fix));
                continue;
            }
            Ok(Some(found)) => found,
        };
        match look_at_topic(&reader, topic, &found, group) {
            Ok(found) => findings.extend(found),
            Err(e) => findings.push(Finding::failed("topic", &e)),
        }
        match reader.newest(topic, &found.partitions, sample) {
            Ok(newest) => sets.extend(newest),
            Err(e) => findings.push(Finding::failed("records", &e)),
        }
    }
    // Its offsets may be read by DESCRIBE alone. A broker that does not answer this keeps no job from its start.
    let is_reached = findings.iter().any(|finding| finding.what == "group" && finding.fix.is_none());
    if is_reached && matches!(reader.may_join(group), Ok(Some(false))) {
        let fix = "the ACL of the group must allow READ";
        findings.push(Finding::bad("group", format!("{group} may not be joined by this user"), fix));
    }
    (findings, sets)
}

fn look_at_topic(reader: &Reader, topic: &str, found: &ReaderTopic, group: &str) -> Result<Vec<Finding>> {
    let sources: Vec<_> = found.partitions.iter().map(|p| TopicPartition::new(topic, *p)).collect();
    let mut ends = BTreeMap::new();
    for source in &sources {
        ends.insert(source.clone(), reader.watermarks(source)?);
    }
    let held: i64 = ends.values().map(|(low, high)| high - low).sum();
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let mut findings = vec![Finding::good(
        "topic",
        format!("{topic}: {}, {held} records", counted(sources.len(), "partition")),
    )];
    let committed = match reader.committed(&sources) {
        Ok(committed) => committed,
        Err(e) => {
            findings.push(Finding::failed("group", &e));
            return Ok(findings);
        }
    };
    let said = format!("{group} of {topic}");
    let (mut behind, mut lost) = (0, 0);
    for (source, (low, high)) in &ends {
        let next = committed.get(source).map_or(0, |(offset, _)| *offset);
        behind += high - next.max(*low);
        // Where nothing was committed, the beginning is what there is.
        lost += if committed.contains_key(source) { (low - next).max(0) } else { 0 };
    }
    findings.push(match (committed.is_empty(), lost) {
        (_, 1..) => Finding::bad(
            "group",
            format!("{said}: retention has removed {lost} records that it has not read"),
            "start with --lost-records skip to go on without them; the gap is noted",
        ),
        (true, _) => {
            Finding::good("group", format!("{said}: nothing is committed yet, {behind} records to read"))
        }
        (false, _) => Finding::good("group", format!("{said}: {behind} records to read")),
    });
    Ok(findings)
}

/// Decodes what was read, by the job's own decoder.
fn decode(ddl: &Ddl, sets: &[RecordSet], estimate: &mut Estimate) -> Result<Vec<Finding>> {
    let mut tally = Tally::default();
    for set in sets {
        estimate.add_times(set);
        tally.add(ddl, set, |outcome| {
            if let Outcome::Row { partition, .. } = outcome {
                estimate.add_row(partition);
            }
        })?;
    }
    let bad = tally.all_rejected();
    let Tally { rows, skipped, rejected, .. } = tally;
    if rows + skipped + bad == 0 {
        let fix = "nothing can be said of the DDL before there are some";
        return Ok(vec![Finding::doubtful("records", "the topics hold no records", fix)]);
    }
    let said = format!("of the newest, {rows} are rows, {skipped} are skipped, {bad} are rejected");
    let most =
        rejected.iter().max_by_key(|(_, count)| **count).map(|((reason, column), count)| match column {
            Some(column) => format!("{count} are {reason} for column {column}"),
            None => format!("{count} are {reason}"),
        });
    let fix = |most: String| {
        format!("{most}: see DECODING.md, and `ticklake table infer --topic` for a DDL that takes them")
    };
    Ok(vec![match (rows, most) {
        (0, Some(most)) => Finding::bad("records", said, fix(most)),
        (0, None) => {
            Finding::doubtful("records", said, "look at ticklake.only and ticklake.messages in the DDL")
        }
        (_, Some(most)) => Finding::doubtful("records", said, fix(most)),
        (_, None) => Finding::good("records", said),
    }])
}

async fn look_at_catalog(job: &Job) -> Finding {
    let name = &job.ddl.name;
    let there = match job.catalog.table(name).await {
        Err(e) => return Finding::failed("catalog", &e),
        Ok(None) => return Finding::good("catalog", format!("{name} is not there yet: the job makes it")),
        Ok(Some(there)) => there,
    };
    let columns = |ddl: &Ddl| -> BTreeSet<String> {
        let all = ddl.columns.iter().chain(&ddl.partitioned_by);
        all.map(|column| format!("{} {}", column.name, column.column_type)).collect()
    };
    let (ours, theirs) = (columns(&job.ddl), columns(&there));
    let listed = |left: &BTreeSet<String>, right: &BTreeSet<String>| {
        left.difference(right).cloned().collect::<Vec<_>>().join(", ")
    };
    let (more, less) = (listed(&ours, &theirs), listed(&theirs, &ours));
    let mut said = Vec::new();
    said.extend((!more.is_empty()).then(|| format!("the DDL alone has {more}")));
    said.extend((!less.is_empty()).then(|| format!("the catalog alone has {less}")));
    if !said.is_empty() {
        return Finding::bad(
            "catalog",
            format!("{name} is there with other columns: {}", said.join("; ")),
            "stop the job's other processes, drop the table (its files stay) and start again; or use its own DDL (`ticklake \
             table show`)",
        );
    }
    match read_partitions(job).await {
        Ok(()) => look_at_indexes(job, &there).await.unwrap_or_else(|| {
            Finding::good(
                "catalog",
                format!("{name} is there, with the DDL's columns, and its partitions can be read"),
            )
        }),
        Err(e) => Finding::failed("catalog", &e),
    }
}

/// What is not well with the indexes over partitions that the table asks for.
async fn look_at_indexes(job: &Job, there: &Ddl) -> Option<Finding> {
    let indexes = match job.catalog.indexes(there).await {
        Ok(indexes) => indexes,
        Err(e) => {
            let fix = "a job would run: give glue:GetPartitionIndexes, or look in Glue";
            return Some(Finding::doubtful("catalog", chain(&e), fix));
        }
    };
    let lacking = indexes.iter().filter(|index| index.state != IndexState::Ready);
    let lacking: Vec<&str> = lacking.map(|index| index.columns[0].as_str()).collect();
    if lacking.is_empty() {
        return None;
    }
    let said = format!(
        "{} is there; its partitions have no index by {}, which partition_filtering.enabled asks for",
        there.name,
        lacking.join(", ")
    );
    let fix = "`ticklake table alter` makes what is missing, and says what is being made; without it queries take longer to plan";
    Some(Finding::doubtful("catalog", said, fix))
}

/// Asks for partitions as a job does, in both of its ways. Whether it may register them no question shows: Glue knows no
/// trial of a call.
async fn read_partitions(job: &Job) -> Result<()> {
    let Ddl { name, partitioned_by, .. } = &job.ddl;
    job.catalog.has_partitions(name).await?;
    let null = vec!["__HIVE_DEFAULT_PARTITION__".to_owned(); partitioned_by.len()];
    job.catalog.find_partitions(name, &[null]).await?;
    Ok(())
}
