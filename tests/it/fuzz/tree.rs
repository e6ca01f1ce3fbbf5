//! JSON as serde_json reads it, with all that its own values leave out: doubled names, orders, and texts of numbers.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use ticklake::table::spec::Scalar;

use super::reference::number;

/// A JSON value and its text.
#[derive(Debug)]
pub struct Node<'a> {
    pub raw: &'a str,
    pub value: Value<'a>,
}

#[derive(Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(String),
    Array(Vec<Node<'a>>),
    Object(Vec<(String, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// `None` where the text is no JSON.
    pub fn parse(text: &'a str) -> Option<Self> {
        let raw = serde_json::from_str::<&RawValue>(text).ok()?.get();
        let value = match raw.as_bytes()[0] {
            b'n' => Value::Null,
            b't' => Value::Bool(true),
            b'f' => Value::Bool(false),
            b'"' => Value::Text(serde_json::from_str(raw).ok()?),
            b'[' => {
                let elements: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
                Value::Array(elements.into_iter().map(|e| Self::parse(e.get())).collect::<Option<_>>()?)
            }
            b'{' => {
                let fields = serde_json::Deserializer::from_str(raw).deserialize_map(Fields).ok()?;
                let fields = fields.into_iter().map(|(name, raw)| Some((name, Self::parse(raw.get())?)));
                Value::Object(fields.collect::<Option<_>>()?)
            }
            _ => Value::Number(raw),
        };
        Some(Self { raw, value })
    }

    pub fn depth(&self) -> usize {
        match &self.value {
            Value::Array(elements) => 1 + elements.iter().map(Self::depth).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.iter().map(|(_, node)| node.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Of equal names the last counts.
    pub fn at(&self, tokens: &[String]) -> Option<&Self> {
        let Some((token, rest)) = tokens.split_first() else { return Some(self) };
        let next = match &self.value {
            Value::Object(fields) => {
                fields.iter().rev().find(|(name, _)| name == token).map(|(_, node)| node)
            }
            Value::Array(elements) => {
                (0..elements.len()).find(|i| i.to_string() == *token).map(|i| &elements[i])
            }
            _ => None,
        };
        next?.at(rest)
    }

    /// The field of a name in lower case: spelled exactly so, or else in any case; of several the last.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Value::Object(fields) = &self.value else { return None };
        let exact = fields.iter().rev().find(|(n, _)| n == name);
        exact
            .or_else(|| fields.iter().rev().find(|(n, _)| n.eq_ignore_ascii_case(name)))
            .map(|(_, node)| node)
    }

    pub fn is(&self, scalar: &Scalar) -> bool {
        match (scalar, &self.value) {
            (Scalar::Null, Value::Null) => true,
            (Scalar::Bool(a), Value::Bool(b)) => a == b,
            (Scalar::Number(a), Value::Number(b)) => number(a) == number(b),
            (Scalar::String(a), Value::Text(b)) => a == b,
            _ => false,
        }
    }
}

/// Reads an object's fields, all of them, in their order.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(fields)
    }
}
