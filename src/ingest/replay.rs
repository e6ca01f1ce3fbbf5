//! Decodes rejected records anew, after the table's DDL was fixed.
//!
//! ```text
//! rejected rows ─ feed: in the order of offsets ─▶ source ─▶ the pipeline of an ingest ─▶ chains r<k>
//! ```
//!
//! Replay `k` takes every rejected record that is open below the offsets that the ingest has committed: what replay `k - 1`
//! rejected, and what the ingest rejected since. It writes rows and rejected rows into chains of its own, over the same
//! offsets, so all that holds for chains holds for them: one that was killed is run again and gives each row once, and two
//! at once are two writers of one chain. What still fails carries the replay's number (`attempt`).
//!
//! Fate is pure for one DDL only. So a replay has a `plan`, kept in the table's folder before a row is written: the DDL, and
//! up to which offset of each source. An unfinished one is finished by its own plan, whatever the DDL is by then.

mod feed;
mod links;
mod plan;
mod source;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::watch;

use self::feed::Feed;
use self::links::{Links, read_links};
use self::plan::{Ledger, Plan, Stretch};
use super::origin::{Origin, Topic};
use super::pipeline::{self, Pipeline};
use super::place::Placer;
use super::rejected::Rejecting;
use super::retry::retried_at_start;
use super::settled::{Settled, settled};
use super::shared::Shared;
use super::specs::{Specs, kept};
use super::target::{Target, targets};
use super::{ChainSource, Job, Meter, Progress, conclude, enter, find, run_joined};
use crate::error::{Error, Kind, Result};
use crate::kafka::{Source, TopicPartition};
use crate::store::Folder;
use crate::table::{Ddl, Spec, TableName};

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Its number; `None` where nothing was to be done.
    pub replay: Option<u32>,
    /// Why nothing was to be done.
    pub nothing: Option<&'static str>,
    /// Kafka records that were taken, and what they gave.
    pub records: u64,
    pub rows: u64,
    pub rejected: u64,
    pub skipped: u64,
    /// Rows, rejected ones too, that an earlier run of this replay had written.
    pub already_there: u64,
    pub files: u64,
    /// The view of what is open now.
    pub view: Option<TableName>,
}

/// Replays what is open by the job's DDL; its topics are those that have rejected records. `stop` ends it at once with what is
/// durable by then; the next run goes on.
///
/// It is heavy on the CPU, as [`super::run`] is, and has the same limits of memory; beside them it holds the rejected files that
/// overlap at one offset.
pub async fn replay(
    job: Job,
    stop: watch::Receiver<bool>,
    progress: watch::Sender<Progress>,
) -> Result<Replayed> {
    let mut job = job;
    job.limits.workers = 1;
    job.limits.rejected_max_ratio = 1.0; // it is known that they were rejected
    job.limits.check()?;
    let wanted = Spec::from_ddl(&job.ddl)?.hash();
    loop {
        let tables = targets(&job, &Spec::from_ddl(&job.ddl)?).await?;
        let ledger = retried_at_start("read the replays", || Ledger::read(&tables[0].folder)).await?;
        let links = retried_at_start("read the rejected files", || read_links(&tables[1])).await?;
        let plan = match ledger.unfinished() {
            Some(plan) => plan.clone(),
            None => match plan_next(&job, &tables, &ledger, &links).await? {
                Ok(plan) => plan,
                Err(nothing) => return Ok(Replayed { nothing: Some(nothing), ..Replayed::default() }),
            },
        };
        let is_last = plan.spec == wanted;
        let (job, tables) = match is_last {
            true => (job.clone(), tables),
            false => {
                tracing::warn!(
                    replay = plan.replay,
                    "an unfinished replay is finished first, by the DDL that it began with"
                );
                let job = Job { ddl: plan_ddl(&plan, &tables[0]).await?, ..job.clone() };
                let tables = targets(&job, &Spec::from_ddl(&job.ddl)?).await?;
                (job, tables)
            }
        };
        let run = Run::begin(&job, &plan, &links, tables).await?;
        let Some(replayed) = run.all(&stop, &progress).await? else {
            return Err(Error::new(
                Kind::Interrupted,
                "the replay was stopped: run it again, and it goes on",
            )
            .with("replay", plan.replay));
        };
        if is_last {
            return Ok(replayed);
        }
    }
}

