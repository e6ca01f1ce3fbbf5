//! The stages of the hot path, one at a time, and crates that do the same with the same records.
//!
//! `make bench` runs them, and prints the table of what they took.

mod shapes;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow_json::ReaderBuilder;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use shapes::Shape;
use ticklake::ingest::Limits;
use ticklake::ingest::stages::Stages;
use ticklake::table::PartitionKey;

const RECORDS: usize = 50_000;

/// What a program makes of a tick that has no table in mind: binary fractions for money.
#[derive(Deserialize)]
struct Tick<'a> {
    symbol: &'a str,
    ts: i64,
    price: f64,
    size: i64,
    bid: f64,
    ask: f64,
    exchange: &'a str,
    seq: i64,
}

impl Tick<'_> {
    fn sum(&self) -> f64 {
        self.price
            + self.bid
            + self.ask
            + (self.ts + self.size + self.seq) as f64
            + (self.symbol.len() + self.exchange.len()) as f64
    }
}

fn stages(shape: &Shape) -> Stages {
    Stages::new(&shape.ddl, &Limits::default()).expect("the DDL of a shape is right")
}

fn decode(c: &mut Criterion) {
    for shape in [Shape::ticks(RECORDS, 500), Shape::wide(RECORDS / 5), Shape::escapes(RECORDS / 2)] {
        let mut group = c.benchmark_group(format!("decode {}", shape.name));
        group.throughput(Throughput::ElementsAndBytes {
            elements: shape.records.len() as u64,
            bytes: shape.bytes,
        });
        let mut ours = stages(&shape);
        assert_eq!(ours.decode(&shape.records), shape.records.len(), "all records are rows");
        group.bench_function("ticklake", |b| b.iter(|| ours.decode(&shape.records)));
        if !shape.name.starts_with("ticks") {
            continue;
        }
        let values: Vec<&[u8]> = shape.records.iter().filter_map(|record| record.value).collect();
        group.bench_function("arrow-json", |b| {
            b.iter(|| {
                let mut decoder = ReaderBuilder::new(tick_schema())
                    .with_batch_size(RECORDS)
                    .build_decoder()
                    .expect("a schema");
                for value in &values {
                    decoder.decode(value).expect("a tick");
                }
                decoder.flush().expect("ticks").expect("rows").num_rows()
            })
        });
        group.bench_function("sonic-rs", |b| {
            b.iter(|| {
                values.iter().map(|v| sonic_rs::from_slice::<Tick<'_>>(v).expect("a tick").sum()).sum::<f64>()
            })
        });
        group.bench_function("simd-json", |b| {
            // It writes into what it reads.
            let mut copy = Vec::new();
            b.iter(|| {
                let sum = |v: &&[u8]| {
                    copy.clear();
                    copy.extend_from_slice(v);
                    simd_json::serde::from_slice::<Tick<'_>>(&mut copy).expect("a tick").sum()
                };
                values.iter().map(sum).sum::<f64>()
            })
        });
    }
}

/// The whole of what the job's one thread does with records.
fn place(c: &mut Criterion) {
    let shapes = [1, 500, 50_000].map(|symbols| Shape::ticks(RECORDS, symbols));
    for shape in shapes.into_iter().chain([Shape::wide(RECORDS / 5)]) {
        let mut group = c.benchmark_group(format!("place {}", shape.name));
        group.throughput(Throughput::ElementsAndBytes {
            elements: shape.records.len() as u64,
            bytes: shape.bytes,
        });
        group.bench_function("route-and-append", |b| {
            let decoded = stages(&shape).rows(&shape.records);
            b.iter_batched_ref(
                || stages(&shape),
                |stages| stages.route(&shape.records, &decoded),
                BatchSize::PerIteration,
            )
        });
        group.bench_function("decode, route and append", |b| {
            b.iter_batched_ref(
                || stages(&shape),
                |stages| stages.place(&shape.records),
                BatchSize::PerIteration,
            )
        });
    }
}

fn encode(c: &mut Criterion) {
    for (rows, symbols) in [(100_000, 1), (100_000, 50), (100_000, 1_000)] {
        let shape = Shape::ticks(rows, symbols);
        let mut stages = stages(&shape);
        stages.place(&shape.records);
        let sealed = stages.seal();
        let files: Vec<_> = sealed.iter().map(|rows| stages.encode(rows).expect("a file")).collect();
        let bytes: usize = files.iter().map(|file| file.len()).sum();
        let name = format!(
            "seal and encode {} files of {} rows, {:.1} bytes a row",
            files.len(),
            rows / files.len(),
            bytes as f64 / rows as f64
        );
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function("ticklake", |b| {
            b.iter(|| sealed.iter().map(|rows| stages.encode(rows).expect("a file").len()).sum::<usize>())
        });
    }
}

fn paths(c: &mut Criterion) {
    let mut group = c.benchmark_group("Hive paths");
    let symbols = ["AAPL", "BRK/B", "BTC-USD", "ES=F", "Übung 100%"];
    group.throughput(Throughput::Elements(symbols.len() as u64));
    group.bench_function("ticklake", |b| {
        b.iter(|| {
            let path = |symbol: &&str| {
                let values = vec!["2026-11-28".to_owned(), (*symbol).to_owned()];
                PartitionKey::new(&["date", "symbol"], values).expect("a path").path().len()
            };
            symbols.iter().map(path).sum::<usize>()
        })
    });
}

fn tick_schema() -> Arc<Schema> {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let money = DataType::Decimal128(18, 4);
    Arc::new(Schema::new(vec![
        field("symbol", DataType::Utf8),
        field("ts", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        field("price", money.clone()),
        field("size", DataType::Int64),
        field("bid", money.clone()),
        field("ask", money),
        field("exchange", DataType::Utf8),
        field("seq", DataType::Int64),
    ]))
}

criterion_group!(benches, decode, place, encode, paths);
criterion_main!(benches);
