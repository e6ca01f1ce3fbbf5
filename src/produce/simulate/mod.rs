//! Makes ticks: `{"symbol":"AAPL","ts":1732300800123,"price":229.87,"size":100,"bid":229.86,"ask":229.88,"exchange":"Q","seq":1}`.
//!
//! The popularity of symbols is Zipf's (the n-th is traded 1/n as often as the first), each price is a geometric
//! Brownian motion in trading time, and trades fall into the US session, 09:30 to 16:00 in New York on weekdays. The
//! seed decides every byte; no clock is read. Bytes are written directly: some hundred nanoseconds a tick.

mod listing;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeZone, Weekday};
use chrono_tz::America::New_York;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_distr::weighted::WeightedAliasIndex;
use rand_distr::{Distribution, Exp1, StandardNormal};

use super::feed::{Batch, Records};
use crate::error::{Error, Result};
use listing::Listing;

/// What to simulate. The same values give the same bytes, from the same build of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// How many symbols are traded, from 1 to [`SYMBOLS_MAX`].
    pub symbols: u32,
    /// Several producers at once want different seeds.
    pub seed: u64,
    /// The first trading day, or the one after it where it is a weekend.
    pub start: NaiveDate,
    /// Ticks of all symbols in one session, on average; at least 1. So many ticks later it is the next day.
    pub ticks_per_day: u32,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            symbols: 100,
            seed: 1,
            start: NaiveDate::from_ymd_opt(2024, 11, 22).expect("a date of the calendar"),
            ticks_per_day: 100_000,
        }
    }
}

/// Memory is some 150 bytes a symbol.
pub const SYMBOLS_MAX: u32 = 1_000_000;

const SESSION_MS: f64 = 6.5 * 3600.0 * 1000.0;
const TRADING_DAYS_A_YEAR: f64 = 252.0;

/// A price is kept within these, in whole currency units, so that every one fits decimal(18,4).
const PRICES: std::ops::RangeInclusive<f64> = 0.01..=1e9;

/// One letter an exchange, as the US tapes have it: Nasdaq, NYSE, Arca, BZX, EDGX, IEX, MEMX, and TRF for the rest.
const EXCHANGES: [u8; 8] = *b"QNPZKVUD";

/// Ticks without end, in the order of their times; `seq` counts them from 1.
pub struct Ticks {
    rng: StdRng,
    popularity: WeightedAliasIndex<f64>,
    instruments: Vec<Instrument>,
    day: NaiveDate,
    /// When the day's session opens: milliseconds since the epoch.
    open_ms: i64,
    /// How far into the session the last tick was.
    into_ms: f64,
    /// Trading time of the sessions before.
    traded_ms: f64,
    gap_ms: f64,
    seq: u64,
}

struct Instrument {
    listing: Listing,
    /// The fair price, before it is rounded to the quantum.
    fair: f64,
    /// Standard deviation of the logarithm over one millisecond of trading.
    volatility: f64,
    /// The trading time of its last tick.
    last_ms: f64,
}

impl Ticks {
    pub fn new(simulation: &Simulation) -> Result<Self> {
        if !(1..=SYMBOLS_MAX).contains(&simulation.symbols) || simulation.ticks_per_day == 0 {
            return Err(Error::usage(format!(
                "a simulation has from 1 to {SYMBOLS_MAX} symbols and at least one tick a day"
            ))
            .with("symbols", simulation.symbols)
            .with("ticks a day", simulation.ticks_per_day));
        }
        let mut rng = StdRng::seed_from_u64(simulation.seed);
        let instruments = (0..simulation.symbols).map(|rank| Instrument::new(rank, &mut rng)).collect();
        let weights = (1..=simulation.symbols).map(|n| 1.0 / f64::from(n)).collect();
        let day = trading_day(simulation.start);
        Ok(Self {
            rng,
            popularity: WeightedAliasIndex::new(weights).expect("there are positive weights"),
            instruments,
            day,
            open_ms: open_ms(day),
            into_ms: 0.0,
            traded_ms: 0.0,
            gap_ms: SESSION_MS / f64::from(simulation.ticks_per_day),
            seq: 0,
        })
    }

