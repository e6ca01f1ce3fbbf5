//! What samples look like: which kinds of values stand where, and how far they reach.
//!
//! A shape grows with each sample and keeps no sample, so its memory is that of the feed's form. Objects' fields are in
//! the order in which they were first seen.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::times::Times;
use crate::ingest::trial::places;

/// What was seen in one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// All values, also nulls.
    pub seen: u64,
    pub nulls: u64,
    pub bools: u64,
    pub numbers: Numbers,
    pub texts: Texts,
    pub objects: u64,
    pub fields: Fields,
    pub arrays: u64,
    pub elements: Option<Box<Shape>>,
}

/// The fields of objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    shapes: Vec<(String, Shape)>,
    index: HashMap<String, usize>,
}

/// Numbers, by their texts.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    pub count: u64,
    /// The most digits before the point, and the most after it.
    pub whole: u64,
    pub fraction: u64,
    /// Those that are no 64-bit integer.
    pub beyond_i64: u64,
    /// Those that no binary fraction of 64 bits comes near.
    pub beyond_f64: u64,
    /// Those that are neither 0 nor 1.
    pub beyond_bit: u64,
    pub least: Option<Bound>,
    pub most: Option<Bound>,
}

/// A number as it was written.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub value: f64,
    pub text: String,
}

/// Texts, the empty ones apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    pub count: u64,
    pub empty: u64,
    /// Those that are numbers, and would be the same text again.
    pub numbers: Numbers,
    pub times: Times,
}

impl Shape {
    /// Takes one more value, which is JSON.
    pub fn add(&mut self, json: &RawValue) {
        self.seen += 1;
        let text = json.get();
        match text.as_bytes().first() {
            Some(b'n') => self.nulls += 1,
            Some(b't' | b'f') => self.bools += 1,
            Some(b'"') => self.texts.add(&string(text)),
            Some(b'{') => {
                self.objects += 1;
                for (name, value) in object(text) {
                    self.fields.entry(&name).add(value);
                }
            }
            Some(b'[') => {
                self.arrays += 1;
                let elements = self.elements.get_or_insert_default();
                array(text).into_iter().for_each(|element| elements.add(element));
            }
            _ => self.numbers.add(text),
        }
    }

    /// Adds what was seen in another place.
    pub fn merge(&mut self, other: &Self) {
        self.seen += other.seen;
        self.nulls += other.nulls;
        self.bools += other.bools;
        self.numbers.merge(&other.numbers);
        self.texts.merge(&other.texts);
        self.objects += other.objects;
        for (name, shape) in other.fields.iter() {
            self.fields.entry(name).merge(shape);
        }
        self.arrays += other.arrays;
        if let Some(elements) = &other.elements {
            self.elements.get_or_insert_default().merge(elements);
        }
    }

    /// How many kinds of values were seen, nulls and empty texts apart; numbers in texts are numbers.
    pub fn kinds(&self) -> usize {
        let texts = self.texts.count > 0 && !(self.numbers.count > 0 && self.texts.are_numbers());
        [self.bools > 0, self.numbers.count > 0, texts, self.objects > 0, self.arrays > 0]
            .into_iter()
            .filter(|kind| *kind)
            .count()
    }

    /// Numbers, whether they stand in quotes or not; `None` where there are other texts.
    pub fn all_numbers(&self) -> Option<Numbers> {
        let mut numbers = self.numbers.clone();
        if self.texts.count > 0 {
            if !self.texts.are_numbers() {
                return None;
            }
            numbers.merge(&self.texts.numbers);
        }
        Some(numbers).filter(|numbers| numbers.count > 0)
    }
}

impl Fields {
    fn entry(&mut self, name: &str) -> &mut Shape {
        let at = match self.index.get(name) {
            Some(at) => *at,
            None => {
                self.index.insert(name.to_owned(), self.shapes.len());
                self.shapes.push((name.to_owned(), Shape::default()));
                self.shapes.len() - 1
            }
        };
        &mut self.shapes[at].1
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.shapes.iter().map(|(name, shape)| (name.as_str(), shape))
    }

    pub fn len(&self) -> usize {
        self.shapes.len()
    }
}

impl Numbers {
    fn add(&mut self, text: &str) {
        self.count += 1;
        let (whole, fraction) = places(text).unwrap_or((u64::MAX, u64::MAX));
        self.whole = self.whole.max(whole);
        self.fraction = self.fraction.max(fraction);
        let value: f64 = text.parse().unwrap_or(f64::INFINITY);
        // Beyond 2^63 the nearest f64 may be on the other side; 18 digits are always within.
        let is_i64 = fraction == 0 && (whole <= 18 || text.parse::<i64>().is_ok());
        self.beyond_i64 += u64::from(!is_i64);
        self.beyond_f64 += u64::from(!value.is_finite());
        self.beyond_bit += u64::from(value != 0.0 && value != 1.0);
        self.reach(value, text);
    }

    fn reach(&mut self, value: f64, text: &str) {
        let bound = || Some(Bound { value, text: text.to_owned() });
        if self.least.as_ref().is_none_or(|least| value < least.value) {
            self.least = bound();
        }
        if self.most.as_ref().is_none_or(|most| value > most.value) {
            self.most = bound();
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.whole = self.whole.max(other.whole);
        self.fraction = self.fraction.max(other.fraction);
        self.beyond_i64 += other.beyond_i64;
        self.beyond_f64 += other.beyond_f64;
        self.beyond_bit += other.beyond_bit;
        for bound in [&other.least, &other.most].into_iter().flatten() {
            self.reach(bound.value, &bound.text);
        }
    }
}

impl Texts {
    fn add(&mut self, text: &str) {
        if text.is_empty() {
            self.empty += 1;
            return;
        }
        self.count += 1;
        if is_plain_number(text) {
            self.numbers.add(text);
        }
        self.times.add(text);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.empty += other.empty;
        self.numbers.merge(&other.numbers);
        self.times.merge(&other.times);
    }

    pub fn are_numbers(&self) -> bool {
        self.count > 0 && self.numbers.count == self.count
    }
}

/// A number of JSON's grammar, which keeps its meaning as a number: `007` is a name.
fn is_plain_number(text: &str) -> bool {
    let first = text.strip_prefix('-').unwrap_or(text).as_bytes().first();
    first.is_some_and(u8::is_ascii_digit)
        && serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get() == text)
}

/// A JSON string's text. What was read as JSON is one.
pub(super) fn string(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_default()
}

/// The elements of a JSON array.
pub(super) fn array(json: &str) -> Vec<&RawValue> {
    serde_json::from_str(json).unwrap_or_default()
}

/// The fields of a JSON object in their order; of those of one name the last, as a record's are read.
pub(super) fn object(json: &str) -> Vec<(String, &RawValue)> {
    let Pairs(pairs) = serde_json::from_str(json).unwrap_or_default();
    let last: HashMap<String, usize> =
        pairs.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
    let is_last = |(at, (name, _)): &(usize, (String, &RawValue))| last[name] == *at;
    pairs.into_iter().enumerate().filter(is_last).map(|(_, pair)| pair).collect()
}

#[derive(Default)]
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
