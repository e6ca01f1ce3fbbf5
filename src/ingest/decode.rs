//! Turns a Kafka record's bytes into rows: JSON to typed values, by the table's spec.
//!
//! It never fails as a whole: each record, or each element of an array of records, is a row, skipped or rejected with
//! a reason (its fate), and which of them depends on nothing but the record and the spec (DESIGN §3.7).
//!
//! Feeds repeat the order of their fields. So each object remembers what it saw last between one value and the next (comma,
//! name, colon, white space) and expects it again: a field costs one comparison and one pass over its value. A field out
//! of order costs a lookup.
//!
//! Does not own where a row goes (`route`) nor the memory it stays in (`buffer`).

use std::collections::HashMap;

use super::convert::{Kind, Landing, Plain};
use super::json::{Broken, Cursor, Parsed, Quoted, Shape, deeper, unescape};
use super::row::{Reason, Row, Value};
use super::time;
use super::unused::Unused;
use crate::kafka::Record;
use crate::table::Spec;
use crate::table::pointer::Pointer;
use crate::table::spec::{PartitionSource, Source};

/// The texts of the records in a message, and whether they are an array's elements.
struct Elements<'a> {
    texts: Vec<&'a [u8]>,
    in_array: bool,
}

/// An object remembers the order of so many fields, up to one that is so far from the value before it.
const ORDER_MAX: usize = 1024;
const TEXT_BYTES_MAX: usize = 256;

/// What a message may become. A few bytes in an array are a row of every column, with the message's key; a few in a
/// nested value are a part of every field. Limits on what one message asks for keep memory bounded; they count nothing
/// but the message and the spec, so that its fate is its own.
const MESSAGE_ROWS_BYTES_MAX: usize = 256 << 20;
const MESSAGE_PARTS_MAX: usize = 1 << 20;
/// What each value of a row takes at least, about.
const VALUE_BYTES: usize = 16;

/// What becomes of a record, or of an element of its array.
#[derive(Debug)]
pub(super) enum Fate<'a> {
    Row { row: &'a Row, element: Option<i32>, value: &'a [u8] },
    Skipped,
    Rejected(Rejection<'a>),
}

#[derive(Debug)]
pub(super) struct Rejection<'a> {
    pub reason: Reason,
    /// The column, or the partition column, that it was for.
    pub column: Option<&'a str>,
    /// Which element of the message's array; `None` is the whole message.
    pub element: Option<i32>,
    /// The message, or the element's text.
    pub value: Option<&'a [u8]>,
}

/// Decodes the records of one table. Memory: one row, and the names and orders of fields that were seen.
#[derive(Debug)]
pub(super) struct Decoder {
    slots: Vec<Slot>,
    nodes: Vec<Node>,
    actions: Vec<Action>,
    /// By action: what it comes to.
    steps: Vec<Step>,
    /// Slots that take the whole record (the empty pointer).
    whole: Vec<usize>,
    /// Slots that come from the Kafka record.
    envelope: Vec<(usize, Source)>,
    /// The slot of the `only` condition, which is true for rows.
    only: Option<usize>,
    /// What a message must say somewhere, to hold records.
    messages: Option<(Pointer, Kind)>,
    records: Pointer,
    row: Row,
    /// How many more parts the message's nested values may have.
    parts_left: usize,
    /// How sure the value in a slot is: 0 unset, 1 by a name of another case, 2 by its exact name or pointer.
    filled: Vec<u8>,
    /// Some value of the row may be [`Value::Bad`].
    bad: bool,
    unused: Unused,
}

#[derive(Debug)]
struct Slot {
    name: String,
    kind: Kind,
    plain: Plain,
    /// Something was found for it, in any record.
    seen: bool,
}

/// An object (or array) on the way to a value.
#[derive(Debug, Default)]
struct Node {
    exact: HashMap<Vec<u8>, u32>,
    /// By lower-case name: fields that are compared without case. Only the record itself has them.
    loose: HashMap<Vec<u8>, u32>,
    order: Vec<Expected>,
    /// All slots that pointers through here fill.
    below: Vec<usize>,
    /// Where it is in the record.
    place: Pointer,
}

#[derive(Debug, Default)]
struct Expected {
    /// What stood between the value before and this one, the name in it.
    text: Vec<u8>,
    /// The text once more where it is short, and the bits that it has: compared at once.
    short: u128,
    mask: u128,
    action: u32,
}

