//! Says what could stand at the cursor of a text, and which tables the text names. Pure.

use super::command;
use crate::query::text::{Kind, parts};
use crate::table::TableName;

/// What is looked for, and what of it is typed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where what is typed begins, in bytes; a candidate takes its place.
    pub start: usize,
    pub typed: String,
    pub wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One of these.
    Word(&'static [&'static str]),
    File,
    Table,
    /// What may follow `QUALIFIER.`: a table of a database, a column of a table.
    Of(String),
    /// A keyword, a column of the tables named, a table.
    Name,
    /// A value of a partition column, in quotes.
    Value {
        column: String,
    },
    Nothing,
}

/// Words of SQL that both engines know, and the functions that ticks are asked with.
pub const KEYWORDS: [&str; 58] = [
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CROSS",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTRACT",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "RIGHT",
    "SELECT",
    "SHOW",
    "TABLES",
    "THEN",
    "TIMESTAMP",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
    "avg",
    "count",
    "date_trunc",
    "first_value",
    "max",
    "min",
    "sum",
];
/// A table follows these.
const BEFORE_TABLE: [&str; 4] = ["from", "join", "describe", "tables"];
const FORMATS: [&str; 4] = ["csv", "jsonl", "markdown", "table"];
const ENGINES: [&str; 2] = ["athena", "local"];
const SWITCH: [&str; 2] = ["off", "on"];

/// What could stand at `cursor`, as far as the text before it tells.
pub fn request(text: &str, cursor: usize) -> Request {
    let before = &text[..cursor];
    let command = before.trim_start();
    match command.strip_prefix('\\').and_then(|_| command.split_once(char::is_whitespace)) {
        Some(("\\explain" | "\\plan", _)) => in_statement(before),
        Some((word, _)) => of_command(before, word),
        None if command.starts_with('\\') => Request {
            start: cursor - command.len(),
            typed: command.to_owned(),
            wanted: Wanted::Word(&command::WORDS),
        },
        None => in_statement(before),
    }
}

fn of_command(before: &str, word: &str) -> Request {
    let wanted = match word {
        "\\d" | "\\p" => Wanted::Table,
        "\\format" => Wanted::Word(&FORMATS),
        "\\engine" => Wanted::Word(&ENGINES),
        "\\timing" => Wanted::Word(&SWITCH),
        "\\i" => Wanted::File,
        _ => Wanted::Nothing,
    };
    let start = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    Request { start, typed: before[start..].to_owned(), wanted }
}

fn in_statement(before: &str) -> Request {
    let open = parts(before).pop().filter(|part| !part.closed && part.kind != Kind::Code);
    match open.map(|part| (part.kind, part.range.start)) {
        Some((Kind::Quoted('\''), quote)) => {
            let start = quote + 1;
            let typed = before[start..].replace("''", "'");
            let wanted = compared(&tokens(&before[..quote]))
                .map_or(Wanted::Nothing, |column| Wanted::Value { column: column.to_owned() });
            Request { start, typed, wanted }
        }
        Some(_) => Request { start: before.len(), typed: String::new(), wanted: Wanted::Nothing },
        None => at_word(before),
    }
}

fn at_word(before: &str) -> Request {
    let start = before
        .rfind(|c| !in_word(c))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let typed = before[start..].to_owned();
    let earlier = tokens(&before[..start]);
    let wanted = match earlier.as_slice() {
        [.., Token::Word(qualifier), Token::Sign('.')] => Wanted::Of((*qualifier).to_owned()),
        [.., Token::Word(word)] if BEFORE_TABLE.contains(&word.to_lowercase().as_str()) => Wanted::Table,
        _ => Wanted::Name,
    };
    // `market.ti` is typed where a table is wanted: the name as a whole.
    if let (Wanted::Of(database), [.., Token::Word(word), Token::Word(_), Token::Sign('.')]) =
        (&wanted, earlier.as_slice())
        && BEFORE_TABLE.contains(&word.to_lowercase().as_str())
        && before[..start].ends_with(&format!("{database}."))
    {
        let start = start - database.len() - 1;
        return Request { start, typed: before[start..].to_owned(), wanted: Wanted::Table };
    }
    Request { start, typed, wanted }
}

/// The column that the text after these tokens is compared with: `symbol = `, `symbol IN ('A', `, `date BETWEEN 'x' AND `.
fn compared<'a>(before: &[Token<'a>]) -> Option<&'a str> {
    before.iter().rev().find_map(|token| match token {
        Token::Word(word) if !is_keyword(word) => Some(*word),
        _ => None,
    })
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// The tables that a text names, each with what else it is called there.
pub fn named<'a>(
    text: &str,
    tables: &'a [TableName],
    default_database: &str,
) -> Vec<(&'a TableName, Option<String>)> {
    let tokens = tokens(text);
    let mut named = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let (database, table, next) = match tokens.get(i + 1..i + 3) {
            Some([Token::Sign('.'), Token::Word(table)]) => (*word, *table, i + 3),
            _ => (default_database, *word, i + 1),
        };
        let is_it = |name: &&TableName| {
            name.database().eq_ignore_ascii_case(database) && name.table().eq_ignore_ascii_case(table)
        };
        if let Some(name) = tables.iter().find(is_it) {
            named.push((name, alias(&tokens[next..])));
        }
    }
    named
}

