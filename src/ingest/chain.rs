//! Defines the links of a chain: their names, and what their footers say (DESIGN §3).
//!
//! A link is the Parquet file `k-<topic>-<partition>[-e<epoch>][-r<replay>]-<start>.parquet` in a partition's folder. It
//! holds every row of the table's partition that the source's offsets `[start, end)` give, to the ingest or to that replay. `start` is where the chain ended
//! before, and is the name; `end` is in the footer. So two writers that know the same chain end aim at one name.
//!
//! A link may also be a *closer* (`closer`): it has no row, and says that the rows before it have left the table.
//!
//! Pure. Does not own reading links (`footer`) or putting them (`write`).

use std::collections::HashMap;
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};
use crate::kafka::TopicPartition;

/// A topic name longer than this is hashed, so that a link's name stays a file's name (255 bytes).
const TOPIC_BYTES: usize = 150;
/// The format of footers that this code writes; it reads no later one.
const FORMAT: &str = "1";

/// One source's chains: they are told apart by topic, partition, epoch and replay.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ChainSource {
    pub source: TopicPartition,
    /// Above 0 where the user began new chains.
    pub epoch: u32,
    /// Above 0 where a replay decoded rejected records anew.
    pub replay: u32,
}

impl ChainSource {
    /// What the names of the source's links begin with.
    fn prefix(&self) -> String {
        let epoch = numbered("-e", self.epoch);
        let replay = numbered("-r", self.replay);
        format!("k-{}-{}{epoch}{replay}-", topic_in_names(&self.source.topic), self.source.partition)
    }

    /// What a file about a whole topic is called.
    pub fn topic_name(topic: &str, epoch: u32) -> String {
        format!("k-{}{}", topic_in_names(topic), numbered("-e", epoch))
    }

    pub fn link_name(&self, start: i64) -> String {
        format!("{}{start:020}.parquet", self.prefix())
    }

    /// The start of a link of this source; `None` where the name is another's. (With the prefix taken off, what is
    /// left of a link of a longer topic or of an epoch is no 20 digits.)
    pub fn parse(&self, name: &str) -> Option<i64> {
        let start = name.strip_prefix(&self.prefix())?.strip_suffix(".parquet")?;
        let is_start = start.len() == 20 && start.bytes().all(|b| b.is_ascii_digit());
        is_start.then(|| start.parse().ok()).flatten()
    }
}

/// Refuses what Kafka has no topic of (its `Topic.validate`), as a topic's name is a part of files' names: a slash in it
/// would be a folder that nobody looks into.
pub(super) fn check_topic(topic: &str) -> Result<()> {
    let plain = topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    match plain && (1..=249).contains(&topic.len()) && ![".", ".."].contains(&topic) {
        true => Ok(()),
        false => Err(Error::usage(
            "this is no name of a topic: it has 1 to 249 letters, digits, dots, underscores and hyphens, and is not '.' \
             or '..'",
        )
        .with("topic", format_args!("{topic:?}"))),
    }
}

/// Reads a link's name, whosever it is: what its whole chain's names begin with, and its start; `None` where it is no
/// link's. From the right, since a topic's name may look like anything that follows it.
pub(crate) fn parse_name(name: &str) -> Option<(&str, i64)> {
    let stem = name.strip_suffix(".parquet")?;
    let (chain, start) = stem.rsplit_once('-')?;
    let source = without_number(chain.strip_prefix("k-")?, 'r');
    let (topic, partition) = without_number(source, 'e').rsplit_once('-')?;
    let is_start = start.len() == 20 && start.bytes().all(|b| b.is_ascii_digit());
    (is_start && is_number(partition) && !topic.is_empty())
        .then_some((&stem[..=chain.len()], start.parse().ok()?))
}

/// A part of a name that is left out where it is 0.
fn numbered(mark: &str, number: u32) -> String {
    if number == 0 { String::new() } else { format!("{mark}{number}") }
}

