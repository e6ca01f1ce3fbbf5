//! Exactly once, attacked: the program's own pipeline over a simulated Kafka, store, catalog and clock.
//!
//! A seed decides everything that happens; a failing one is printed, and replays:
//!
//! ```text
//! TICKLAKE_SEED=4711 TICKLAKE_SCHEDULES=1 cargo test --test it simulation
//! ```
//!
//! What is held against each schedule: a chain's links tile its offsets; a link holds whole records, each its chain's,
//! in the table's order; nothing is overwritten; a partition is registered only after a link in it exists; a committed
//! offset has every record below it in a registered link, and so has a batch that is done the ends that it began with; a
//! writer ends only with an error that is foreseen; where nothing fails any more, a group comes to its topics' ends; and
//! then, after one clean run, every row is there once, and every rejected record once.

mod broker;
mod chance;
mod faults;
mod feed;
mod frost;
mod lake;
mod member;
mod plan;
mod process;
mod schedule;
mod shelf;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many schedules the tests run; `make soak` runs more.
const SCHEDULES: u64 = 6_000;

pub struct Outcome {
    seed: u64,
    verdict: Verdict,
    /// What happened, a line each.
    log: Vec<String>,
    /// Faults and events, by kind.
    counts: BTreeMap<&'static str, u64>,
}

pub enum Verdict {
    Holds,
    Broken(Vec<String>),
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

#[test]
fn every_schedule_holds() {
    let first = setting("TICKLAKE_SEED", 0);
    let schedules = setting("TICKLAKE_SCHEDULES", SCHEDULES);
    if schedules == 1 {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .try_init();
    }
    let next = AtomicU64::new(first);
    let done = Mutex::new((None::<Outcome>, BTreeMap::<&str, u64>::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + schedules {
                        break;
                    }
                    let outcome = run(seed);
                    let mut done = done.lock().unwrap();
                    for (kind, count) in &outcome.counts {
                        *done.1.entry(kind).or_default() += count;
                    }
                    let is_least = done.0.as_ref().is_none_or(|broken| seed < broken.seed);
                    if matches!(outcome.verdict, Verdict::Broken(_)) && is_least {
                        next.fetch_max(first + schedules, Ordering::Relaxed);
                        done.0 = Some(outcome);
                    }
                }
            });
        }
    });
    let (broken, counts) = done.into_inner().unwrap();
    let ran = next.into_inner().min(first + schedules) - first;
    println!("{ran} schedules from seed {first}, and in them:");
    for (kind, count) in counts {
        println!("{count:>12} {kind}");
    }
    if let Some(Outcome { seed, verdict: Verdict::Broken(wrong), log, .. }) = broken {
        println!("{}", log.join("\n"));
        panic!(
            "seed {seed} breaks: {}\nreplay it: TICKLAKE_SEED={seed} TICKLAKE_SCHEDULES=1 cargo test --test it simulation",
            wrong.iter().take(8).cloned().collect::<Vec<_>>().join("\n  ")
        );
    }
}

/// A seed's schedule; a panic in it breaks it.
fn run(seed: u64) -> Outcome {
    std::panic::catch_unwind(|| schedule::run(seed)).unwrap_or_else(|panic| {
        let wrong = vec![format!("panicked: {}", text_of(&*panic))];
        Outcome { seed, verdict: Verdict::Broken(wrong), log: Vec::new(), counts: BTreeMap::new() }
    })
}

/// What a panic says.
fn text_of(panic: &dyn std::any::Any) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// What a failing seed is worth nothing without.
#[test]
fn a_seed_replays() {
    for seed in 0..20 {
        let (one, other) = (run(seed), run(seed));
        assert_eq!(one.log, other.log, "seed {seed}");
        assert_eq!(one.counts, other.counts, "seed {seed}");
    }
}
