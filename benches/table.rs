//! Prints what the benchmarks took, from the files that they left, beside the baseline that was kept.
//!
//! `table FOLDER BASELINE`: criterion's folder, and the baseline's name in it.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
enum Throughput {
    Elements(u64),
    ElementsAndBytes { elements: u64, bytes: u64 },
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

/// Nanoseconds of one iteration.
#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

struct Line {
    group: String,
    name: String,
    elements_per_second: f64,
    bytes_per_second: Option<f64>,
    /// Time now by time then.
    change: Option<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, baseline] = arguments.as_slice() else { return Err("usage: table FOLDER BASELINE".into()) };
    let mut lines = Vec::new();
    for group in fs::read_dir(folder).map_err(|e| format!("{folder}: {e}: run the benchmarks first"))? {
        for function in fs::read_dir(group?.path())? {
            let function = function?.path();
            if function.join("new/benchmark.json").is_file() {
                lines.extend(line(&function, baseline)?);
            }
        }
    }
    lines.sort_by(|a, b| {
        (&a.group, b.elements_per_second).partial_cmp(&(&b.group, a.elements_per_second)).expect("no NaN")
    });
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    let mut group = "";
    for line in &lines {
        if line.group != group {
            group = &line.group;
            println!("\n{group}");
        }
        let bytes = line.bytes_per_second.map_or(String::new(), |bytes| format!("{:8.0} MB/s", bytes / 1e6));
        let change =
            line.change.map_or(String::new(), |change| format!("  {:+.0} % of time", 100.0 * (change - 1.0)));
        println!("  {:width$}  {:8.2} M/s{bytes}{change}", line.name, line.elements_per_second / 1e6);
    }
    Ok(())
}

fn line(function: &Path, baseline: &str) -> Result<Option<Line>, Box<dyn Error>> {
    let benchmark: Benchmark =
        serde_json::from_str(&fs::read_to_string(function.join("new/benchmark.json"))?)?;
    let median = |of: &str| -> Result<f64, Box<dyn Error>> {
        let text = fs::read_to_string(function.join(of).join("estimates.json"))?;
        Ok(serde_json::from_str::<Estimates>(&text)?.median.point_estimate)
    };
    let seconds = median("new")? / 1e9;
    let (elements, bytes) = match benchmark.throughput {
        Some(Throughput::Elements(elements)) => (elements, None),
        Some(Throughput::ElementsAndBytes { elements, bytes }) => (elements, Some(bytes)),
        None => return Ok(None),
    };
    Ok(Some(Line {
        group: benchmark.group_id,
        name: benchmark.function_id.unwrap_or_default(),
        elements_per_second: elements as f64 / seconds,
        bytes_per_second: bytes.map(|bytes| bytes as f64 / seconds),
        change: median(baseline).ok().map(|then| seconds * 1e9 / then),
    }))
}
