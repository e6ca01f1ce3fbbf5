//! Defines the one error of the crate: what was tried, on what, and what to do next.
//!
//! Bad data is a value (a rejected row) and a rebalance is an event; neither is an `Error`.
//! A message is lower-case and has no full stop; the command line prints the whole chain once.

use std::error::Error as StdError;
use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a failure is about. The command line turns it into an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command, the settings or the DDL are wrong: the user changes them.
    Usage,
    /// A broker, a topic or a consumer group.
    Kafka,
    /// An object store or a file in it.
    Store,
    /// The catalog of tables and partitions.
    Catalog,
    /// A query, in the engine's own words.
    Query,
    /// A promise of the protocol does not hold on what was found: nothing is written past it.
    Protocol,
    /// The machine refused something: a thread, a signal, stdout.
    System,
    /// The user stopped the command.
    Interrupted,
}

/// A failure, with its context as key and value and with its cause.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: String,
    context: Vec<(&'static str, String)>,
    retryable: bool,
    place: Option<Place>,
    excerpt: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Where in a text something is wrong, both from 1; a column is a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            context: Vec::new(),
            retryable: false,
            place: None,
            excerpt: None,
            source: None,
        }))
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Adds what it was tried on.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// Adds the cause; it is printed after this error's own text.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Marks a failure that may be gone when the same thing is tried again.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.0.retryable = true;
        self
    }

    /// Says where in what was asked it went wrong.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    /// Adds lines for people to see below the message: what they wrote, with a mark at the place.
    #[must_use]
    pub fn showing(mut self, excerpt: String) -> Self {
        self.0.excerpt = Some(excerpt);
        self
    }

    pub fn place(&self) -> Option<Place> {
        self.0.place
    }

    pub fn excerpt(&self) -> Option<&str> {
        self.0.excerpt.as_deref()
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (i, (key, value)) in self.0.context.iter().enumerate() {
            let open = if i == 0 { " (" } else { ", " };
            write!(f, "{open}{key}: {value}")?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as _)
    }
}

/// The error and all its causes in one line, as the command line and the logs print it.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Many libraries repeat their cause in their own text.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    // A server's answer may be a page of XML.
    match text.contains(['\n', '\r']) {
        true => text
            .split(['\n', '\r'])
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" "),
        false => text,
    }
}