    /// Appends the next tick's JSON, without a line end, and returns its symbol.
    pub fn write_next(&mut self, out: &mut Vec<u8>) -> &str {
        self.advance();
        self.seq += 1;
        let now_ms = self.traded_ms + self.into_ms;
        let instrument = &mut self.instruments[self.popularity.sample(&mut self.rng)];
        let price = instrument.trade(now_ms, &mut self.rng);
        let quantum = instrument.listing.quantum();
        // One draw for all that is small: bits 0-1 bid, 2-3 ask, 4-6 exchange, 7-8 odd lot, 9-11 and 16-31 size.
        let bits: u64 = self.rng.random();
        let bid = (price - (bits & 3) * quantum).clamp(quantum, price);
        let ask = price + (bits >> 2 & 3) * quantum;
        let size = match bits >> 7 & 3 {
            0 => 1 + (bits >> 16 & 0xffff) % 99,
            _ => 100 * (1 + (bits >> 9 & 7)),
        };

        let decimals = instrument.listing.decimals;
        out.extend_from_slice(&instrument.listing.head);
        push_number(out, (self.open_ms + self.into_ms as i64).unsigned_abs());
        out.extend_from_slice(b",\"price\":");
        push_price(out, price, decimals);
        out.extend_from_slice(b",\"size\":");
        push_number(out, size);
        out.extend_from_slice(b",\"bid\":");
        push_price(out, bid, decimals);
        out.extend_from_slice(b",\"ask\":");
        push_price(out, ask, decimals);
        out.extend_from_slice(b",\"exchange\":\"");
        out.push(EXCHANGES[(bits >> 4 & 7) as usize]);
        out.extend_from_slice(b"\",\"seq\":");
        push_number(out, self.seq);
        out.push(b'}');
        instrument.listing.symbol()
    }

    /// Moves on to the time of the next tick; the arrivals are Poisson's.
    fn advance(&mut self) {
        let wait: f64 = Exp1.sample(&mut self.rng);
        self.into_ms += wait * self.gap_ms;
        if self.into_ms >= SESSION_MS {
            self.day = trading_day(self.day + Days::new(1));
            self.open_ms = open_ms(self.day);
            self.traded_ms += SESSION_MS;
            self.into_ms %= SESSION_MS;
        }
    }
}

impl Instrument {
    fn new(rank: u32, rng: &mut StdRng) -> Self {
        let listing = Listing::of(rank, rng);
        let volatility_a_year: f64 = rng.random_range(0.12..0.60);
        Self {
            fair: listing.first_price,
            listing,
            volatility: volatility_a_year / (TRADING_DAYS_A_YEAR * SESSION_MS).sqrt(),
            last_ms: 0.0,
        }
    }

    /// Moves the fair price on to this time, and returns it in ten-thousandths, a multiple of the quantum, above 0.
    fn trade(&mut self, now_ms: f64, rng: &mut StdRng) -> u64 {
        let deviation = self.volatility * (now_ms - self.last_ms).max(0.0).sqrt();
        let normal: f64 = StandardNormal.sample(rng);
        self.last_ms = now_ms;
        self.fair *= (deviation * normal - deviation * deviation / 2.0).exp();
        self.fair = self.fair.clamp(*PRICES.start(), *PRICES.end());
        let quantum = self.listing.quantum();
        ((self.fair * 1e4 / quantum as f64).round() as u64).max(1) * quantum
    }
}

impl Records for Ticks {
    fn fill(&mut self, batch: &mut Batch) -> Result<()> {
        let mut tick = Vec::with_capacity(256);
        while !batch.is_full() {
            tick.clear();
            let symbol = self.write_next(&mut tick);
            batch.push_with(Some(symbol.as_bytes()), |out| out.extend_from_slice(&tick));
        }
        Ok(())
    }
}

/// The day, or the first after it that is no weekend. Holidays are traded on.
fn trading_day(day: NaiveDate) -> NaiveDate {
    match day.weekday() {
        Weekday::Sat => day + Days::new(2),
        Weekday::Sun => day + Days::new(1),
        _ => day,
    }
}

