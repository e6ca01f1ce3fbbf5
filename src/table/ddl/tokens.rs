//! Turns a text into tokens, and walks over them: the words, names, texts and numbers of DDL.
//!
//! The tokens are sqlparser's, under Hive's rules for names and literals. Every refusal says the line and the column.

use sqlparser::dialect::Dialect;
pub(super) use sqlparser::tokenizer::{Location, Token};
use sqlparser::tokenizer::{TokenWithSpan, Tokenizer, Word};

use super::literal;
use crate::error::{Error, Result};

/// Glue's limit (FACTS 2.3).
const NAME_BYTES_MAX: usize = 255;

/// The tokens of a text and the place of the next one.
pub(super) struct Tokens {
    tokens: Vec<(Token, Location)>,
    next: usize,
}

impl Tokens {
    /// Tokens without space and comments; `>>` is two tokens, as it closes two types. The last is the end.
    pub(super) fn new(text: &str) -> Result<Self> {
        let mut read: Vec<TokenWithSpan> = Vec::new();
        Tokenizer::new(&AthenaDdl, text)
            .with_unescape(false)
            .tokenize_with_location_into_buf(&mut read)
            .map_err(|e| {
                let fix = if e.message.contains("string literal") {
                    "close the text with the quote it begins with"
                } else if e.message.contains("comment") {
                    "close the comment with */"
                } else if e.message.contains("close delimiter") {
                    "close the name with a back-tick"
                } else {
                    "put names into back-ticks and texts into single quotes"
                };
                refuse(e.location, format!("{}: {fix}", lower_first(&e.message)))
            })?;
        let end = read.last().map_or(Location::new(1, 1), |t| t.span.end);
        let mut tokens = Vec::with_capacity(read.len() + 1);
        for TokenWithSpan { token, span } in read {
            match token {
                Token::Whitespace(_) => {}
                Token::ShiftRight => {
                    let second = Location::new(span.start.line, span.start.column + 1);
                    tokens.extend([(Token::Gt, span.start), (Token::Gt, second)]);
                }
                token => tokens.push((token, span.start)),
            }
        }
        tokens.push((Token::EOF, end));
        Ok(Self { tokens, next: 0 })
    }

    /// An identifier as Glue takes it, in lower case.
    pub(super) fn column_name(&mut self, what: &str) -> Result<String> {
        let at = self.at();
        let name = self.name(what)?.to_ascii_lowercase();
        let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(valid) {
            return Err(refuse(
                at,
                format!(
                    "'{}' is no name of a column: use 1 to {NAME_BYTES_MAX} letters, digits and underscores, and say \
                     where it comes from, as in 'ticklake.source.adj_close' = '/Adj Close'",
                    short(&name)
                ),
            ));
        }
        Ok(name)
    }

    /// An identifier as written. A reserved word is one too, since every place for a name has no other meaning.
    pub(super) fn name(&mut self, what: &str) -> Result<String> {
        match self.peek() {
            Token::Word(Word { value, .. }) => {
                let name = value.clone();
                self.next += 1;
                Ok(name)
            }
            _ => self.unexpected(&format!("{what}; names stand in back-ticks, as in `price`")),
        }
    }

    /// A word without back-ticks, in lower case.
    pub(super) fn keyword(&mut self, what: &str) -> Result<String> {
        match self.peek() {
            Token::Word(Word { value, quote_style: None, .. }) => {
                let word = value.to_ascii_lowercase();
                self.next += 1;
                Ok(word)
            }
            _ => self.unexpected(what),
        }
    }

    /// A literal in quotes of either kind, unescaped.
    pub(super) fn text(&mut self, what: &str) -> Result<String> {
        let (raw, quote) = match self.peek() {
            Token::SingleQuotedString(raw) => (raw, '\''),
            Token::DoubleQuotedString(raw) => (raw, '"'),
            _ => return self.unexpected(&format!("{what}, in single quotes")),
        };
        let Some(text) = literal::unescape(raw, quote) else {
            return Err(refuse(
                self.at(),
                "a \\u escape gives half a character: write both halves of the pair",
            ));
        };
        self.next += 1;
        Ok(text)
    }

    /// A number of at most 255.
    pub(super) fn number(&mut self, what: &str) -> Result<u8> {
        let number = match self.peek() {
            Token::Number(digits, false) => digits.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => {
                self.next += 1;
                Ok(number)
            }
            None => self.unexpected(what),
        }
    }

    pub(super) fn word(&mut self, keyword: &str, what: &str) -> Result<()> {
        if self.take_word(keyword) { Ok(()) } else { self.unexpected(what) }
    }

    pub(super) fn take_word(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(Word { value, quote_style: None, .. })
            if value.eq_ignore_ascii_case(keyword));
        self.next += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, token: &Token, what: &str) -> Result<()> {
        if self.take(token) { Ok(()) } else { self.unexpected(what) }
    }

    pub(super) fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        self.next += usize::from(found);
        found
    }

    /// The end repeats: it is never taken.
    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.next].0
    }

    pub(super) fn at(&self) -> Location {
        self.tokens[self.next].1
    }

    pub(super) fn unexpected<T>(&self, expected: &str) -> Result<T> {
        let found = match self.peek() {
            Token::EOF => "the end of the text".to_owned(),
            token => format!("'{}'", short(&token.to_string())),
        };
        Err(refuse(self.at(), format!("found {found}, expected {expected}")))
    }
}

/// Hive's names and literals: back-ticks quote names, both kinds of quotes quote texts.
#[derive(Debug)]
struct AthenaDdl;

impl Dialect for AthenaDdl {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_'
    }

    fn supports_numeric_prefix(&self) -> bool {
        true
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }
}

pub(super) fn refuse(at: Location, message: impl AsRef<str>) -> Error {
    let message = message.as_ref();
    Error::usage(format!("line {}, column {}: {message}", at.line, at.column))
}

/// What was found, short enough for a message of one line.
pub(super) fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn lower_first(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}
