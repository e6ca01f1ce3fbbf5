//! JSON as feeds send it and worse: values of every kind, spelled in many ways, and what is left of them when bytes
//! are changed.

use chrono::{DateTime, Utc};
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub enum Json {
    /// Anything but a string, an array and an object, as it stands.
    Plain(String),
    Text(String),
    Array(Vec<Json>),
    /// Names may be there twice.
    Object(Vec<(String, Json)>),
}

/// At the edges of every type.
const NUMBERS: [&str; 46] = [
    "0",
    "-0",
    "0.0",
    "-0.0",
    "1",
    "1.0",
    "1e0",
    "10e-1",
    "2",
    "127",
    "128",
    "-128",
    "-129",
    "32767",
    "32768",
    "-32769",
    "2147483647",
    "2147483648",
    "-2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "999999999999999999",
    "1000000000000000000",
    "999.99",
    "-999.99",
    "1000",
    "99999999999999.9999",
    "100000000000000",
    "0.000000000000000001",
    "1e38",
    "1e37",
    "-1e38",
    "99999999999999999999999999999999999999",
    "100000000000000000000000000000000000000",
    "3.4028235e38",
    "3.4028236e38",
    "1.7976931348623157e308",
    "1.8e308",
    "5e-324",
    "0e999999999999",
    "1e999999999999",
    "1e-999999999999",
    "253402300799999",
    "-62135596800001",
];

/// What a person or a careless program puts where another thing is expected.
const TEXTS: [&str; 30] = [
    "",
    " ",
    "true",
    "false",
    "True",
    "null",
    "NaN",
    "Infinity",
    "inf",
    "-",
    "+",
    "1.",
    ".5",
    "+7",
    "007",
    " 1",
    "1 ",
    "1e",
    "e1",
    "1_000",
    "0x10",
    "1,5",
    "١",
    ".",
    "..",
    "__HIVE_DEFAULT_PARTITION__",
    "a/b=c%:'x'",
    "\u{0}",
    "\u{7f}\t",
    "\u{feff}é€😀",
];

fn numbers() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(NUMBERS.to_vec()).prop_map(str::to_owned),
        3 => "-?(0|[1-9][0-9]{0,4})([.][0-9]{1,6})?",
        1 => "-?[1-9][0-9]{0,45}([.][0-9]{1,45})?",
        1 => "-?(0|[1-9][0-9]{0,3})([.][0-9]{1,3})?[eE][+-]?[0-9]{1,6}",
        2 => (-62_200_000_000_000i64..253_500_000_000_000).prop_map(|millis| millis.to_string()),
        1 => any::<i64>().prop_map(|n| n.to_string()),
    ]
}

/// Times in the forms of the format `rfc3339`, and nearly.
fn times() -> impl Strategy<Value = String> {
    let forms = [
        "%Y-%m-%dT%H:%M:%S%.fZ",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dt%H:%M:%S,%9f+01:00",
        "%Y-%m-%d %H:%M-0530",
        "%Y-%m-%dT%H:%M:%S-23:59",
        "%Y-%m-%d",
        "%Y-%m-%dT%H:%M:60z",
        "%Y-%m-%dT%H:%M:%S.%90000Z",
        "%Y-%m-%dT%H",
        "%Y-%m-%dT%H:%M:%S.%9f1Z",
        "%Y-%m-%dT24:00:00",
        "%Y-%m-31",
        "%d.%m.%Y",
        " %Y-%m-%d",
        "%Y-%m-%dT%H:%M:%S+24:00",
        "%Y-%m-%dT%H:%M:%S+1",
        "%Y-%m-%dT%H:%M:%S Z",
        "%Y%m%d",
        "%Y-%m-%dT%H:%M:%S.Z",
        "%Y-%m-%dX%H:%M:%S",
        "%Y-%m-%dT%H:%M:%S.%9f00000000000000000000000000Z",
    ];
    let seconds = prop_oneof![-62_200_000_000i64..253_500_000_000, 0i64..4_000_000_000];
    (seconds, 0u32..1_000_000_000, prop::sample::select(forms.to_vec())).prop_map(|(seconds, nanos, form)| {
        let time = DateTime::<Utc>::from_timestamp(seconds, nanos).expect("a time of chrono's");
        let form = form.replace("%90000", "%9f0000");
        time.format(&form).to_string()
    })
}

pub fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => prop::sample::select(TEXTS.to_vec()).prop_map(str::to_owned),
        2 => numbers(),
        2 => times(),
        1 => "[A-Z]{1,5}",
        1 => any::<String>(),
        1 => (200usize..260).prop_map(|n| "x".repeat(n)),
    ]
}