/// The message in a record's bytes: without the header of Confluent's serializers (a zero byte and the schema's number in
/// four, which no JSON begins with), and without a byte order mark.
pub(super) fn message(value: &[u8]) -> &[u8] {
    let value = match value {
        [0, _, _, _, _, message @ ..] => message,
        _ => value,
    };
    value.strip_prefix("\u{feff}".as_bytes()).unwrap_or(value)
}

/// What to do with a field's value.
#[derive(Clone, Debug, Default)]
struct Action {
    /// Slots, and whether the name was exactly theirs.
    targets: Vec<(usize, bool)>,
    below: Option<usize>,
}

/// The action of a field that nothing is taken from.
const IGNORE: u32 = 0;

/// An action, as it is done with each value.
#[derive(Clone, Copy, Debug)]
enum Step {
    Skip,
    Assign {
        slot: usize,
        exact: bool,
    },
    /// A way into the value, and nothing else: it is read once.
    Into {
        node: usize,
    },
    /// Several uses of one value.
    Several,
}

impl Step {
    fn of(action: &Action) -> Self {
        match (action.targets.as_slice(), action.below) {
            (&[(slot, exact)], None) => Self::Assign { slot, exact },
            ([], None) => Self::Skip,
            ([], Some(node)) => Self::Into { node },
            _ => Self::Several,
        }
    }
}

impl Expected {
    fn learn(&mut self, text: &[u8], action: u32) {
        self.text.clear();
        self.text.extend_from_slice(text);
        self.action = action;
        let mut short = [0; 16];
        let is_short = text.len() <= short.len();
        if is_short {
            short[..text.len()].copy_from_slice(text);
        }
        self.short = u128::from_le_bytes(short);
        self.mask = if is_short { u128::MAX >> (u128::BITS as usize - 8 * text.len()) } else { 0 };
    }

    #[inline]
    fn is_next(&self, rest: &[u8]) -> bool {
        match rest.first_chunk() {
            Some(next) if self.mask != 0 => (u128::from_le_bytes(*next) ^ self.short) & self.mask == 0,
            _ => rest.starts_with(&self.text),
        }
    }
}

impl Decoder {
    pub fn new(spec: &Spec) -> Self {
        let mut decoder = Self {
            slots: Vec::new(),
            nodes: vec![Node::default()],
            actions: vec![Action::default()],
            steps: Vec::new(),
            whole: Vec::new(),
            envelope: Vec::new(),
            only: None,
            messages: spec.messages.as_ref().map(|m| (m.pointer.clone(), Kind::Only(m.value.clone()))),
            records: spec.records.clone(),
            row: Row::default(),
            parts_left: 0,
            filled: Vec::new(),
            bad: false,
            unused: Unused::default(),
        };
        let mut loose: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        for column in &spec.columns {
            let kind = Kind::of(&column.column.column_type, column.format.as_ref());
            decoder.add(&column.column.name, kind, &column.source, &mut loose);
        }
        for field in &spec.partitions {
            if let PartitionSource::Source(source, format) = &field.of {
                let kind = Kind::of_partition(field.transform, format.as_ref());
                decoder.add(&field.name, kind, source, &mut loose);
            }
        }
        if let Some(only) = &spec.only {
            decoder.only = Some(decoder.slots.len());
            let source = Source::Pointer(only.pointer.clone());
            decoder.add("ticklake.only", Kind::Only(only.value.clone()), &source, &mut loose);
        }
        decoder.add_loose(&loose);
        decoder.steps = decoder.actions.iter().map(Step::of).collect();
        decoder.row.values = vec![Value::Null; decoder.slots.len()];
        decoder.filled = vec![0; decoder.slots.len()];
        decoder
    }

    fn add(&mut self, name: &str, kind: Kind, source: &Source, loose: &mut HashMap<Vec<u8>, Vec<usize>>) {
        let slot = self.slots.len();
        self.slots.push(Slot { name: name.to_owned(), plain: kind.plain(), kind, seen: false });
        match source {
            Source::Field(field) => {
                loose.entry(field.to_ascii_lowercase().into_bytes()).or_default().push(slot)
            }
            Source::Pointer(pointer) => self.add_pointer(pointer.tokens(), slot),
            _ => {
                self.slots[slot].seen = true; // it may be null in every record, and no name is misspelled
                self.envelope.push((slot, source.clone()));
            }
        }
    }

