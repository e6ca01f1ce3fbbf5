//! The dashboard shows what is served, and all of it. (That the figures are right, a scrape of a running job shows:
//! `tests/real/test_metrics.py`.)

use std::collections::{BTreeMap, BTreeSet};

use ticklake::ingest::Progress;
use ticklake::kafka::TopicPartition;
use ticklake::metrics::{JobName, text};

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let served: BTreeSet<String> = names(&served());
    let shown = names(include_str!("../../grafana.json"));
    assert_eq!(shown, served);
}

#[test]
fn a_text_is_whole_and_its_labels_are_escaped() {
    let text = served();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains(r#"table="market.ticks",group="a \"group\"""#), "{text}");
    assert!(text.contains("ticklake_rejected_total{reason=\"digits\"} 3\n"), "{text}");
    assert!(text.contains("ticklake_lag_records{topic=\"ticks\",partition=\"2\"} 7\n"), "{text}");
}

/// Of a job that has one of everything.
fn served() -> String {
    let job = JobName { table: "market.ticks".into(), group: "a \"group\"".into() };
    let progress = Progress {
        rejected_by: BTreeMap::from([("digits", 3)]),
        seals: BTreeMap::from([("age", 1)]),
        lags: BTreeMap::from([(TopicPartition::new("ticks", 2), 7)]),
        ..Progress::default()
    };
    text(&job, progress).unwrap()
}

/// The samples that a text names; of a dashboard only its expressions name any.
fn names(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let found = lines.flat_map(|line| {
        line.match_indices("ticklake_")
            .map(|(at, _)| line[at..].split(|c| !is_name(c)).next().unwrap().to_owned())
    });
    found.collect()
}
