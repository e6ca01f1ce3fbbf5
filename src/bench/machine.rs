//! Says what machine the figures are of: they are worth little without it.

use std::num::NonZero;

use serde::Serialize;

/// What is known of this machine; where the system does not tell, a part is missing.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    pub program: &'static str,
    /// An unoptimized build tells nothing.
    pub optimized: bool,
    pub system: String,
    pub cores: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Of the minute before: what else the machine does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
}

impl Machine {
    pub fn look() -> Self {
        let line = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kib =
            line("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        let load = std::fs::read_to_string("/proc/loadavg").ok();
        Self {
            program: env!("CARGO_PKG_VERSION"),
            optimized: !cfg!(debug_assertions),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cores: std::thread::available_parallelism().map_or(1, NonZero::get),
            cpu: line("/proc/cpuinfo", "model name"),
            memory_bytes: kib.map(|kib| kib * 1024),
            load: load.and_then(|text| text.split(' ').next()?.parse().ok()),
        }
    }
}