/// Plans the next replay, and notes the plan; in words why not, where there is nothing to do.
async fn plan_next(
    job: &Job,
    tables: &[Arc<Target>; 2],
    ledger: &Ledger,
    links: &Links,
) -> Result<std::result::Result<Plan, &'static str>> {
    let spec = Spec::from_ddl(&job.ddl)?;
    let last = ledger.last();
    let mut stretches = Vec::new();
    let ends = ends(job, &tables[0], links, last).await?;
    for (chain, to) in ends {
        let from = last.and_then(|last| last.stretch(&chain)).map_or(0, |stretch| stretch.to);
        let (cluster, topic_id) = links.identity(&chain).unwrap_or_default();
        stretches.push(Stretch {
            topic: chain.source.topic.to_string(),
            partition: chain.source.partition,
            epoch: chain.epoch,
            cluster,
            topic_id,
            from,
            to: to.max(from),
        });
    }
    let plan = Plan { replay: last.map_or(0, |last| last.replay) + 1, spec: spec.hash(), sources: stretches };
    let open = links.open_of(&plan);
    if open.is_empty() {
        return Ok(Err("no rejected record is open"));
    }
    if open.iter().all(|link| link.footer.spec == plan.spec) {
        return Ok(Err("all that is open was rejected by this very DDL: it would be rejected again"));
    }
    // Who goes on with a killed replay finds its DDL.
    Specs::new(&tables[0].folder, &job.ddl, &spec, false)?.record().await?;
    plan.note(&tables[0].folder).await.map(Ok)
}

/// Up to which offset the rejected records of each source are all there: the committed one of the group, below which every one is
/// in a registered link; or the end of its chains where nothing comes to it any more.
async fn ends(
    job: &Job,
    table: &Target,
    links: &Links,
    last: Option<&Plan>,
) -> Result<BTreeMap<ChainSource, i64>> {
    let of_last = last.into_iter().flat_map(|last| last.sources.iter().map(Stretch::chain));
    let chains = links.of_ingest().chain(of_last);
    let sources = chains.map(|chain| {
        let identity = links.identity(&chain).unwrap_or_default();
        (chain, identity)
    });
    let settled = settled(table, &job.connection, &job.group, &sources.collect()).await?;
    let end = |(chain, settled)| {
        let end = match settled {
            Settled::UpTo(offset) => offset,
            Settled::Whole => links.end(&chain),
        };
        (chain, end)
    };
    Ok(settled.into_iter().map(end).collect())
}

/// The number of a replay that was begun and has not ended.
pub(crate) async fn unfinished(table: &Folder) -> Result<Option<u32>> {
    Ok(Ledger::read(table).await?.unfinished().map(|plan| plan.replay))
}

/// The DDL that a plan was made by.
async fn plan_ddl(plan: &Plan, table: &Target) -> Result<Ddl> {
    let text = kept(&table.folder, &plan.spec).await?;
    text.as_deref()
        .ok_or_else(|| Error::new(Kind::Store, "it is not there any more"))
        .and_then(Ddl::parse)
        .map_err(|e| {
            Error::new(Kind::Store, "an unfinished replay cannot be finished, as its DDL cannot be read")
                .with("replay", plan.replay)
                .with("that DDL", format!("{}_ticklake/spec/{}.sql", table.folder.location(), plan.spec))
                .because(e)
        })
}

/// A plan that is being carried out.
struct Run<'a> {
    job: &'a Job,
    plan: &'a Plan,
    links: &'a Links,
    spec: Spec,
    tables: [Arc<Target>; 2],
    meter: Arc<Meter>,
    /// The id of the table's folder, and what this run calls itself in footers.
    lake: String,
    writer: String,
}