    fn add_pointer(&mut self, tokens: &[String], slot: usize) {
        let Some((last, way)) = tokens.split_last() else {
            self.whole.push(slot);
            return;
        };
        let mut node = 0;
        let mut place = Pointer::default();
        for token in way {
            place = place.child(token);
            let action = self.action(node, token);
            node = match self.actions[action].below {
                Some(below) => below,
                None => {
                    self.nodes.push(Node { place: place.clone(), ..Node::default() });
                    self.actions[action].below = Some(self.nodes.len() - 1);
                    self.nodes.len() - 1
                }
            };
            self.nodes[node].below.push(slot);
        }
        let action = self.action(node, last);
        self.actions[action].targets.push((slot, true));
    }

    /// The action of a name in a node, made where it is new.
    fn action(&mut self, node: usize, name: &str) -> usize {
        let new = self.actions.len() as u32;
        let action = *self.nodes[node].exact.entry(name.as_bytes().to_vec()).or_insert(new);
        if action == new {
            self.actions.push(Action::default());
        }
        action as usize
    }

    /// Adds the fields that are compared without case. An action for each spelling that differs in what it does:
    /// the exact lower-case one, each that a pointer names, and all others.
    fn add_loose(&mut self, loose: &HashMap<Vec<u8>, Vec<usize>>) {
        let pointed: Vec<(Vec<u8>, u32)> = self.nodes[0].exact.iter().map(|(n, a)| (n.clone(), *a)).collect();
        for (name, action) in pointed {
            if let Some(slots) = loose.get(&name.to_ascii_lowercase()) {
                let exact = name.to_ascii_lowercase() == name;
                let targets = slots.iter().map(|slot| (*slot, exact));
                self.actions[action as usize].targets.extend(targets);
            }
        }
        for (lower, slots) in loose {
            for exact in [true, false] {
                let targets = slots.iter().map(|slot| (*slot, exact)).collect();
                let action = self.actions.len() as u32;
                self.actions.push(Action { targets, below: None });
                if exact {
                    self.nodes[0].exact.entry(lower.clone()).or_insert(action);
                } else {
                    self.nodes[0].loose.insert(lower.clone(), action);
                }
            }
        }
    }

    /// Columns and partitions for which nothing was found yet.
    pub fn unmatched(&self) -> Vec<&str> {
        self.slots.iter().filter(|slot| !slot.seen).map(|slot| slot.name.as_str()).collect()
    }

    /// Fields of the records so far that no column takes, as pointers in the order they came; some hundred at most.
    pub fn unused(&self) -> &[String] {
        self.unused.fields()
    }

