//! Turns what a job tells of itself into Prometheus' metrics, and serves them: `/metrics`, and `/healthz` for who
//! restarts what hangs.
//!
//! Every figure is of the job's own [`Progress`], as it told it last, so that a scrape and the job's summary cannot
//! disagree; `ticklake_told_seconds` is how long ago that was. Labels are topics, their partitions and closed lists of
//! words: their number does not grow with symbols.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::error::{Error, Kind, Result};
use crate::ingest::{Progress, RegistrationLag};

/// A job that reads tells of itself every second. Where it waits for a store or a catalog at a rebalance it does not,
/// and a restart would not help it: that waits 10 minutes at most, and a request some more.
const SILENCE: Duration = Duration::from_secs(20 * 60);

/// A scrape takes milliseconds; a client that keeps its connection makes another after this.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 64;
/// Where no file can be opened there is nothing to do but wait.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// OpenMetrics, as its specification names it.
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a job is, for the labels of `ticklake_job_info`.
#[derive(Clone, Debug)]
pub struct JobName {
    pub table: String,
    pub group: String,
}

/// Serves a job's metrics at `address` for as long as the process lives; gives the address, with the port that a 0
/// became. An address that is taken is an error.
pub async fn serve(address: &str, job: JobName, progress: watch::Receiver<Progress>) -> Result<SocketAddr> {
    let has_port = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok();
    if !address.rsplit_once(':').is_some_and(has_port) {
        return Err(Error::usage(
            "metrics are served at HOST:PORT: write 127.0.0.1:9464, or 0.0.0.0:9464 for all networks",
        )
        .with("given", address));
    }
    let failed = |what: &str, e: std::io::Error| {
        Error::new(
            Kind::System,
            format!("cannot {what} metrics: is --metrics HOST:PORT, and is the port free?"),
        )
        .with("address", address)
        .because(e)
    };
    let listener = TcpListener::bind(address).await.map_err(|e| failed("listen for", e))?;
    let bound = listener.local_addr().map_err(|e| failed("serve", e))?;
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .with_state(Shown { job, progress });
    tokio::spawn(accept(listener, router));
    Ok(bound)
}

/// Serves connections, so many at once and none for long: what says nothing must not keep out who asks for the health.
async fn accept(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::warn!(error = %e, "cannot take a connection to /metrics just now");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(CONNECTION_TIME, served).await; // a client that went away is no news
            drop(place);
        });
    }
}