impl<'a> Run<'a> {
    async fn begin(job: &'a Job, plan: &'a Plan, links: &'a Links, tables: [Arc<Target>; 2]) -> Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "it names this run in the footers, and decides nothing"
        )]
        let writer = format!("{:032x}", rand::random::<u128>());
        let lake = retried_at_start("open the table's folder", || tables[0].id(&writer)).await?;
        let meter = Arc::new(Meter::default());
        enter(job, &plan.spec, &tables, &meter).await?;
        Ok(Self { job, plan, links, spec: Spec::from_ddl(&job.ddl)?, tables, meter, lake, writer })
    }

    /// Carries the plan out; `None` where it was stopped.
    async fn all(
        &self,
        stop: &watch::Receiver<bool>,
        progress: &watch::Sender<Progress>,
    ) -> Result<Option<Replayed>> {
        let plan = self.plan;
        let mut replayed = Replayed { replay: Some(plan.replay), ..Replayed::default() };
        tracing::info!(replay = plan.replay, sources = plan.sources.len(), "decoding rejected records anew");
        // Offsets of a topic and an epoch are numbers of one log.
        for stretches in plan.sources.chunk_by(|a, b| (&a.topic, a.epoch) == (&b.topic, b.epoch)) {
            let done = self.topic(stretches, stop.clone(), progress).await?;
            replayed.records += done.records;
            replayed.rows += done.rows;
            replayed.rejected += done.rejected;
            replayed.skipped += done.skipped;
            replayed.already_there += done.already_there;
            replayed.files += done.files;
            if *stop.borrow() {
                return Ok(None);
            }
        }
        let view = view::of(&self.tables[1].ddl, plan)?;
        retried_at_start("show what is open", || self.job.catalog.put_view(&view)).await?;
        plan.note_done(&self.tables[0].folder).await?;
        replayed.view = Some(view.name);
        Ok(Some(replayed))
    }

    /// Replays one topic's sources.
    async fn topic(
        &self,
        stretches: &[Stretch],
        mut stop: watch::Receiver<bool>,
        progress: &watch::Sender<Progress>,
    ) -> Result<Progress> {
        let [table, rejected] = &self.tables;
        let origin = self.origin(&stretches[0])?;
        let feeds =
            stretches.iter().map(|stretch| Feed::new(rejected, self.plan.replay, stretch, self.links));
        let mark = |source: &TopicPartition| origin.mark(&table.name, &self.lake, source).print();
        let (source, mut from) = source::start(feeds.collect(), &origin, mark)?;
        let sources = vec![source];
        let ran = async {
            let Some(found) = find(&sources, &mut from, &mut stop).await? else { return Ok(None) };
            let ends = found.into_iter().flat_map(|found| found.ends).collect();
            let pipeline = self.pipeline(origin.clone(), ends, &sources)?;
            run_joined(pipeline, &sources, &mut from, &mut stop, progress).await.map(Some)
        };
        let ran = ran.await;
        conclude(ran, sources, from, self.job.limits.drain_deadline, progress).await
    }

    /// Whose links are written: under the topic's own names, as the ingest read it.
    fn origin(&self, stretch: &Stretch) -> Result<Arc<Origin>> {
        if stretch.cluster.is_empty() {
            return Err(Error::new(Kind::Store, "the note of a replay does not say of which cluster it is")
                .with("table", &self.tables[0].name)
                .with("replay", self.plan.replay));
        }
        let topic = Topic { id: stretch.topic_id.clone(), epoch: stretch.epoch };
        Ok(Arc::new(Origin {
            cluster: stretch.cluster.clone(),
            topics: HashMap::from([(stretch.topic.clone(), topic)]),
            spec: self.plan.spec.clone(),
            writer: self.writer.clone(),
            replay: self.plan.replay,
        }))
    }

    fn pipeline(
        &self,
        origin: Arc<Origin>,
        ends: BTreeMap<TopicPartition, i64>,
        sources: &[Source],
    ) -> Result<Pipeline> {
        let Self { job, spec, tables, .. } = self;
        let rejecting = Rejecting { attempt: origin.replay, epochs: origin.epochs() };
        let plan = pipeline::Plan {
            targets: tables.clone(),
            catalog: job.catalog.clone(),
            meter: self.meter.clone(),
            shared: Shared::new(&job.limits, 1)?.remove(0),
            specs: Arc::new(Specs::new(&tables[0].folder, &job.ddl, spec, false)?),
            origin,
            lake: self.lake.clone(),
            from: super::From::Beginning,
            lost: super::Lost::Stop,
            until_end: true,
            limits: job.limits,
            ends,
            commands: sources.iter().map(|source| (source.topic.clone(), source.commands.clone())).collect(),
        };
        Ok(Pipeline::new(plan, Placer::new(spec, job.limits.of_buffer(), rejecting)))
    }
}