    /// Decodes a record. `sink` is given the fate of each row in it, in order; there is at least one.
    pub fn decode(
        &mut self,
        topic: &str,
        partition: i32,
        record: &Record<'_>,
        sink: &mut dyn FnMut(Fate<'_>),
    ) {
        let Some(value) = record.value else {
            return match record.elements() {
                elements if elements.len() > 0 => self.decode_elements(topic, partition, record, sink),
                _ => sink(rejected(Reason::Tombstone, None, None)),
            };
        };
        let message = message(value);
        let mut cursor = Cursor::new(message);
        cursor.space();
        if cursor.rest().is_empty() {
            return sink(rejected(Reason::Empty, None, Some(value)));
        }
        if std::str::from_utf8(message).is_err() {
            return sink(rejected(Reason::InvalidUtf8, None, Some(value)));
        }
        let envelope = Envelope { topic, partition, record };
        self.parts_left = MESSAGE_PARTS_MAX;
        if self.records.is_root() && self.messages.is_none() && cursor.peek() == Some(b'{') {
            // The common case: the message is the record, and it is read once.
            let parsed = self.record(&envelope, &mut cursor).and_then(|()| cursor.end());
            return sink(match parsed {
                Ok(()) => self.fate(None, message, value),
                Err(broken) => rejected(broken.into(), None, Some(value)),
            });
        }
        match self.elements(message, MESSAGE_ROWS_BYTES_MAX / self.row_bytes(record)) {
            // A feed with an `only` has messages of other kinds; one that holds no record at all is one of them.
            Err(Reason::NoRecords) if self.only.is_some() => sink(Fate::Skipped),
            Err(reason) => sink(rejected(reason, None, Some(value))),
            Ok(Elements { texts, .. }) if texts.is_empty() => sink(Fate::Skipped),
            Ok(Elements { texts, in_array }) => {
                for (index, text) in texts.into_iter().enumerate() {
                    let index = in_array.then_some(index as i32);
                    // What is rejected as a whole is the whole message, so that it can be decoded anew.
                    let value = if in_array { text } else { value };
                    let mut cursor = Cursor::new(text);
                    let fate = match self.record(&envelope, &mut cursor) {
                        Ok(()) => self.fate(index, text, value),
                        Err(broken) => rejected(broken.into(), index, Some(value)),
                    };
                    sink(fate);
                }
            }
        }
    }

    /// Decodes elements that were rejected before: each is a record, wherever in a message it was found.
    fn decode_elements(
        &mut self,
        topic: &str,
        partition: i32,
        record: &Record<'_>,
        sink: &mut dyn FnMut(Fate<'_>),
    ) {
        let envelope = Envelope { topic, partition, record };
        self.parts_left = MESSAGE_PARTS_MAX;
        for (element, text) in record.elements() {
            let mut cursor = Cursor::new(text);
            cursor.space();
            let parsed = self.record(&envelope, &mut cursor).and_then(|()| cursor.end());
            sink(match parsed {
                Ok(()) => self.fate(Some(element), text, text),
                Err(broken) => rejected(broken.into(), Some(element), Some(text)),
            });
        }
    }

    /// What a row of this message takes at least: its values, and what it has of the Kafka record.
    fn row_bytes(&self, record: &Record<'_>) -> usize {
        let of_record = |source: &Source| match source {
            Source::Header(name) => record.header(name).map_or(0, <[u8]>::len),
            Source::Key => record.key.map_or(0, <[u8]>::len),
            _ => 0,
        };
        // A rejected row has the key whatever the table's columns are.
        let envelope: usize = self.envelope.iter().map(|(_, source)| of_record(source)).sum();
        self.slots.len() * VALUE_BYTES + envelope + of_record(&Source::Key)
    }

    /// The records in a message, at most so many of an array's. The message is read as a whole first: one that is
    /// broken anywhere gives no row at all.
    fn elements<'a>(&self, message: &'a [u8], most: usize) -> Result<Elements<'a>, Reason> {
        let mut cursor = Cursor::new(message);
        cursor.space();
        let start = cursor;
        let found = find(&mut cursor, self.records.tokens(), 0)?;
        cursor.end()?;
        let mut texts = Vec::new();
        if let Some((pointer, is_ours)) = &self.messages {
            let said = find(&mut start.clone(), pointer.tokens(), 0)?;
            let mut landing = Landing { text: &mut Vec::new(), parts_left: &mut 0 };
            let said = said.map(|text| is_ours.read(&mut Cursor::new(text), 0, &mut landing)).transpose()?;
            if said != Some(Value::Bool(true)) {
                return Ok(Elements { texts, in_array: false });
            }
        }
        let text = found.ok_or(Reason::NoRecords)?;
        let mut cursor = Cursor::new(text);
        match cursor.shape()? {
            Shape::Null => {}
            Shape::Array => {
                let mut too_many = false;
                cursor.elements(0, |cursor, index, depth| {
                    let text = cursor.skip(depth)?;
                    too_many = index >= most;
                    if !too_many {
                        texts.push(text);
                    }
                    Ok(())
                })?;
                if too_many {
                    return Err(Reason::TooLarge);
                }
                return Ok(Elements { texts, in_array: true });
            }
            _ => texts.push(text),
        }
        Ok(Elements { texts, in_array: false })
    }

    /// Reads one record into the row.
    fn record(&mut self, envelope: &Envelope<'_>, cursor: &mut Cursor<'_>) -> Parsed<()> {
        self.row.clear();
        self.filled.fill(0);
        self.bad = false;
        self.take_envelope(envelope);
        let start = *cursor;
        match cursor.shape()? {
            Shape::Object => self.object(cursor, 0, 0)?,
            _ => {
                cursor.skip(0)?;
            }
        }
        for i in 0..self.whole.len() {
            self.slots[self.whole[i]].seen = true;
            self.assign(self.whole[i], true, &mut start.clone(), 0)?;
        }
        Ok(())
    }

