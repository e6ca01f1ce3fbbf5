//! How texts and numbers are times: the forms that all of them fit.

use crate::ingest::trial::instant;
use crate::table::spec::Format;

/// Forms of texts, the first that fits wins: what is a day alone before what may have a time, and of two orders of day and
/// month the one with the day first, as the other is the United States' alone.
const PATTERNS: [&str; 11] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%b-%Y",
    "%Y/%m/%d %H:%M:%S%.f",
    "%d/%m/%Y %H:%M:%S%.f",
    "%m/%d/%Y %H:%M:%S%.f",
    "%d.%m.%Y %H:%M:%S%.f",
    "%Y%m%d-%H:%M:%S%.f", // FIX
];

const DAY_NANOS: i128 = 86_400 * 1_000_000_000;

/// Which forms the texts so far have.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    /// Of each text in each form that all have; `None` before the first text.
    fits: Option<Vec<Fit>>,
}

/// A form, and what it was seen to say.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub format: Format,
    /// Nanoseconds since the epoch.
    pub least: i128,
    pub most: i128,
    pub only_days: bool,
    /// Digits below the millisecond.
    pub is_finer: bool,
}

impl Fit {
    fn of(format: Format, at: i128) -> Self {
        Self { format, least: at, most: at, only_days: at % DAY_NANOS == 0, is_finer: at % 1_000_000 != 0 }
    }

    fn also(&mut self, other: &Self) {
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        self.only_days &= other.only_days;
        self.is_finer |= other.is_finer;
    }
}

impl Times {
    pub fn add(&mut self, text: &str) {
        // No time is longer: a text that is costs nothing.
        let text = if text.len() <= 40 { text } else { "" };
        match &mut self.fits {
            None => {
                let formats = PATTERNS.iter().map(|pattern| Format::Strftime((*pattern).to_owned()));
                let formats = [Format::Rfc3339].into_iter().chain(formats);
                self.fits = Some(
                    formats
                        .filter_map(|format| instant(&format, text).map(|at| Fit::of(format, at)))
                        .collect(),
                );
            }
            Some(fits) => fits.retain_mut(|fit| match instant(&fit.format, text) {
                Some(at) => {
                    fit.also(&Fit::of(fit.format.clone(), at));
                    true
                }
                None => false,
            }),
        }
    }

    pub fn merge(&mut self, other: &Self) {
        match (&mut self.fits, &other.fits) {
            (_, None) => {}
            (None, Some(_)) => self.fits.clone_from(&other.fits),
            (Some(fits), Some(others)) => fits.retain_mut(|fit| {
                let other = others.iter().find(|other| other.format == fit.format);
                other.inspect(|other| fit.also(other)).is_some()
            }),
        }
    }

    /// The form that all texts have, and whether another of the same parts in another order fits as well.
    pub fn fit(&self) -> Option<(&Fit, bool)> {
        let fits = self.fits.as_deref().unwrap_or_default();
        // RFC 3339 takes a day alone too.
        let chosen =
            fits.iter().find(|fit| fit.only_days && fit.format != Format::Rfc3339).or(fits.first())?;
        let is = |fit: &Fit, order: &str| matches!(&fit.format, Format::Strftime(pattern) if pattern.starts_with(order));
        Some((chosen, is(chosen, "%d/%m") && fits.iter().any(|fit| is(fit, "%m/%d"))))
    }
}

/// The unit in which a number is a time of this century, by its size.
pub(super) fn epoch(least: f64, most: f64) -> Option<Format> {
    // 2000-01-01 and 2100-01-01.
    let century = 946_684_800.0..4_102_444_800.0;
    let units = [
        (1.0, Format::EpochSeconds),
        (1e3, Format::EpochMillis),
        (1e6, Format::EpochMicros),
        (1e9, Format::EpochNanos),
    ];
    let within = |unit: f64| century.contains(&(least / unit)) && century.contains(&(most / unit));
    units.into_iter().find(|(unit, _)| within(*unit)).map(|(_, format)| format)
}
