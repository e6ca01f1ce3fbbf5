//! Labels of any text: a group's name is the user's, and a topic's the broker's.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ticklake::ingest::Progress;
use ticklake::kafka::TopicPartition;
use ticklake::metrics::{JobName, text};

use super::cases;

fn labels() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\"\\\\\n\r{},= ntx#]{0,8}"]
}

/// One sample: its name, its labels and its value.
type Sample = (String, BTreeMap<String, String>, f64);

/// Reads a line as OpenMetrics' grammar says it.
fn sample(line: &str) -> Option<Sample> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = line.find(|c| !is_name(c))?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let mut value = String::new();
            let mut chars = after.chars();
            loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => value.push(match chars.next()? {
                        'n' => '\n',
                        c @ ('"' | '\\') => c,
                        _ => return None,
                    }),
                    c => value.push(c),
                }
            }
            rest = chars.as_str();
            rest = rest.strip_prefix(',').unwrap_or(rest);
            if !label.chars().all(is_name) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
        }
        rest = &rest[1..];
    }
    Some((name.to_owned(), labels, rest.strip_prefix(' ')?.parse().ok()?))
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_label_comes_back(table in labels(), group in labels(), topics in prop::collection::btree_map(labels(), any::<u32>(), 0..4)) {
        let lags = topics.iter().map(|(topic, lag)| (TopicPartition::new(topic, 7), u64::from(*lag))).collect();
        let job = JobName { table: table.clone(), group: group.clone() };
        let text = text(&job, Progress { lags, ..Progress::default() }).expect("it is written to memory");
        let samples: Option<Vec<Sample>> =
            text.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample).collect();
        prop_assert!(samples.is_some(), "{}", text);
        let samples = samples.unwrap_or_default();
        let of = |name: &str| samples.iter().filter(|(n, ..)| n == name).collect::<Vec<_>>();
        let [(_, info, _)] = of("ticklake_job_info")[..] else { panic!("{text}") };
        prop_assert_eq!((&info["table"], &info["group"]), (&table, &group));
        let lags: BTreeMap<String, u32> =
            of("ticklake_lag_records").into_iter().map(|(_, labels, lag)| (labels["topic"].clone(), *lag as u32)).collect();
        prop_assert_eq!(lags, topics);
    }
}
