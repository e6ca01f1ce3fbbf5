//! Names what is traded: real tickers first, then made-up ones, and what each costs at the start.

use rand::Rng;
use rand::rngs::StdRng;

/// By popularity, with the price at the start. Among them are the names that real feeds have and paths do not like.
const KNOWN: [(&str, f64); 64] = [
    ("AAPL", 229.87),
    ("MSFT", 417.0),
    ("NVDA", 141.95),
    ("TSLA", 352.56),
    ("AMZN", 197.12),
    ("SPY", 595.51),
    ("GOOGL", 164.76),
    ("META", 559.14),
    ("BRK/B", 476.57),
    ("BTC-USD", 98_997.66),
    ("QQQ", 505.79),
    ("AMD", 138.35),
    ("^GSPC", 5969.34),
    ("AVGO", 164.23),
    ("JPM", 248.55),
    ("ES=F", 5987.75),
    ("NFLX", 897.79),
    ("EUR:USD", 1.0418),
    ("LLY", 748.01),
    ("PLTR", 64.35),
    ("COIN", 304.64),
    ("V", 309.92),
    ("XOM", 121.79),
    ("ETH-USD", 3331.0),
    ("WMT", 90.44),
    ("UNH", 590.82),
    ("MA", 520.83),
    ("ORCL", 192.29),
    ("COST", 964.01),
    ("HD", 409.96),
    ("PG", 176.65),
    ("BAC", 47.0),
    ("JNJ", 155.17),
    ("CRM", 341.95),
    ("ABBV", 176.95),
    ("KO", 63.92),
    ("CVX", 162.36),
    ("MRK", 99.18),
    ("INTC", 24.5),
    ("PEP", 158.62),
    ("CSCO", 58.59),
    ("ADBE", 512.15),
    ("TMO", 516.65),
    ("LIN", 454.43),
    ("ACN", 361.25),
    ("MCD", 290.0),
    ("ABT", 117.18),
    ("IBM", 222.97),
    ("GE", 180.39),
    ("PM", 131.19),
    ("CAT", 395.51),
    ("ISRG", 545.6),
    ("QCOM", 156.79),
    ("TXN", 199.35),
    ("VZ", 43.3),
    ("NOW", 1061.67),
    ("DIS", 115.65),
    ("GS", 602.78),
    ("AMGN", 294.67),
    ("SIRI", 26.5),
    ("F", 11.18),
    ("T", 23.1),
    ("BF.B", 42.3),
    ("USD/JPY", 154.77),
];

/// Below this first price a symbol is quoted in ten-thousandths, else in hundredths.
const FOUR_DECIMALS_BELOW: f64 = 2.0;

/// One symbol: what of its ticks is always the same.
pub(super) struct Listing {
    /// A tick's JSON up to the time.
    pub(super) head: Vec<u8>,
    pub(super) first_price: f64,
    /// Of its prices: 2 or 4.
    pub(super) decimals: u8,
    symbol: String,
}

impl Listing {
    /// The symbol of this popularity, from 0.
    pub(super) fn of(rank: u32, rng: &mut StdRng) -> Self {
        let (symbol, first_price) = match KNOWN.get(rank as usize) {
            Some((symbol, price)) => ((*symbol).to_owned(), *price),
            // As in a real market, cheap shares are many and dear ones few.
            None => (made_up(rank - KNOWN.len() as u32), 0.5 * 2_f64.powf(rng.random_range(0.0..9.0))),
        };
        let decimals = if first_price < FOUR_DECIMALS_BELOW { 4 } else { 2 };
        // No symbol has a character that JSON escapes.
        let head = format!("{{\"symbol\":\"{symbol}\",\"ts\":").into_bytes();
        Self { head, first_price, decimals, symbol }
    }

    pub(super) fn symbol(&self) -> &str {
        &self.symbol
    }

    /// The step of its prices, in ten-thousandths.
    pub(super) fn quantum(&self) -> u64 {
        if self.decimals == 4 { 1 } else { 100 }
    }
}

/// The n-th made-up ticker: five letters, which no known one has. 26^4 of them begin with Z, as many with Y, …
fn made_up(n: u32) -> String {
    let letter = |n: u32| char::from(b'A' + (n % 26) as u8);
    // Neighbours in popularity are not neighbours in the alphabet: 10,007 has no factor in common with 26.
    let spread = u64::from(n % 456_976) * 10_007 % 456_976;
    let spread = spread as u32;
    let first = char::from(b'Z' - (n / 456_976) as u8);
    [first, letter(spread / 17_576), letter(spread / 676), letter(spread / 26), letter(spread)]
        .iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn symbols_are_distinct() {
        let known = KNOWN.iter().map(|(symbol, _)| (*symbol).to_owned());
        let all: HashSet<_> = known.chain((0..super::super::SYMBOLS_MAX).map(made_up)).collect();
        assert_eq!(all.len(), KNOWN.len() + super::super::SYMBOLS_MAX as usize);
    }

    #[test]
    fn the_known_need_no_escape_and_fit_their_decimals() {
        for (symbol, price) in KNOWN {
            assert!(!symbol.bytes().any(|byte| byte == b'"' || byte == b'\\' || byte < 0x20), "{symbol}");
            let cents = price * if price < FOUR_DECIMALS_BELOW { 1e4 } else { 1e2 };
            assert!((cents - cents.round()).abs() < 1e-6, "{symbol}");
        }
    }
}
