//! Writes and reads the little JSON that a producer needs: a CSV field as a value, and one field of a record.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Appends a CSV field as a JSON value: null where it is empty, the text itself where it is a JSON number (so `0.10`
/// stays `0.10`), else a string (`007`, `1.`, `+5`, `NaN`, `true`).
pub(super) fn write_field(out: &mut Vec<u8>, field: &str) {
    if field.is_empty() {
        out.extend_from_slice(b"null");
    } else if is_number(field.as_bytes()) {
        out.extend_from_slice(field.as_bytes());
    } else {
        write_string(out, field);
    }
}

/// Appends a JSON string with its quotes.
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string can be written to memory");
}

/// Whether the text is a number by JSON's grammar, RFC 8259 section 6.
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = split_digits(text);
    if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
        return false;
    }
    let rest = match rest.strip_prefix(b".").map(split_digits) {
        Some((fraction, rest)) if !fraction.is_empty() => rest,
        Some(_) => return false,
        None => rest,
    };
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            !exponent.is_empty() && exponent.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

/// A record's key: the field of this name at the top level. A string gives its characters, a number, true and false
/// their text; of several fields of this name the last counts. `None` where the field is absent, null, an empty string,
/// an object or an array, and where the record is not a JSON object.
pub(super) fn key(record: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut json = serde_json::Deserializer::from_slice(record);
    let raw = json.deserialize_map(Field(name)).ok()??;
    json.end().ok()?;
    let raw = raw.get();
    match raw.as_bytes().first()? {
        b'"' => {
            serde_json::from_str::<String>(raw).ok().filter(|text| !text.is_empty()).map(String::into_bytes)
        }
        b'n' | b'{' | b'[' => None,
        _ => Some(raw.as_bytes().to_vec()),
    }
}

/// Finds one field of an object and does not parse the others.
struct Field<'a>(&'a str);

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Matches(matches)) = map.next_key_seed(Name(self.0))? {
            if matches {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct Name<'a>(&'a str);
struct Matches(bool);

impl<'de> serde::de::DeserializeSeed<'de> for Name<'_> {
    type Value = Matches;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Matches, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Matches;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Matches, E> {
        Ok(Matches(name == self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(text: &str) -> String {
        let mut out = Vec::new();
        write_field(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_keep_their_text() {
        for text in
            ["0", "-0", "7", "0.10", "-12.50", "1e9", "1E+9", "2.5e-3", "123456789012345678901234567890.1"]
        {
            assert_eq!(field(text), text);
        }
    }

    #[test]
    fn what_is_nearly_a_number_is_a_string() {
        for text in
            ["007", "1.", ".5", "+5", "-", "1e", "1e+", "NaN", "Infinity", "0x10", "1_000", " 1", "1 ", "1,5"]
        {
            assert_eq!(field(text), format!("\"{text}\""));
        }
    }

    #[test]
    fn an_empty_field_is_null_and_words_are_strings() {
        assert_eq!(field(""), "null");
        assert_eq!(field("null"), r#""null""#);
        assert_eq!(field("true"), r#""true""#);
        assert_eq!(field("a\"b\\c\n\u{1}é"), r#""a\"b\\c\n\u0001é""#);
    }

    #[test]
    fn keys() {
        let cases: [(&str, Option<&str>); 14] = [
            (r#"{"s":"AAPL","p":1}"#, Some("AAPL")),
            (r#"{"p":{"s":"no"},"s":"BRK\/B"}"#, Some("BRK/B")),
            (r#"{"\u0073":"escaped name"}"#, Some("escaped name")),
            (r#"{"s":0.10}"#, Some("0.10")),
            (r#"{"s":true}"#, Some("true")),
            (r#"{"s":"first","s":"last"}"#, Some("last")),
            (r#" {"s":"AAPL"} "#, Some("AAPL")),
            (r#"{"s":""}"#, None),
            (r#"{"s":null}"#, None),
            (r#"{"s":["AAPL"]}"#, None),
            (r#"{"p":1}"#, None),
            (r#"["s"]"#, None),
            (r#"{"s":"AAPL"} trailing"#, None),
            (r#"{"s":"AAPL""#, None),
        ];
        for (record, expected) in cases {
            assert_eq!(key(record.as_bytes(), "s").as_deref(), expected.map(str::as_bytes), "{record}");
        }
        assert_eq!(key(b"{\"s\":\"\xff\"}", "s"), None);
    }

    proptest! {
        #[test]
        fn a_field_is_valid_json_and_gives_its_text_back(text in prop_oneof![
            any::<String>(),
            "[-+]?[0-9]{0,4}[.]?[0-9]{0,4}([eE][-+]?[0-9]{0,2})?",
        ]) {
            let json = field(&text);
            let raw: &RawValue = serde_json::from_str(&json).unwrap();
            match raw.get().as_bytes()[0] {
                b'n' => prop_assert_eq!(&text, ""),
                b'"' => prop_assert_eq!(&serde_json::from_str::<String>(&json).unwrap(), &text),
                _ => prop_assert_eq!(raw.get(), &text),
            }
        }

        #[test]
        fn a_field_is_a_number_just_where_json_says_so(text in "[-+]?[0-9]{0,3}[.]?[0-9]{0,2}([eE][-+]?[0-9]{0,2})?") {
            prop_assert_eq!(is_number(text.as_bytes()), serde_json::from_str::<&RawValue>(&text).is_ok());
        }
    }
}