    fn take_envelope(&mut self, envelope: &Envelope<'_>) {
        let Envelope { topic, partition, record } = envelope;
        self.bad |= !self.envelope.is_empty();
        for (slot, source) in &self.envelope {
            let bytes = match source {
                Source::Key => record.key,
                Source::Header(name) => record.header(name),
                Source::Topic => Some(topic.as_bytes()),
                Source::Timestamp => {
                    self.row.values[*slot] = match record.timestamp {
                        // An instant that engines cannot read; a bigint column takes any number.
                        Some(t) if self.slots[*slot].kind.is_instant() && !time::MILLIS.contains(&t) => {
                            Value::Bad(Reason::OutOfRange)
                        }
                        timestamp => timestamp.map_or(Value::Null, Value::Int),
                    };
                    continue;
                }
                Source::Partition => {
                    self.row.values[*slot] = Value::Int(i64::from(*partition));
                    continue;
                }
                Source::Offset => {
                    self.row.values[*slot] = Value::Int(record.offset);
                    continue;
                }
                Source::Field(_) | Source::Pointer(_) => continue,
            };
            match bytes {
                None => {}
                Some(bytes) if self.slots[*slot].kind.is_text() && std::str::from_utf8(bytes).is_err() => {
                    self.row.values[*slot] = Value::Bad(Reason::InvalidUtf8);
                }
                Some(bytes) => self.row.set_text(*slot, bytes),
            }
        }
    }

    /// Judges the row that was read of a text; `value` is what is kept where it is rejected.
    fn fate<'a>(&'a self, element: Option<i32>, text: &'a [u8], value: &'a [u8]) -> Fate<'a> {
        if self.only.is_some_and(|slot| self.row.values[slot] != Value::Bool(true)) {
            return Fate::Skipped;
        }
        if self.whole.is_empty() && text.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
            return rejected(Reason::NotAnObject, element, Some(value));
        }
        if self.bad {
            for (slot, found) in self.slots.iter().zip(&self.row.values) {
                if let Value::Bad(reason) = found {
                    let column = Some(slot.name.as_str());
                    return Fate::Rejected(Rejection {
                        reason: *reason,
                        column,
                        element,
                        value: Some(value),
                    });
                }
            }
        }
        Fate::Row { row: &self.row, element, value }
    }

    fn object(&mut self, cursor: &mut Cursor<'_>, node: usize, depth: usize) -> Parsed<()> {
        let below = deeper(depth)?;
        cursor.expect(b'{')?;
        for turn in 0.. {
            let action = match self.nodes[node].order.get(turn) {
                Some(expected) if expected.is_next(cursor.rest()) => {
                    cursor.advance(expected.text.len());
                    cursor.space(); // there may be more than there was
                    expected.action
                }
                _ => match self.learn(cursor, node, turn)? {
                    Some(action) => action,
                    None => break,
                },
            };
            self.act(action, cursor, below)?;
        }
        Ok(())
    }

    /// Reads the way to a value that was not expected here, and expects it here from now on; `None` at the object's end.
    fn learn(&mut self, cursor: &mut Cursor<'_>, node: usize, turn: usize) -> Parsed<Option<u32>> {
        let start = cursor.position();
        cursor.space();
        if turn == 0 {
            if cursor.eat(b'}') {
                return Ok(None);
            }
        } else if cursor.eat(b',') {
            cursor.space();
        } else {
            return cursor.expect(b'}').map(|()| None);
        }
        let name = cursor.string()?;
        cursor.space();
        cursor.expect(b':')?;
        cursor.space();
        let action = self.nodes[node].action_of(name)?;
        self.note_seen(action);
        if action == IGNORE && self.whole.is_empty() {
            self.unused.add(node, &self.nodes[node].place, name.raw);
        }
        let order = &mut self.nodes[node].order;
        let text = cursor.since(start);
        if text.len() > TEXT_BYTES_MAX {
            order.truncate(turn);
        } else if turn < ORDER_MAX && turn <= order.len() {
            if turn == order.len() {
                order.push(Expected::default());
            }
            order[turn].learn(text, action);
        }
        Ok(Some(action))
    }

    fn note_seen(&mut self, action: u32) {
        for (slot, _) in &self.actions[action as usize].targets {
            self.slots[*slot].seen = true;
        }
    }

    /// Does with a value what its name says.
    #[inline]
    fn act(&mut self, action: u32, cursor: &mut Cursor<'_>, depth: usize) -> Parsed<()> {
        match self.steps[action as usize] {
            Step::Assign { slot, exact } => self.assign(slot, exact, cursor, depth),
            Step::Skip => cursor.skip(depth).map(|_| ()),
            Step::Into { node } => self.descend(cursor, node, depth),
            Step::Several => self.act_several(action, cursor, depth),
        }
    }

    fn act_several(&mut self, action: u32, cursor: &mut Cursor<'_>, depth: usize) -> Parsed<()> {
        let start = *cursor;
        cursor.skip(depth)?;
        let Action { targets, below } = self.actions[action as usize].clone();
        for (slot, exact) in targets {
            self.assign(slot, exact, &mut start.clone(), depth)?;
        }
        match below {
            Some(node) => self.descend(&mut start.clone(), node, depth),
            None => Ok(()),
        }
    }

    /// Goes on into a value that a pointer leads through. An array's fields are its indices (RFC 6901).
    fn descend(&mut self, cursor: &mut Cursor<'_>, node: usize, depth: usize) -> Parsed<()> {
        // Of equal names the last counts, with all that is in it.
        for slot in &self.nodes[node].below {
            self.row.values[*slot] = Value::Null;
            self.filled[*slot] = 0;
        }
        match cursor.shape()? {
            Shape::Object => self.object(cursor, node, depth),
            Shape::Array => cursor.elements(depth, |cursor, index, below| {
                let action = self.nodes[node].exact.get(index.to_string().as_bytes()).copied();
                let action = action.unwrap_or(IGNORE);
                self.note_seen(action);
                self.act(action, cursor, below)
            }),
            _ => cursor.skip(depth).map(|_| ()),
        }
    }

    /// Reads a value into a slot, unless a surer name has filled it. Of equal names the last one counts.
    #[inline]
    fn assign(&mut self, slot: usize, exact: bool, cursor: &mut Cursor<'_>, depth: usize) -> Parsed<()> {
        let sureness = 1 + u8::from(exact);
        if self.filled[slot] > sureness {
            return cursor.skip(depth).map(|_| ());
        }
        self.filled[slot] = sureness;
        // Without a detour: a value that is made elsewhere and copied here costs more than to read it.
        if self.slots[slot].plain.read(cursor, &mut self.row, slot) {
            return Ok(());
        }
        self.assign_any(slot, cursor, depth)
    }

    fn assign_any(&mut self, slot: usize, cursor: &mut Cursor<'_>, depth: usize) -> Parsed<()> {
        let mut to = Landing { text: &mut self.row.text, parts_left: &mut self.parts_left };
        let value = self.slots[slot].kind.read(cursor, depth, &mut to)?;
        self.bad |= matches!(value, Value::Bad(_));
        self.row.values[slot] = value;
        Ok(())
    }
}

