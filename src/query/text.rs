//! Tells what in SQL text is code and what is quoted or a comment, and cuts it into statements.
//!
//! The same for both engines: text in `'…'`, names in `"…"` or backticks, comments `-- …` and `/* … */`, which do not
//! nest (as in Trino). Whether the code is SQL is the engine's to judge.

use std::ops::Range;

/// What a part of SQL text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Code,
    /// With its quotes: `'`, `"` or a backtick. A quote in it is doubled.
    Quoted(char),
    Comment,
}

/// A part of SQL text; the parts of a text follow each other without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub kind: Kind,
    /// In bytes.
    pub range: Range<usize>,
    /// Whether its end was found; code has none.
    pub closed: bool,
}

/// One statement of a text, without the `;` after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub text: String,
    /// The line of the text that it begins in, from 1.
    pub line: usize,
}

/// The statements of a text, and whether the last of them lacks its `;`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements {
    pub all: Vec<Statement>,
    pub open: bool,
}

/// Cuts a text at each `;` of its code. What holds comments only is no statement.
pub fn statements(text: &str) -> Statements {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Statements::default();
    let (mut from, mut has_code) = (0, false);
    for part in parts(text) {
        match part.kind {
            Kind::Code => {
                for (at, c) in text[part.range.clone()].char_indices() {
                    if c == ';' {
                        let end = part.range.start + at;
                        found.all.extend(has_code.then(|| statement(text, from..end)));
                        (from, has_code) = (end + 1, false);
                    }
                    has_code |= c != ';' && !c.is_whitespace();
                }
            }
            Kind::Quoted(_) => has_code = true,
            Kind::Comment => {}
        }
    }
    found.all.extend(has_code.then(|| statement(text, from..text.len())));
    found.open = has_code;
    found
}

fn statement(text: &str, range: Range<usize>) -> Statement {
    let cut = &text[range.clone()];
    let from = range.start + (cut.len() - cut.trim_start().len());
    Statement { text: cut.trim().to_owned(), line: 1 + text[..from].matches('\n').count() }
}

/// All of a text, part by part.
pub fn parts(text: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, end) = match c {
            '\'' | '"' | '`' => (Kind::Quoted(c), end_of_quoted(rest, c)),
            _ if rest.starts_with("--") => (Kind::Comment, rest.find('\n')),
            _ if rest.starts_with("/*") => (Kind::Comment, rest[2..].find("*/").map(|end| end + 4)),
            _ => (Kind::Code, Some(c.len_utf8())),
        };
        let range = at..at + end.unwrap_or(rest.len());
        at = range.end;
        match parts.last_mut() {
            Some(last) if kind == Kind::Code && last.kind == Kind::Code => last.range.end = range.end,
            _ => parts.push(Part { kind, range, closed: end.is_some() }),
        }
    }
    parts
}

/// Behind the quote that ends what the text begins with. `''` is a quote within.
fn end_of_quoted(text: &str, quote: char) -> Option<usize> {
    let mut quotes = text.match_indices(quote).skip(1).map(|(at, _)| at).peekable();
    while let Some(at) = quotes.next() {
        if quotes.next_if_eq(&(at + 1)).is_none() {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> (Vec<(String, usize)>, bool) {
        let found = statements(text);
        (found.all.into_iter().map(|s| (s.text, s.line)).collect(), found.open)
    }

    fn owned(all: &[(&str, usize)]) -> Vec<(String, usize)> {
        all.iter().map(|(text, line)| ((*text).to_owned(), *line)).collect()
    }

    #[test]
    fn statements_end_where_their_code_does() {
        let text = "\u{feff}SELECT ';' AS \"a;\"; -- not; here\n\n/* nor; here */ SELECT 'it''s;'\n , `x;`;\n;SELECT 3";
        let want = [
            ("SELECT ';' AS \"a;\"", 1),
            ("-- not; here\n\n/* nor; here */ SELECT 'it''s;'\n , `x;`", 1),
            ("SELECT 3", 5),
        ];
        assert_eq!(cut(text), (owned(&want), true));
        assert_eq!(cut("SELECT 1;\n -- done\n"), (owned(&[("SELECT 1", 1)]), false));
        assert_eq!(cut(" ;; "), (vec![], false));
    }

    #[test]
    fn what_is_open_holds_its_semicolon() {
        for text in ["SELECT 'a;", "SELECT \"a;", "SELECT 1 /* ;", "SELECT 'a'';"] {
            assert_eq!(cut(text), (owned(&[(text, 1)]), true), "{text}");
        }
        let parts = parts("x = 'AA");
        assert_eq!(parts.last().map(|part| (part.kind, part.closed)), Some((Kind::Quoted('\''), false)));
    }

    #[test]
    fn parts_leave_no_gap() {
        let text = "a'b''c'\"d\"--e\n/*f*/é`g`";
        let parts = parts(text);
        assert_eq!(parts.iter().map(|part| &text[part.range.clone()]).collect::<String>(), text);
        assert_eq!(parts.len(), 8, "{parts:?}");
    }
}
