//! Asks the system what this process has taken so far. Linux tells it in files; elsewhere nothing is known.

use serde::{Deserialize, Serialize};

/// CPU and memory of one process, all its threads; 0 where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Usage {
    pub user_seconds: f64,
    pub system_seconds: f64,
    /// The most memory that was resident.
    pub peak_bytes: u64,
}

/// How the kernel counts time for programs, whatever its own clock: USER_HZ of proc(5), 100 on every architecture that Rust
/// runs on with Linux.
const TICKS_A_SECOND: f64 = 100.0;

impl Usage {
    pub fn cpu_seconds(&self) -> f64 {
        self.user_seconds + self.system_seconds
    }
}

/// What this process has taken so far.
pub fn usage() -> Usage {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    of_files(&read("/proc/self/stat"), &read("/proc/self/status"))
}

/// The resident memory of another process, in bytes.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    kib(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

fn of_files(stat: &str, status: &str) -> Usage {
    // The program's name, in parentheses, may hold anything; the fields behind it are numbered from 3 (proc(5)).
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace().collect();
    let seconds = |number: usize| {
        let ticks = fields.get(number - 3).and_then(|field| field.parse::<f64>().ok());
        ticks.unwrap_or(0.0) / TICKS_A_SECOND
    };
    Usage {
        user_seconds: seconds(14),
        system_seconds: seconds(15),
        peak_bytes: kib(status, "VmHWM:").unwrap_or(0),
    }
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().split(' ').next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_tells_is_read() {
        let stat = "7 (tick) lake)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 1 2 3";
        let usage = of_files(stat, "Name:\tticklake\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n");
        assert_eq!(usage, Usage { user_seconds: 2.5, system_seconds: 0.5, peak_bytes: 2 << 20 });
        assert_eq!(of_files("", ""), Usage::default());
    }
}