/// A name without such a part at its end, where it has one.
fn without_number(name: &str, mark: char) -> &str {
    match name.rsplit_once('-') {
        Some((rest, last)) if last.strip_prefix(mark).is_some_and(|n| is_number(n) && n != "0") => rest,
        _ => name,
    }
}

/// Whether a text is a number as a name has it, which is how it is printed.
fn is_number(text: &str) -> bool {
    text.parse::<i32>().is_ok_and(|number| number >= 0 && number.to_string() == text)
}

fn topic_in_names(topic: &str) -> String {
    if topic.len() > TOPIC_BYTES { format!("sha256.{}", hex(topic)) } else { topic.to_owned() }
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of a footer's sum: the first half of the SHA-256 of what the others say.
const CHECK: &str = "ticklake.check";

fn check_of(texts: &[(String, String)]) -> String {
    let lines: Vec<String> = texts.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    hex(&lines.concat())[..32].to_owned()
}

/// What a link's footer says, as Parquet key-value metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub chain: ChainSource,
    pub start: i64,
    pub end: i64,
    /// The cluster that the topic is on.
    pub cluster: String,
    /// The topic's own id, which a topic made anew does not have; empty where the broker has none.
    pub topic_id: String,
    pub spec: String,
    /// Which run of which process wrote the link: how a writer knows its own after a lost answer.
    pub writer: String,
    /// The link is a closer: the rows of the links before it have left the table, and those files may be gone.
    pub closes: bool,
}

impl Footer {
    pub fn key_values(&self) -> Vec<(String, String)> {
        let mut texts = self.texts();
        texts.push((CHECK.to_owned(), check_of(&texts)));
        texts
    }

    fn texts(&self) -> Vec<(String, String)> {
        let replay = (self.chain.replay > 0).then(|| ("replay", self.chain.replay.to_string()));
        let closes = self.closes.then(|| ("closes", "expired".to_owned()));
        let texts = [
            ("format", FORMAT.to_owned()),
            ("topic", self.chain.source.topic.to_string()),
            ("partition", self.chain.source.partition.to_string()),
            ("epoch", self.chain.epoch.to_string()),
            ("start", self.start.to_string()),
            ("end", self.end.to_string()),
            ("cluster", self.cluster.clone()),
            ("topic_id", self.topic_id.clone()),
            ("spec", self.spec.clone()),
            ("writer", self.writer.clone()),
        ];
        texts
            .into_iter()
            .chain(replay)
            .chain(closes)
            .map(|(key, value)| (format!("ticklake.{key}"), value))
            .collect()
    }

    /// Reads a footer, whosever it is.
    pub fn read(key_values: &HashMap<String, String>) -> Result<Self> {
        let text = |key: &str| {
            key_values.get(&format!("ticklake.{key}")).cloned().ok_or_else(|| {
                Error::new(Kind::Protocol, format!("the link's footer has no ticklake.{key}: it is no link"))
            })
        };
        let format = text("format")?;
        if format != FORMAT {
            return Err(Error::new(Kind::Protocol, "the link was written by a later version: use that one")
                .with("format", format));
        }
        let footer = Self {
            chain: ChainSource {
                source: TopicPartition::new(&text("topic")?, number("partition", text("partition")?)?),
                epoch: number("epoch", text("epoch")?)?,
                // A link of the ingest's says nothing of it.
                replay: text("replay").map_or(Ok(0), |text| number("replay", text))?,
            },
            start: number("start", text("start")?)?,
            end: number("end", text("end")?)?,
            cluster: text("cluster")?,
            topic_id: text("topic_id")?,
            spec: text("spec")?,
            writer: text("writer")?,
            closes: text("closes").is_ok(),
        };
        // Its end is nowhere else, and a wrong one would drop rows or double them.
        match key_values.get(CHECK) {
            Some(check) if *check == check_of(&footer.texts()) => Ok(footer),
            Some(_) => Err(Error::new(Kind::Protocol, "the link's footer is damaged: its sum is another")
                .with("footer", &footer)),
            None => Err(Error::new(
                Kind::Protocol,
                format!("the link's footer has no {CHECK}: it is no link, or one of an earlier version"),
            )),
        }
    }

