//! Turns what a job tells of itself into Prometheus' metrics, and serves them: `/metrics`, and `/healthz` for who
//! restarts what hangs.
//!
//! Every figure is the job's own [`Progress`] at the time of asking, so that a scrape and the job's summary cannot
//! disagree. Labels are topics, their partitions and closed lists of words: their number does not grow with symbols.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::ingest::Progress;

/// A job tells of itself every second. One that waits for a store or a catalog at a rebalance may not for a while, and
/// is not helped by a restart.
const SILENCE: Duration = Duration::from_secs(120);

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
    let told = Arc::new(Mutex::new(Instant::now()));
    tokio::spawn(listen(progress.clone(), told.clone()));
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .with_state(Shown { job, progress, told });
    tokio::spawn(async move {
        if let Err(e) = axum::serve(listener, router).await {
            tracing::error!(error = %e, "metrics are no longer served");
        }
    });
    Ok(bound)
}

#[derive(Clone, Debug)]
struct Shown {
    job: JobName,
    progress: watch::Receiver<Progress>,
    /// When the job told of itself last.
    told: Arc<Mutex<Instant>>,
}

async fn listen(mut progress: watch::Receiver<Progress>, told: Arc<Mutex<Instant>>) {
    while progress.changed().await.is_ok() {
        *told.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let progress = shown.progress.borrow().clone();
    match text(&shown.job, progress) {
        Ok(text) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

async fn health(State(shown): State<Shown>) -> Response {
    let silence = shown.told.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
    if silence < SILENCE {
        return "ok\n".into_response();
    }
    let text = format!("the job has not told of itself for {} s\n", silence.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
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
        self.done(&mut out)?;
        out.gauge("buffered_bytes", "Memory of rows that are in no file yet", progress.buffered_bytes)?;
        out.gauge("open_partitions", "Partitions with rows that are not sealed", progress.open_partitions)?;
        out.gauge("files_in_flight", "Files that are being encoded and put", progress.in_flight)?;
        out.seconds(
            "oldest_unsealed_seconds",
            "Age of the oldest row that is not sealed",
            progress.oldest_unsealed,
        )?;
        out.gauge(
            "registration_backlog",
            "Partitions with files that the catalog does not know yet",
            progress.registration_backlog,
        )?;
        let held = &progress.held;
        out.gauges(
            "held_records",
            "Records read whose offsets are not to be committed yet, by what they wait for",
            [
                ([("for", "buffer".to_owned())], held.buffered),
                ([("for", "store".to_owned())], held.writing),
                ([("for", "catalog".to_owned())], held.registering),
            ],
        )?;
        let lags = progress.lags.iter().map(|(source, lag)| {
            ([("topic", source.topic.to_string()), ("partition", source.partition.to_string())], *lag)
        });
        out.gauges("lag_records", "Records of an assigned partition that are not read yet", lags)
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
            "catalog_calls",
            "Calls of the catalog, by outcome",
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

/// Where figures are written, each under `ticklake_`.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
        let name = format!("ticklake_{name}");
        ConstCounter::new(value).encode(self.0.encode_descriptor(&name, help, None, MetricType::Counter)?)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (impl EncodeLabelSet, u64)>,
    ) -> Result<(), fmt::Error> {
        let name = format!("ticklake_{name}");
        let mut family = self.0.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
        let name = format!("ticklake_{name}");
        ConstGauge::new(value).encode(self.0.encode_descriptor(&name, help, None, MetricType::Gauge)?)
    }

    fn seconds(&mut self, name: &str, help: &str, value: Duration) -> Result<(), fmt::Error> {
        let name = format!("ticklake_{name}");
        ConstGauge::new(value.as_secs_f64()).encode(self.0.encode_descriptor(
            &name,
            help,
            None,
            MetricType::Gauge,
        )?)
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (impl EncodeLabelSet, u64)>,
    ) -> Result<(), fmt::Error> {
        let name = format!("ticklake_{name}");
        let mut family = self.0.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