#[derive(Clone, Debug)]
struct Shown {
    job: JobName,
    progress: watch::Receiver<Progress>,
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let progress = shown.progress.borrow().clone();
    match text(&shown.job, progress) {
        Ok(text) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

/// A job that has not begun to read is well: what it waits for, it waits for with a limit.
async fn health(State(shown): State<Shown>) -> Response {
    let silence = silence(&shown.progress.borrow());
    if silence < SILENCE {
        return "ok\n".into_response();
    }
    let text = format!("the job has not told of itself for {} s\n", silence.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn silence(progress: &Progress) -> Duration {
    progress.told_at.map_or(Duration::ZERO, |told| told.elapsed())
}

/// The metrics as Prometheus reads them.
pub fn text(job: &JobName, progress: Progress) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Figures { job: job.clone(), progress }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Figures {
    job: JobName,
    progress: Progress,
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Self { job, progress } = self;
        let mut out = Out(encoder);
        out.gauges(
            "job_info",
            "What the job is",
            [(
                [("table", job.table.clone()), ("group", job.group.clone()), ("version", VERSION.to_owned())],
                1,
            )],
        )?;
        out.seconds("told_seconds", "How long ago the job told these figures", silence(progress))?;
        self.done(&mut out)?;
        out.gauge("buffered_bytes", "Memory of rows that are in no file yet", progress.buffered_bytes)?;
        out.gauge(
            "open_partitions",
            "Partitions with rows that are not sealed, once for each source",
            progress.open_partitions,
        )?;
        out.gauge(
            "files_in_flight",
            "Files that are encoded and put, or wait for their turn",
            progress.in_flight,
        )?;
        out.seconds(
            "oldest_unsealed_seconds",
            "Age of the oldest row that is not sealed",
            progress.oldest_unsealed,
        )?;
        out.gauge(
            "unused_fields",
            "Fields of the records that no column takes; a hundred at most",
            progress.unused_fields,
        )?;
        out.gauge(
            "table_altered",
            "1 where the table was altered in the catalog: the job wants to be started anew",
            u64::from(progress.table_altered),
        )?;
        out.gauge(
            "registration_backlog",
            "Partitions with new files to be registered, or looked up again in the catalog",
            progress.registration_backlog,
        )?;
        out.seconds(
            "oldest_unregistered_seconds",
            "How long the oldest file has been in the store whose partition is not known to be in the catalog",
            progress.oldest_unregistered,
        )?;
        out.put(
            "registration_lag_seconds",
            "From a partition's first file in the store to the partition in the catalog",
            MetricType::Histogram,
            Lag(&progress.registration_lag),
        )?;
        let held = &progress.held;
        out.gauges(
            "held_records",
            "Offsets read that must not be committed yet, by what they wait for",
            [
                ([("for", "buffer".to_owned())], held.buffered),
                ([("for", "store".to_owned())], held.writing),
                ([("for", "catalog".to_owned())], held.registering),
            ],
        )?;
        let lags = progress.lags.iter().map(|(source, lag)| {
            ([("topic", source.topic.to_string()), ("partition", source.partition.to_string())], *lag)
        });
        out.gauges("lag_records", "Offsets of an assigned partition that are not read yet", lags)
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Figures {
    /// What only grows.
    fn done(&self, out: &mut Out<'_>) -> Result<(), fmt::Error> {
        let progress = &self.progress;
        let calls = &progress.calls;
        out.counter("records", "Kafka records read", progress.records)?;
        out.counter("record_bytes", "Bytes of their keys and values", progress.record_bytes)?;
        out.counter("rows", "Rows appended to the table", progress.rows)?;
        let rejected =
            progress.rejected_by.iter().map(|(reason, n)| ([("reason", (*reason).to_owned())], *n));
        out.counters("rejected", "Records that could not be rows, by reason", rejected)?;
        out.counter("skipped", "Records that were not meant for the table", progress.skipped)?;
        out.counter("already_there", "Rows read again that were in files", progress.already_there)?;
        out.counter("files", "Files written", progress.files)?;
        out.counter("file_bytes", "Bytes of the files written", progress.file_bytes)?;
        let seals = progress.seals.iter().map(|(why, n)| ([("why", (*why).to_owned())], *n));
        out.counters("seals", "Buffers sealed, by why", seals)?;
        out.counters(
            "puts",
            "Puts of files, by outcome; taken: another's file was there, or its own after a lost answer",
            [
                ([("outcome", "created".to_owned())], calls.puts_created),
                ([("outcome", "taken".to_owned())], calls.puts_taken),
                ([("outcome", "failed".to_owned())], calls.puts_failed),
            ],
        )?;
        out.counters(
            "catalog_operations",
            "Batches of partitions looked up or created in the catalog, by outcome",
            [
                ([("outcome", "ok".to_owned())], calls.catalog_ok),
                ([("outcome", "failed".to_owned())], calls.catalog_failed),
            ],
        )?;
        out.counter(
            "partitions_registered",
            "Partitions made known to the catalog",
            progress.partitions_registered,
        )?;
        out.counter(
            "offsets_committed",
            "Offsets that commits have moved forward",
            progress.offsets_committed,
        )?;
        out.counter("commits_failed", "Commits of offsets that failed", progress.commits_failed)
    }
}

struct Lag<'a>(&'a RegistrationLag);

impl EncodeMetric for Lag<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let Self(lag) = self;
        let buckets: Vec<(f64, u64)> = lag.buckets().collect();
        encoder.encode_histogram::<NoLabelSet>(lag.sum().as_secs_f64(), lag.count(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// Where figures are written, each under `ticklake_`.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
        self.put(name, help, MetricType::Counter, ConstCounter::new(value))
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
        self.put(name, help, MetricType::Gauge, ConstGauge::new(value))
    }

    fn seconds(&mut self, name: &str, help: &str, value: Duration) -> Result<(), fmt::Error> {
        self.put(name, help, MetricType::Gauge, ConstGauge::new(value.as_secs_f64()))
    }

    fn put(
        &mut self,
        name: &str,
        help: &str,
        of: MetricType,
        value: impl EncodeMetric,
    ) -> Result<(), fmt::Error> {
        let name = format!("ticklake_{name}");
        value.encode(self.0.encode_descriptor(&name, help, None, of)?)
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> Result<(), fmt::Error> {
        let values = values.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.put_each(name, help, MetricType::Counter, values)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> Result<(), fmt::Error> {
        let values = values.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.put_each(name, help, MetricType::Gauge, values)
    }

    fn put_each(
        &mut self,
        name: &str,
        help: &str,
        of: MetricType,
        values: impl Iterator<Item = (impl EncodeLabelSet, impl EncodeMetric)>,
    ) -> Result<(), fmt::Error> {
        let name = format!("ticklake_{name}");
        let mut family = self.0.encode_descriptor(&name, help, None, of)?;
        for (labels, value) in values {
            value.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