    /// Below which offset its chain has rows: a closer has none of the range that it covers.
    pub fn rows_end(&self) -> i64 {
        if self.closes { self.start } else { self.end }
    }

    /// Whether there is a footer among a file's texts, maybe a damaged one.
    pub fn is_in(key_values: &HashMap<String, String>) -> bool {
        key_values.contains_key(CHECK)
    }

    /// Whether a link of this footer has that name.
    pub fn is_named(&self, name: &str) -> bool {
        self.end > self.start && self.chain.link_name(self.start) == name
    }

    /// Reads a footer and checks it against the name it was found under.
    pub fn parse(key_values: &HashMap<String, String>, chain: &ChainSource, start: i64) -> Result<Self> {
        let footer = Self::read(key_values)?;
        if footer.chain != *chain || footer.start != start || footer.end <= start {
            return Err(Error::new(
                Kind::Protocol,
                "the link's footer disagrees with its name: it was copied or damaged",
            )
            .with("footer", &footer));
        }
        Ok(footer)
    }
}

/// A number within its type's range: a partition of 2³² + 3 is not partition 3.
fn number<T: FromStr<Err = ParseIntError>>(key: &str, text: String) -> Result<T> {
    text.parse().map_err(|e| {
        Error::new(Kind::Protocol, format!("ticklake.{key} is no number")).with("value", text).because(e)
    })
}

/// `ticks-3`, `ticks-3-e1`, `ticks-3-r2`: what a link is called for, with the topic's whole name.
impl fmt::Display for ChainSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.source, numbered("-e", self.epoch), numbered("-r", self.replay))
    }
}

impl fmt::Display for Footer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}..{})", self.chain, self.start, self.end)
    }
}

