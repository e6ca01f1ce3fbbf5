//! Names: of columns as Athena takes them, and what a field's name says of its meaning.

use std::collections::HashSet;

/// Longer names are cut, so that a number fits behind them (Glue takes 255).
const LEN_MAX: usize = 200;

/// A name of lower-case letters, digits and underscores that stands for the fields' names on the way to a value:
/// `closeUSD` is `close_usd`, `Adj Close` is `adj_close`.
pub(super) fn column_name(path: &[String]) -> String {
    let words: Vec<String> = path.iter().map(|field| snake(field)).filter(|word| !word.is_empty()).collect();
    let mut name = words.join("_");
    if name.is_empty() {
        name.push_str("field");
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "c_");
    }
    name.truncate(LEN_MAX);
    name
}

/// The name, or with a number behind it where it is taken already.
pub(super) fn distinct(name: String, taken: &mut HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    let free = [name.clone()].into_iter().chain(numbered).find(|name| !taken.contains(name));
    let free = free.expect("numbers do not end");
    taken.insert(free.clone());
    free
}

fn snake(field: &str) -> String {
    let chars: Vec<char> = field.chars().collect();
    let mut name = String::with_capacity(field.len() + 4);
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| chars[at]);
        let after = chars.get(at + 1);
        let begins_word = c.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
            });
        if (begins_word || !c.is_ascii_alphanumeric()) && !name.ends_with('_') {
            name.push('_');
        }
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        }
    }
    name.trim_matches('_').to_owned()
}

/// Names of the time at which something happened, the surest first.
const TIMES: [&str; 14] = [
    "ts",
    "timestamp",
    "event_time",
    "event_ts",
    "trade_time",
    "transact_time",
    "time",
    "t",
    "datetime",
    "date_time",
    "trade_date",
    "date",
    "day",
    "e",
];
const TIME_ENDS: [&str; 8] = ["_time", "_ts", "_at", "_date", "_timestamp", "_ms", "_us", "_ns"];

/// Names of what is traded, the surest first.
const SYMBOLS: [&str; 18] = [
    "symbol",
    "sym",
    "ticker",
    "instrument",
    "instrument_id",
    "instrument_name",
    "product_id",
    "pair",
    "security",
    "ric",
    "isin",
    "contract",
    "index",
    "market",
    "asset",
    "code",
    "s",
    "coin",
];

/// How surely a field of this name is a time, 0 the surest; `None` where the name does not say so.
pub(super) fn time_rank(field: &str) -> Option<usize> {
    let name = snake(field);
    let by_end = || {
        let is_time = TIME_ENDS.iter().any(|end| name.ends_with(end)) || name.ends_with("timestamp");
        is_time.then_some(TIMES.len())
    };
    TIMES.iter().position(|known| *known == name).or_else(by_end)
}

/// How surely a field of this name is what is traded, 0 the surest.
pub(super) fn symbol_rank(field: &str) -> Option<usize> {
    let name = snake(field);
    SYMBOLS.iter().position(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_athena_takes_them() {
        for (field, name) in [
            ("price", "price"),
            ("closeUSD", "close_usd"),
            ("CloseUSD", "close_usd"),
            ("USDPrice", "usd_price"),
            ("Adj Close", "adj_close"),
            ("adj.close/x", "adj_close_x"),
            ("24h", "c_24h"),
            ("_id", "id"),
            ("größe", "gr_e"),
            ("価格", "field"),
            ("", "field"),
        ] {
            assert_eq!(column_name(&[field.to_owned()]), name, "{field}");
        }
        assert_eq!(column_name(&["data".into(), "Price".into()]), "data_price");
        let mut taken = HashSet::new();
        let names = ["t", "t", "t_2", "t"].map(|name| distinct(name.into(), &mut taken));
        assert_eq!(names, ["t", "t_2", "t_2_2", "t_3"]);
    }
}
