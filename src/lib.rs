//! ticklake: JSON ticks from Kafka become a partitioned Parquet lake, exactly once.
//!
//! One program and one library. `README.md` says how it is used; this page is the map for who changes it.
//!
//! # The way of the data
//!
//! ```text
//! Kafka ─ source ─▶ decode ─▶ route ─▶ buffer ─ seal ─▶ write (Parquet) ─▶ register ─▶ commit
//!                                                                              │
//!                                                      SQL ◀── query ◀── catalog
//! ```
//!
//! Begin reading at [`ingest`], the main job: its page joins the stages in this order. Then [`table`], whose words
//! all else is written in, and [`demo`], which runs everything at once.
//!
//! # The rooms
//!
//! * [`table`]: what a table is: its DDL, columns, partitions, and the [`table::Spec`] that decides a record's fate. Pure.
//! * [`kafka`]: the one room that knows rdkafka: the source, the producer, admin calls, the in-process cluster.
//! * [`aws`]: how AWS is reached: region, credentials, endpoints.
//! * [`store`]: folders of files on a disk or on S3, and how a file is created once and never overwritten.
//! * [`catalog`]: where tables and partitions are named: a SQLite file, or AWS Glue.
//! * [`ingest`]: Kafka → table. [`metrics`]: what a job tells of itself, as Prometheus reads it.
//! * [`query`]: table → answers, by DataFusion in this process or by Athena.
//! * [`verify`]: is a table whole? [`produce`]: files and a simulated market → Kafka. [`demo`]: the whole system in one process.
//!   [`mod@bench`]: what a job takes, beside what its parts take alone. [`mod@infer`]: a DDL out of samples of a feed.
//!   [`mod@check`]: all that a job needs, before it starts.
//! * [`config`]: the settings and where each comes from. [`cli`]: what can be typed, and the shell. [`error`]: the one error.
//!
//! Dependencies point one way: `table, aws ← kafka, store, catalog ← ingest, query, produce ← metrics, demo, verify, bench, infer, check ← cli ← main`. The
//! stages of `ingest` never call each other. A test holds these lines.
//!
//! # What is promised
//!
//! The rows that one Kafka partition gives to one partition of the table form a *chain* of files, its *links*. A link covers
//! the offsets from `start` up to and without `end`; `start` is where the chain ended before and is in the file's name, `end`
//! is in its footer.
//!
//! 1. A partition is registered only after a link in it exists.
//! 2. An offset is committed only when every record below it is in a registered link, rejected or skipped.
//! 3. No file is ever overwritten: links are put create-only. Of two writers that know the same chain end one wins; the
//!    other reads the winner's `end`, drops its own rows below it, and goes on. A replay, a zombie and a retry are all this
//!    one case, so delivery is exactly once wherever files are cut.
//! 4. The links of a chain tile the offsets: no gap, no overlap.
//! 5. After a revoke nothing of that source changes state, whatever still lands.
//! 6. Rows follow the table's sort order, ties in the order of arrival.
//! 7. Every queue, buffer and retry has a limit. Limits stop or pause a job; they never change a record's fate.
//! 8. Fate is pure: it depends on the record and the spec, never on the clock or on other records. `DECODING.md` lists it.
//!
//! Where the past is not clean, a job refuses and says how to go on, rather than guess:
//!
//! * A table's folder notes each topic's cluster and id; another topic of that name is seen before a row is written.
//! * A new spec takes over only where no file of the old one reaches beyond the offset that is gone on from: a value that does
//!   not fit a column makes a rejected record of what was a row. One that does more than to add, drop and widen columns waits for
//!   the user's word that the old writers are gone.
//! * A replay of rejected records has a plan, kept before it writes, and is finished by it before another one begins.
//! * A chain whose first links are gone is not taken for one that holds what is read again.
//! * A store must refuse to create what is there. It is asked before anything is written.
//! * A catalog that takes partitions in batches may stop half-way. A note in the table's folder says of which table, by when
//!   it was made in its catalog, all partitions have been registered; without it they are looked through again.
//! * An end of a partition counts as the broker that was read from gave it: a follower may be behind the leader.
//!
//! # Who tries again
//!
//! A create is one request: an answer that got lost, and one that says "taken" or "conflict", end in a look at what is there
//! (`ingest`'s `write`). What only reads, or is the same when it is done twice (a list, a partition registered), is made again
//! by the library below, some seconds long; above that a job waits for ten minutes (`ingest`'s `retry`), and a start for some
//! seconds, so that what is set wrong is said soon.
//!
//! # Words
//!
//! * *record*: Kafka's bytes. *row*: its meaning. `RecordBatch` is Arrow's; a batch of Kafka's is a [`kafka::RecordSet`].
//! * *source*, [`kafka::TopicPartition`]: Kafka's side. *partition*, [`table::PartitionKey`], *location*: the table's.
//! * append → seal → write → register → commit: the life of a row.
//! * *chain*, *link*: above. *frontier*: our durable progress in a source, which is what is committed.
//! * *high watermark*, *lag*: the broker's.
//! * *rejected*: no row, but kept in the sibling table `<name>_rejected`. *skipped*: not meant for the table.
//! * *replay*: rejected records decoded anew, by a DDL that was mended. *open*: rejected, and no row by any replay yet.

pub mod aws;
pub mod bench;
pub mod catalog;
pub mod check;
pub mod cli;
pub mod config;
pub mod demo;
pub mod error;
pub mod infer;
pub mod ingest;
pub mod kafka;
pub mod metrics;
pub mod produce;
pub mod query;
pub mod store;
pub mod table;
pub mod verify;

pub use error::{Error, Result};