impl Node {
    fn action_of(&self, name: Quoted<'_>) -> Parsed<u32> {
        let mut unescaped = Vec::new();
        let name = if name.escaped {
            unescape(name, &mut unescaped)?;
            &unescaped
        } else {
            name.raw
        };
        let found = self.exact.get(name).or_else(|| self.loose.get(&name.to_ascii_lowercase()));
        Ok(found.copied().unwrap_or(IGNORE))
    }
}

/// The Kafka record around a row.
struct Envelope<'a> {
    topic: &'a str,
    partition: i32,
    record: &'a Record<'a>,
}

fn rejected<'a>(reason: Reason, element: Option<i32>, value: Option<&'a [u8]>) -> Fate<'a> {
    Fate::Rejected(Rejection { reason, column: None, element, value })
}

/// Passes a value, and gives the text of the value inside it that a pointer leads to; of equal names the last.
fn find<'a>(cursor: &mut Cursor<'a>, tokens: &[String], depth: usize) -> Parsed<Option<&'a [u8]>> {
    let Some((token, rest)) = tokens.split_first() else {
        return cursor.skip(depth).map(Some);
    };
    let mut found = None;
    match cursor.shape()? {
        Shape::Object => cursor.members(depth, |cursor, name, below| {
            let mut text = Vec::new();
            unescape(name, &mut text)?;
            if text == token.as_bytes() {
                found = find(cursor, rest, below)?;
            } else {
                cursor.skip(below)?;
            }
            Ok(())
        })?,
        Shape::Array => cursor.elements(depth, |cursor, index, below| {
            if *token == index.to_string() {
                found = find(cursor, rest, below)?;
            } else {
                cursor.skip(below)?;
            }
            Ok(())
        })?,
        _ => {
            cursor.skip(depth)?;
        }
    }
    Ok(found)
}

impl std::convert::From<Broken> for Reason {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Malformed => Self::Malformed,
            Broken::TooDeep => Self::TooDeep,
        }
    }
}