fn alias(after: &[Token<'_>]) -> Option<String> {
    match after {
        [Token::Word(word), Token::Word(alias), ..] if word.eq_ignore_ascii_case("as") => {
            Some((*alias).to_owned())
        }
        [Token::Word(alias), ..] if !is_keyword(alias) => Some((*alias).to_owned()),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A name (without its quotes), a keyword or a number.
    Word(&'a str),
    Sign(char),
    Text,
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for part in parts(text) {
        let cut = &text[part.range];
        match part.kind {
            Kind::Code => tokens_of_code(cut, &mut tokens),
            Kind::Quoted('\'') => tokens.push(Token::Text),
            Kind::Quoted(quote) => tokens.push(Token::Word(cut.trim_matches(quote))),
            Kind::Comment => {}
        }
    }
    tokens
}

fn tokens_of_code<'a>(mut code: &'a str, tokens: &mut Vec<Token<'a>>) {
    while let Some(c) = code.chars().next() {
        let end = match in_word(c) {
            true => code.find(|c| !in_word(c)).unwrap_or(code.len()),
            false => c.len_utf8(),
        };
        let (token, rest) = code.split_at(end);
        match c {
            _ if in_word(c) => tokens.push(Token::Word(token)),
            _ if c.is_whitespace() => {}
            _ => tokens.push(Token::Sign(c)),
        }
        code = rest;
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cursor is at `|`.
    fn at(text: &str) -> (usize, String, Wanted) {
        let cursor = text.find('|').expect("a cursor");
        let Request { start, typed, wanted } = request(&text.replacen('|', "", 1), cursor);
        (start, typed, wanted)
    }

    fn value(start: usize, typed: &str, column: &str) -> (usize, String, Wanted) {
        (start, typed.to_owned(), Wanted::Value { column: column.to_owned() })
    }

    #[test]
    fn what_is_wanted_follows_from_what_is_before_the_cursor() {
        let wants = |text: &str, start: usize, typed: &str, wanted: Wanted| {
            assert_eq!(at(text), (start, typed.to_owned(), wanted), "{text}");
        };
        wants("\\f|", 0, "\\f", Wanted::Word(&command::WORDS));
        wants("\\format c|", 8, "c", Wanted::Word(&FORMATS));
        wants("\\d mar|", 3, "mar", Wanted::Table);
        wants("SELECT * FROM |", 14, "", Wanted::Table);
        wants("SELECT * FROM market.ti| WHERE", 14, "market.ti", Wanted::Table);
        wants("\\explain SELECT * FROM m|", 23, "m", Wanted::Table);
        wants("SELECT pr| FROM market.ticks", 7, "pr", Wanted::Name);
        wants("SELECT t.pr| FROM market.ticks t", 9, "pr", Wanted::Of("t".to_owned()));
        wants("SELECT \"pr|", 10, "", Wanted::Nothing);
        wants("SELECT 1 -- fr|", 14, "", Wanted::Nothing);
        wants("SELECT é|", 7, "é", Wanted::Name);
    }

    #[test]
    fn a_text_in_quotes_is_a_value_of_the_column_before() {
        assert_eq!(at("WHERE symbol = 'AA|"), value(16, "AA", "symbol"));
        assert_eq!(at("WHERE date = '2026-11-22' AND symbol IN ('A', 'M|"), value(47, "M", "symbol"));
        assert_eq!(at("WHERE date BETWEEN '2026-11-01' AND '|"), value(37, "", "date"));
        assert_eq!(at("WHERE t.\"date\" = '2|'"), value(18, "2", "date"));
        assert_eq!(at("WHERE symbol = 'O''N|"), value(16, "O'N", "symbol"));
        assert_eq!(at("SELECT '|").2, Wanted::Nothing);
    }

    #[test]
    fn tables_are_named_with_their_aliases() {
        let tables: Vec<TableName> =
            ["market.ticks", "market.quotes", "default.bars"].map(|name| name.parse().expect(name)).into();
        let names = |text: &str| -> Vec<(String, Option<String>)> {
            named(text, &tables, "default")
                .into_iter()
                .map(|(name, alias)| (name.to_string(), alias))
                .collect()
        };
        let some = |alias: &str| Some(alias.to_owned());
        let text = "SELECT 'market.ticks' FROM Market.ticks AS t, \"market\".quotes q JOIN bars WHERE x";
        let want = [("market.ticks", some("t")), ("market.quotes", some("q")), ("default.bars", None)];
        assert_eq!(names(text), want.map(|(name, alias)| (name.to_owned(), alias)));
        assert!(names("SELECT * FROM ticks").is_empty());
    }
}