/// The first and the last link of a source's chain among the names in a folder: their starts.
pub(super) fn ends<'a>(chain: &ChainSource, names: impl IntoIterator<Item = &'a str>) -> Option<(i64, i64)> {
    let starts = names.into_iter().filter_map(|name| chain.parse(name));
    starts.fold(None, |ends, start| match ends {
        None => Some((start, start)),
        Some((least, greatest)) => Some((start.min(least), start.max(greatest))),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain(topic: &str, partition: i32, epoch: u32) -> ChainSource {
        ChainSource { source: TopicPartition::new(topic, partition), epoch, replay: 0 }
    }

    fn footer(chain: ChainSource, start: i64, end: i64) -> Footer {
        let [cluster, topic_id, spec, writer] = ["c", "", "s", "w"].map(str::to_owned);
        Footer { chain, start, end, cluster, topic_id, spec, writer, closes: false }
    }

    /// Numbers, those that are one of the footer's but for 2³² or 2⁶⁴ among them, and any text.
    fn numbers() -> impl Strategy<Value = String> {
        let wrapped = (0..3u32, prop::sample::select(vec![0, 1, 3]))
            .prop_map(|(by, n)| (i128::from(n) + (i128::from(by) << 32)).to_string());
        prop_oneof![wrapped, any::<i128>().prop_map(|n| n.to_string()), "[+-]?[0-9]{0,20}", any::<String>()]
    }

    proptest! {
        #[test]
        fn a_name_is_one_chains_only(
            a in ("[a-z0-9._-]{1,8}", 0..12i32, 0..3u32, 0..3u32),
            b in ("[a-z0-9._-]{1,8}", 0..12i32, 0..3u32, 0..3u32),
            start in 0..i64::MAX,
        ) {
            let [a, b] = [a, b].map(|(topic, partition, epoch, replay)| {
                ChainSource { replay, ..chain(&topic, partition, epoch) }
            });
            let name = a.link_name(start);
            prop_assert_eq!(a.parse(&name), Some(start));
            let prefix = a.prefix();
            prop_assert_eq!(parse_name(&name), Some((&*prefix, start)));
            if a != b {
                prop_assert_eq!(b.parse(&name), None);
            }
        }

        #[test]
        fn names_sort_as_their_starts(a in 0..i64::MAX, b in 0..i64::MAX) {
            let chain = chain("ticks", 3, 0);
            prop_assert_eq!(chain.link_name(a).cmp(&chain.link_name(b)), a.cmp(&b));
        }

        /// Whatever a footer's texts are, it is of the link it was found under, or refused.
        #[test]
        fn a_footer_is_of_its_link(
            changes in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(numbers())), 0..4),
            replay in 0..2u32, end in 1..i64::MAX,
        ) {
            let footer = footer(ChainSource { replay, ..chain("ticks", 3, 1) }, 0, end);
            let mut key_values = footer.key_values();
            for (at, value) in changes {
                let at = at.index(key_values.len());
                match value {
                    Some(value) => key_values[at].1 = value,
                    None => key_values[at].0 = String::new(),
                }
            }
            let key_values: HashMap<_, _> = key_values.into_iter().collect();
            if let Ok(read) = Footer::parse(&key_values, &footer.chain, footer.start) {
                prop_assert_eq!(read, footer);
            }
        }
    }

    #[test]
    fn names() {
        assert_eq!(chain("_t", 3, 0).link_name(17), "k-_t-3-00000000000000000017.parquet");
        assert_eq!(chain("t", 3, 2).link_name(17), "k-t-3-e2-00000000000000000017.parquet");
        let replayed = ChainSource { replay: 4, ..chain("t", 3, 2) };
        assert_eq!(replayed.link_name(17), "k-t-3-e2-r4-00000000000000000017.parquet");
        for none in [
            "k-t-3-r4-e2-00000000000000000017.parquet",
            "k-t-3-r0-00000000000000000017.parquet",
            "k-t-00000000000000000017.parquet",
            "k-t-3-0017.parquet",
            "k-t-03-00000000000000000017.parquet",
            "k-3-e2-00000000000000000017.parquet",
            "k-t-3-00000000000000000017.csv",
            "t-3-00000000000000000017.parquet",
        ] {
            assert_eq!(parse_name(none), None, "{none}");
        }
        let long = chain(&"x".repeat(249), 3, 0).link_name(i64::MAX);
        assert!(long.starts_with("k-sha256.") && long.len() < 255, "{long}");
        assert_eq!(
            ends(
                &chain("t", 3, 0),
                [
                    "k-t-3-00000000000000000017.parquet",
                    "k-t-3-e9-00000000000000000099.parquet",
                    "x",
                    "k-t-3-00000000000000000005.parquet"
                ]
            ),
            Some((5, 17))
        );
    }

    #[test]
    fn footers_come_back() {
        let footer = footer(chain("ticks", 3, 1), 5, 9);
        let read: HashMap<_, _> = footer.key_values().into_iter().collect();
        assert_eq!(Footer::parse(&read, &footer.chain, 5).unwrap(), footer);
        for (chain, start) in [(chain("ticks", 3, 0), 5), (chain("ticks", 3, 1), 6)] {
            let e = Footer::parse(&read, &chain, start).unwrap_err();
            assert!(e.to_string().contains("disagrees with its name"), "{e}");
        }
        let wrapped = |(key, value): (String, String)| match key.as_str() {
            "ticklake.partition" => (key, (3 + (1i64 << 32)).to_string()),
            _ => (key, value),
        };
        let e = Footer::parse(&read.into_iter().map(wrapped).collect(), &footer.chain, 5).unwrap_err();
        assert!(e.to_string().contains("ticklake.partition is no number"), "{e}");
    }
}
