//! Fills the parameters of a statement: `:name` becomes the value's SQL literal.
//!
//! A value is never taken as SQL. It is a number where it reads as one (`10`, `-1.5`, `1e3`) and else a text, whose
//! quotes are doubled; in single quotes (`'600519'`) it is a text always. The literal stands where `:name` stood in
//! the code, so a value is the same for both engines, in `EXPLAIN` and where no engine takes placeholders (`LIMIT`).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::text::{Kind, parts};
use crate::error::{Error, Result};

/// Values by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(BTreeMap<String, String>);

/// One value with its name, typed as `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    name: String,
    /// As SQL.
    literal: String,
}

impl FromStr for Parameter {
    type Err = NoParameter;

    fn from_str(text: &str) -> Result<Self, NoParameter> {
        let (name, value) = text.split_once('=').ok_or(NoParameter)?;
        let is_name = name.starts_with(begins_name) && name.chars().all(in_name);
        is_name.then(|| Self { name: name.to_owned(), literal: literal(value) }).ok_or(NoParameter)
    }
}

/// What was typed is not `NAME=VALUE`.
#[derive(Debug)]
pub struct NoParameter;

impl fmt::Display for NoParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a parameter is NAME=VALUE, its name of letters, digits and _, as in symbol=AAPL")
    }
}

impl std::error::Error for NoParameter {}

impl Parameters {
    /// A name that is given twice is an error: which value is meant?
    pub fn new(all: &[Parameter]) -> Result<Self> {
        let mut values = BTreeMap::new();
        for Parameter { name, literal } in all {
            if values.insert(name.clone(), literal.clone()).is_some() {
                return Err(Error::usage(format!("the parameter {name} is given twice")));
            }
        }
        Ok(Self(values))
    }

    /// The statement with its values. One that has no value is an error, as the engine would not know it either.
    pub fn fill(&self, sql: &str) -> Result<String> {
        let mut filled = String::with_capacity(sql.len());
        for part in parts(sql) {
            match part.kind {
                Kind::Code => self.fill_code(sql, part.range, &mut filled)?,
                Kind::Quoted(_) | Kind::Comment => filled.push_str(&sql[part.range]),
            }
        }
        Ok(filled)
    }

    fn fill_code(&self, sql: &str, code: std::ops::Range<usize>, filled: &mut String) -> Result<()> {
        let mut copied = code.start;
        for (colon, _) in sql[code.clone()].match_indices(':') {
            let colon = code.start + colon;
            let name = name_at(&sql[colon + 1..code.end]);
            if name.is_empty() || !may_follow(sql[..colon].chars().next_back()) {
                continue;
            }
            let literal = self.0.get(name).ok_or_else(|| self.unknown(name))?;
            filled.push_str(&sql[copied..colon]);
            filled.push_str(literal);
            copied = colon + 1 + name.len();
        }
        filled.push_str(&sql[copied..code.end]);
        Ok(())
    }

    fn unknown(&self, name: &str) -> Error {
        let error =
            Error::usage(format!("the statement has :{name}, which has no value: give --param {name}=VALUE"));
        let given: Vec<&str> = self.0.keys().map(String::as_str).collect();
        if given.is_empty() { error } else { error.with("given", given.join(", ")) }
    }
}

/// A cast (`a::int`), a slice (`a[1:n]`) and a path (`a:b`) are no parameters.
fn may_follow(before: Option<char>) -> bool {
    before.is_none_or(|c| !in_name(c) && !matches!(c, ':' | '\'' | '"' | '`' | ']' | ')'))
}

fn name_at(text: &str) -> &str {
    let end = text.find(|c| !in_name(c)).unwrap_or(text.len());
    if text.starts_with(begins_name) { &text[..end] } else { "" }
}

fn begins_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn literal(value: &str) -> String {
    match value.strip_prefix('-') {
        // After a minus of the statement's own it would begin a comment.
        Some(positive) if is_number(positive) => format!("({value})"),
        None if is_number(value) => value.to_owned(),
        _ => {
            let inner = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).unwrap_or(value);
            format!("'{}'", inner.replace('\'', "''"))
        }
    }
}

/// As JSON has it: `007` is the text of a code, not a number.
fn is_number(text: &str) -> bool {
    let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(|e| is_digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(given: &[&str], sql: &str) -> Result<String> {
        let given: Vec<Parameter> = given.iter().map(|text| text.parse().expect(text)).collect();
        Parameters::new(&given)?.fill(sql)
    }

    #[test]
    fn a_value_is_one_literal() {
        for (value, literal) in [
            ("AAPL", "'AAPL'"),
            ("10", "10"),
            ("-1.5", "(-1.5)"),
            ("1e3", "1e3"),
            ("007", "'007'"),
            ("1.", "'1.'"),
            ("'600519'", "'600519'"),
            ("", "''"),
            ("'", "''''"),
            ("x' OR '1'='1", "'x'' OR ''1''=''1'"),
            ("2026-11-22", "'2026-11-22'"),
        ] {
            assert_eq!(fill(&[&format!("a={value}")], "x = :a").expect(value), format!("x = {literal}"));
        }
    }

    #[test]
    fn only_code_is_filled() {
        let sql = "SELECT ':a', \":a\" -- :a\n, x::a, y[1:a], z -:a /* :a */ FROM t WHERE (:a,:a_b)";
        let want = "SELECT ':a', \":a\" -- :a\n, x::a, y[1:a], z -(-1) /* :a */ FROM t WHERE ((-1),'b')";
        assert_eq!(fill(&["a=-1", "a_b=b"], sql).expect(sql), want);
    }

    #[test]
    fn what_has_no_value_or_two_is_named() {
        assert!(fill(&["a=1"], "SELECT :b").unwrap_err().to_string().contains("--param b=VALUE (given: a)"));
        assert!(fill(&["a=1", "a=2"], "SELECT 1").unwrap_err().to_string().contains("twice"));
        for wrong in ["a", "=1", "1a=1", "a-b=1"] {
            assert!(wrong.parse::<Parameter>().is_err(), "{wrong}");
        }
    }

    proptest! {
        /// Whatever is typed stays one literal: it opens no other part of the statement.
        #[test]
        fn no_value_is_sql(value in "['\"`;:/*\\\\ \n1e.a-]{0,12}") {
            let filled = fill(&[&format!("a={value}")], ":a").expect("it is given");
            let all = parts(&filled);
            prop_assert_eq!(all.len(), 1);
            let is_text = all[0].kind == Kind::Quoted('\'') && all[0].closed;
            let number = filled.strip_prefix("(-").and_then(|n| n.strip_suffix(')')).unwrap_or(&filled);
            prop_assert!(is_text || is_number(number), "{}", filled);
        }
    }
}