/// Any value; the names of fields are out of `names`, so that they are often met, and often twice.
pub fn values(names: &'static [&'static str]) -> impl Strategy<Value = Json> {
    let plain = prop_oneof![
        3 => numbers(),
        1 => prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![plain.prop_map(Json::Plain), texts().prop_map(Json::Text)];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let name = prop::sample::select(names).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::vec((name, inner), 0..5).prop_map(Json::Object),
        ]
    })
}

/// A record: an object of fields out of `names`.
pub fn records(names: &'static [&'static str]) -> impl Strategy<Value = Json> {
    let name = prop::sample::select(names).prop_map(str::to_owned);
    prop::collection::vec((name, values(names)), 0..9).prop_map(Json::Object)
}

impl Json {
    /// As text. `style` says, byte by byte and again from its start, where white space is and what is escaped.
    pub fn print(&self, style: &[u8]) -> String {
        let mut printer = Printer { style: style.iter().copied().cycle(), text: String::new() };
        printer.space();
        printer.value(self);
        printer.space();
        printer.text
    }
}

struct Printer<I> {
    style: I,
    text: String,
}

impl<I: Iterator<Item = u8>> Printer<I> {
    fn next(&mut self) -> u8 {
        self.style.next().unwrap_or(0)
    }

    fn space(&mut self) {
        let space = match self.next() {
            0..200 => "",
            200..230 => " ",
            230..245 => "\n",
            _ => "\r\t  ",
        };
        self.text.push_str(space);
    }

    fn value(&mut self, value: &Json) {
        match value {
            Json::Plain(text) => self.text.push_str(text),
            Json::Text(text) => self.string(text),
            Json::Array(elements) => {
                self.text.push('[');
                self.space();
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        self.text.push(',');
                        self.space();
                    }
                    self.value(element);
                    self.space();
                }
                self.text.push(']');
            }
            Json::Object(fields) => {
                self.text.push('{');
                self.space();
                for (i, (name, value)) in fields.iter().enumerate() {
                    if i > 0 {
                        self.text.push(',');
                        self.space();
                    }
                    self.string(name);
                    self.space();
                    self.text.push(':');
                    self.space();
                    self.value(value);
                    self.space();
                }
                self.text.push('}');
            }
        }
    }

    fn string(&mut self, text: &str) {
        let escapes = self.next() > 200;
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.text.extend(['\\', c]),
                '/' if escapes => self.text.push_str("\\/"),
                '\n' if escapes => self.text.push_str("\\n"),
                c if c < ' ' || (escapes && self.next() > 100) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.text.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }
}

pub fn styles() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(vec![0]), prop::collection::vec(any::<u8>(), 1..40)]
}

/// A change of a text's bytes, at a place that is a fraction of its length.
#[derive(Clone, Debug)]
pub enum Change {
    Cut(u16),
    Flip(u16, u8),
    Put(u16, Vec<u8>),
    Remove(u16, u8),
    Repeat(u16, u8),
}

/// Pieces that break a JSON text, or nearly.
const PIECES: [&[u8]; 30] = [
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\0",
    b"\n",
    b"\\",
    b"\"",
    b"\\u",
    b"\\ud800",
    b"\\udc00",
    b"\\ud83d\\ude00",
    b"\\x",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"-",
    b"+",
    b"0",
    b"e",
    b".",
    b"null",
    b"NaN",
    b"{\"a\":1}",
    b"//",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"tru",
];

pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        1 => any::<u16>().prop_map(Change::Cut),
        2 => (any::<u16>(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        3 => (any::<u16>(), prop::sample::select(PIECES.to_vec())).prop_map(|(at, piece)| Change::Put(at, piece.to_vec())),
        1 => (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Change::Put(at, vec![byte])),
        2 => (any::<u16>(), 1u8..4).prop_map(|(at, n)| Change::Remove(at, n)),
        1 => (any::<u16>(), 1u8..20).prop_map(|(at, n)| Change::Repeat(at, n)),
    ];
    prop::collection::vec(change, 1..4)
}

pub fn changed(text: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut text = text.to_vec();
    for change in changes {
        let place = |at: u16| usize::from(at) * text.len() / usize::from(u16::MAX);
        match change {
            Change::Cut(at) => text.truncate(place(*at)),
            Change::Flip(at, bit) => {
                let at = place(*at);
                if let Some(byte) = text.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Change::Put(at, bytes) => {
                let at = place(*at);
                text.splice(at..at, bytes.iter().copied());
            }
            Change::Remove(at, n) => {
                let at = place(*at);
                text.drain(at..(at + usize::from(*n)).min(text.len()));
            }
            Change::Repeat(at, n) => {
                let at = place(*at);
                let end = (at + usize::from(*n)).min(text.len());
                let piece = text[at..end].to_vec();
                text.splice(end..end, piece);
            }
        }
    }
    text
}
