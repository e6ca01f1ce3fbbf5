//! What a seed decides before anything happens: how the job is set, how often each fault comes, and which events there
//! are. A schedule has some kinds of events only, so that each is seen without the others too.

use std::time::Duration;

use ticklake::ingest::{From, Limits, Lost};

use super::chance::Chance;
use super::faults::Rates;
use super::member::Style;

/// What a seed has decided before anything happens.
pub struct Plan {
    /// Of each topic.
    pub partitions: Vec<i32>,
    pub symbols: usize,
    pub events: u64,
    pub writers: usize,
    /// The longest between two events, milliseconds.
    pub calm: u64,
    pub limits: Limits,
    pub style: Style,
    /// Which events there are, each as often as it is named.
    pub mix: Vec<Event>,
    pub from: From,
    pub lost: Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Produce,
    Rebalance,
    Start,
    Kill,
    Stop,
    /// All stop, and a batch runs to the end of the topics.
    Batch,
    /// A batch begins beside the other members.
    BatchBeside,
    /// Its process stands still, and the group goes on without it.
    Freeze,
    /// The group goes on without it, and it does not know.
    Zombie,
    Notice,
    BrokerFails,
    StoreDown,
    CatalogDown,
    OffsetsLost,
    OffsetsBack,
    /// Somebody sets offsets by hand, beyond what was read.
    OffsetsForward,
    PartitionDropped,
    Retention,
    /// Retention is quicker than the group.
    RecordsLost,
    /// All stop, the table gets a column more, and new ones start under the new DDL.
    Widen,
    /// The same with that column dropped. It may come back.
    Narrow,
    /// As to get a column more, but where the last run was cut off: refused, unless it had nothing on its way.
    WidenTooSoon,
    Reroute,
    /// All stop, and new ones go on under a DDL that routes otherwise, as the user says they may.
    TakeOver,
    /// A topic is deleted and made again.
    MadeAnew,
}

impl Plan {
    pub fn new(chance: &mut Chance) -> (Self, Rates) {
        use Event as E;
        let severity = chance.pick(&[0, 5, 30, 30, 100, 250]);
        let rates = Rates {
            puts: severity,
            late_puts: severity / 2,
            reads: severity,
            catalog: severity,
            commits: severity,
            // Asked once a second, by batches that wait for others.
            offsets: 3 * severity,
            latency: chance.pick(&[1, 5, 40, 400, 1500]),
        };
        let mut mix = vec![E::Produce; 6];
        mix.extend([E::Rebalance, E::Rebalance, E::Rebalance, E::Start, E::Start, E::Kill, E::Kill, E::Stop]);
        for some in [
            &[E::Batch, E::Batch][..],
            &[E::Freeze],
            &[E::Zombie, E::Zombie, E::Notice],
            &[E::BrokerFails],
            &[E::StoreDown, E::CatalogDown],
            &[E::OffsetsLost],
            &[E::OffsetsBack, E::OffsetsBack],
            &[E::OffsetsForward],
            &[E::PartitionDropped],
            &[E::Retention],
            &[E::RecordsLost],
            &[E::Widen, E::Narrow],
            &[E::WidenTooSoon],
            &[E::Reroute],
            &[E::TakeOver],
            &[E::BatchBeside; 4],
            &[E::MadeAnew],
        ] {
            if chance.happens(350) {
                mix.extend(some);
            }
        }
        let keeps = |event: &E| {
            use E::{Narrow, RecordsLost, Reroute, Retention, TakeOver, Widen, WidenTooSoon};
            !matches!(event, Retention | RecordsLost | Widen | Narrow | WidenTooSoon | Reroute | TakeOver)
        };
        let skips = chance.happens(50) && mix.iter().all(keeps);
        let millis = |chance: &mut Chance, of: &[u64]| Duration::from_millis(chance.pick(of));
        let limits = Limits {
            flush_rows: chance.pick(&[1, 3, 5, 12, 1000]),
            flush_age: millis(chance, &[50, 300, 1000, 5000]),
            memory_bytes: chance.pick(&[1 << 10, 24 << 10, 1 << 20]),
            writes: chance.pick(&[1, 2, 4]),
            commit_interval: millis(chance, &[100, 500, 2000]),
            drain_deadline: millis(chance, &[10, 1000, 30_000]),
            catalog_ttl: millis(chance, &[500, 5000, 3_600_000]),
            ..Limits::default()
        };
        let style = Style {
            set: chance.pick(&[1, 3, 10]),
            pace: chance.pick(&[10, 50, 300]),
            eager: chance.happens(200),
            late_commits: chance.happens(300),
        };
        let mut partitions = vec![chance.between(1, 3) as i32];
        if chance.happens(300) {
            partitions.push(chance.between(1, 2) as i32);
        }
        let plan = Self {
            partitions,
            symbols: chance.between(1, 4) as usize,
            events: chance.between(3, 14),
            writers: chance.between(1, 4) as usize,
            calm: chance.pick(&[50, 300, 1000, 3000]),
            limits,
            style,
            mix,
            from: if skips { From::Latest } else { From::Beginning },
            lost: chance.pick(&[Lost::Stop, Lost::Skip]),
        };
        (plan, rates)
    }
}