/// 09:30 in New York: clocks there change at night, so it is one instant every day.
fn open_ms(day: NaiveDate) -> i64 {
    let open = day.and_time(NaiveTime::from_hms_opt(9, 30, 0).expect("a time of the day"));
    let open: DateTime<_> = New_York.from_local_datetime(&open).single().expect("09:30 is there once a day");
    open.timestamp_millis()
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A price in ten-thousandths, with 2 or 4 decimals; with 2 it is a multiple of 100.
fn push_price(out: &mut Vec<u8>, price: u64, decimals: u8) {
    push_number(out, price / 10_000);
    out.push(b'.');
    let fraction = price % 10_000;
    let digits = [fraction / 1000, fraction / 100 % 10, fraction / 10 % 10, fraction % 10];
    out.extend(digits[..usize::from(decimals)].iter().map(|digit| b'0' + *digit as u8));
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn lines(simulation: &Simulation, count: usize) -> Vec<String> {
        let mut ticks = Ticks::new(simulation).unwrap();
        let mut line = || {
            let mut out = Vec::new();
            ticks.write_next(&mut out);
            String::from_utf8(out).unwrap()
        };
        (0..count).map(|_| line()).collect()
    }

    #[test]
    fn the_seed_decides_every_byte() {
        let one = Simulation::default();
        assert_eq!(lines(&one, 5000), lines(&one, 5000));
        assert_ne!(lines(&one, 10), lines(&Simulation { seed: 2, ..one.clone() }, 10));
    }

    #[test]
    fn every_tick_is_what_the_table_expects() {
        let simulation = Simulation { symbols: 60, ticks_per_day: 1000, ..Simulation::default() };
        let mut ticks = Ticks::new(&simulation).unwrap();
        let mut last_ts = 0;
        let mut traded: HashMap<String, u32> = HashMap::new();
        let mut days = std::collections::BTreeSet::new();
        for seq in 1..=5000 {
            let mut line = Vec::new();
            let symbol = ticks.write_next(&mut line).to_owned();
            let tick: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&line).unwrap();
            assert_eq!(tick.len(), 8);
            assert_eq!(tick["symbol"], *symbol);
            assert_eq!(tick["seq"], seq);
            assert!((1..=800).contains(&tick["size"].as_u64().unwrap()));

            let [bid, price, ask] = ["bid", "price", "ask"].map(|name| tick[name].as_f64().unwrap());
            assert!(0.0 < bid && bid <= price && price <= ask, "{}", String::from_utf8_lossy(&line));

            let ts = tick["ts"].as_i64().unwrap();
            assert!(ts >= last_ts);
            last_ts = ts;
            let local = New_York.timestamp_millis_opt(ts).unwrap();
            let time = local.time();
            assert!(time >= NaiveTime::from_hms_opt(9, 30, 0).unwrap(), "{local}");
            assert!(time < NaiveTime::from_hms_opt(16, 0, 0).unwrap(), "{local}");
            assert!(!matches!(local.weekday(), Weekday::Sat | Weekday::Sun), "{local}");
            days.insert(local.date_naive());
            *traded.entry(symbol).or_default() += 1;
        }
        assert!((4..=7).contains(&days.len()), "{days:?}");
        assert_eq!(days.first(), Some(&simulation.start));
        // 1/H(60) of 5,000 is 1,069; the second is half of it.
        assert!((950..1200).contains(&traded["AAPL"]), "{}", traded["AAPL"]);
        assert!((450..620).contains(&traded["MSFT"]), "{}", traded["MSFT"]);
        for odd in ["BRK/B", "^GSPC", "BTC-USD", "ES=F", "EUR:USD"] {
            assert!(traded.contains_key(odd), "{odd}");
        }
    }

    #[test]
    fn the_fields_come_in_their_order_and_prices_have_2_or_4_decimals() {
        let order = [
            "{\"symbol\":\"",
            ",\"ts\":",
            ",\"price\":",
            ",\"size\":",
            ",\"bid\":",
            ",\"ask\":",
            ",\"exchange\":\"",
        ];
        for line in lines(&Simulation { symbols: 60, ..Simulation::default() }, 2000) {
            let mut rest = line.as_str();
            for name in order {
                rest = rest.split_once(name).unwrap_or_else(|| panic!("{name} in {line}")).1;
            }
            for price in ["price", "bid", "ask"] {
                let value = line.split_once(&format!("\"{price}\":")).unwrap().1.split(',').next().unwrap();
                let decimals = value.split_once('.').unwrap().1.len();
                assert!(decimals == 2 || decimals == 4, "{line}");
            }
        }
    }

    #[test]
    fn clocks_that_change_do_not_move_the_session() {
        // The US went to winter time on Sunday 2024-11-03: 09:30 is 13:30 UTC before it and 14:30 after it.
        let hour = |day| open_ms(NaiveDate::from_ymd_opt(2024, 11, day).unwrap()) / 1000 % 86_400;
        assert_eq!(hour(1), 13 * 3600 + 1800);
        assert_eq!(hour(4), 14 * 3600 + 1800);
    }

    #[test]
    fn numbers_and_prices_are_exact() {
        let number = |number| {
            let mut out = Vec::new();
            push_number(&mut out, number);
            String::from_utf8(out).unwrap()
        };
        for value in [0, 9, 10, 1_732_300_800_123, u64::MAX] {
            assert_eq!(number(value), value.to_string());
        }
        let price = |price, decimals| {
            let mut out = Vec::new();
            push_price(&mut out, price, decimals);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(price(2_298_700, 2), "229.87");
        assert_eq!(price(10_850, 4), "1.0850");
        assert_eq!(price(1, 4), "0.0001");
    }

    #[test]
    fn no_symbols_and_no_ticks_are_refused() {
        for simulation in [
            Simulation { symbols: 0, ..Simulation::default() },
            Simulation { symbols: SYMBOLS_MAX + 1, ..Simulation::default() },
            Simulation { ticks_per_day: 0, ..Simulation::default() },
        ] {
            assert!(Ticks::new(&simulation).is_err());
        }
    }
}
