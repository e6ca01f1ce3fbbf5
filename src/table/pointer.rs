//! Defines JSON Pointer (RFC 6901): where in a record a value is.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A path into a JSON value, by the names of fields. The empty pointer is the whole value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// The pointer to one field of the top level.
    pub fn field(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// The pointer to a field of what this one points to.
    pub fn child(mut self, name: &str) -> Self {
        self.0.push(name.to_owned());
        self
    }

    /// The names from the outside in, unescaped.
    pub fn tokens(&self) -> &[String] {
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Pointer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(Error::usage(format!(
                "'{text}' is no JSON Pointer: it begins with '/', as in /data/price (RFC 6901)"
            )));
        };
        rest.split('/').map(|token| unescape(token, text)).collect::<Result<_>>().map(Self)
    }
}

/// `~1` is `/` and `~0` is `~`; a `~` before anything else is an error (RFC 6901, section 3).
fn unescape(token: &str, whole: &str) -> Result<String> {
    let mut parts = token.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.as_bytes().first() {
            Some(b'0') => text.push('~'),
            Some(b'1') => text.push('/'),
            _ => {
                return Err(Error::usage(format!(
                    "'{whole}' is no JSON Pointer: write '~' as ~0 and '/' in a name as ~1 (RFC 6901)"
                )));
            }
        }
        text.push_str(&part[1..]);
    }
    Ok(text)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.0 {
            write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}
