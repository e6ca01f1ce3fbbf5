//! Reads JSON text (RFC 8259) in place: a cursor over the bytes of one record.
//!
//! It validates everything it passes, also what is skipped, and keeps numbers as their text. It expects UTF-8,
//! checked before. It gives no meaning to values: that is `decode`'s.

/// How deep arrays and objects may nest before a record is rejected.
pub(super) const DEPTH_MAX: usize = 64;

/// A cursor over one JSON text. Cheap to copy: a copy reads the same text again.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Why a text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Malformed,
    TooDeep,
}

pub(super) type Parsed<T> = Result<T, Broken>;

/// The text between the quotes of a JSON string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted<'a> {
    pub raw: &'a [u8],
    pub escaped: bool,
}

/// What a value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { bytes: text, at: 0 }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    /// The text from a position to here.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// What is left of the text.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    #[inline]
    pub fn advance(&mut self, by: usize) {
        self.at += by;
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Passes a byte if it comes next.
    #[inline]
    pub fn eat(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    pub fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.eat(byte) { Ok(()) } else { Err(Broken::Malformed) }
    }

    /// Nothing but white space is left.
    pub fn end(&mut self) -> Parsed<()> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Broken::Malformed) }
    }

    #[inline]
    pub fn shape(&self) -> Parsed<Shape> {
        match self.peek() {
            Some(b'{') => Ok(Shape::Object),
            Some(b'[') => Ok(Shape::Array),
            Some(b'"') => Ok(Shape::String),
            Some(b'-' | b'0'..=b'9') => Ok(Shape::Number),
            Some(b't') => Ok(Shape::True),
            Some(b'f') => Ok(Shape::False),
            Some(b'n') => Ok(Shape::Null),
            _ => Err(Broken::Malformed),
        }
    }

    pub fn literal(&mut self, text: &[u8]) -> Parsed<()> {
        if !self.rest().starts_with(text) {
            return Err(Broken::Malformed);
        }
        self.at += text.len();
        Ok(())
    }

    /// A string, from its opening quote. Escapes are checked by [`unescape`].
    #[inline]
    pub fn string(&mut self) -> Parsed<Quoted<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(Broken::Malformed), // the end, or a control character
            }
        }
        let raw = &self.bytes[start..self.at];
        self.at += 1;
        Ok(Quoted { raw, escaped })
    }

    /// A number, as its text.
    pub fn number(&mut self) -> Parsed<&'a [u8]> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(self.since(start))
    }

    fn digits(&mut self) -> Parsed<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(Broken::Malformed) } else { Ok(()) }
    }

    /// Passes any value, and gives its text.
    pub fn skip(&mut self, depth: usize) -> Parsed<&'a [u8]> {
        let start = self.at;
        match self.shape()? {
            Shape::String => {
                let text = self.string()?;
                if text.escaped {
                    unescape(text, &mut Vec::new())?;
                }
            }
            Shape::Number => {
                self.number()?;
            }
            Shape::True => self.literal(b"true")?,
            Shape::False => self.literal(b"false")?,
            Shape::Null => self.literal(b"null")?,
            Shape::Object => self.members(depth, |cursor, _, depth| cursor.skip(depth).map(|_| ()))?,
            Shape::Array => self.elements(depth, |cursor, _, depth| cursor.skip(depth).map(|_| ()))?,
        }
        Ok(self.since(start))
    }

    /// Passes an object; `member` is called at each value, with its name and the depth below, and passes the value.
    pub fn members<F>(&mut self, depth: usize, mut member: F) -> Parsed<()>
    where
        F: FnMut(&mut Self, Quoted<'a>, usize) -> Parsed<()>,
    {
        let below = deeper(depth)?;
        self.expect(b'{')?;
        self.space();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            if name.escaped {
                unescape(name, &mut Vec::new())?;
            }
            self.space();
            self.expect(b':')?;
            self.space();
            member(self, name, below)?;
            self.space();
            if self.eat(b',') {
                self.space();
            } else {
                return self.expect(b'}');
            }
        }
    }

    /// Passes an array; `element` is called at each value, with its index and the depth below, and passes the value.
    pub fn elements<F>(&mut self, depth: usize, mut element: F) -> Parsed<()>
    where
        F: FnMut(&mut Self, usize, usize) -> Parsed<()>,
    {
        let below = deeper(depth)?;
        self.expect(b'[')?;
        self.space();
        if self.eat(b']') {
            return Ok(());
        }
        for index in 0.. {
            element(self, index, below)?;
            self.space();
            if self.eat(b',') {
                self.space();
            } else {
                break;
            }
        }
        self.expect(b']')
    }
}

pub(super) fn deeper(depth: usize) -> Parsed<usize> {
    if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(Broken::TooDeep) }
}

/// Appends the text that a JSON string stands for. A lone surrogate is no text, so it is malformed.
pub(super) fn unescape(text: Quoted<'_>, to: &mut Vec<u8>) -> Parsed<()> {
    let mut rest = text.raw;
    while let Some(at) = rest.iter().position(|b| *b == b'\\') {
        to.extend_from_slice(&rest[..at]);
        let (escape, after) = rest[at + 1..].split_first().ok_or(Broken::Malformed)?;
        rest = after;
        match escape {
            b'"' | b'\\' | b'/' => to.push(*escape),
            b'b' => to.push(0x08),
            b'f' => to.push(0x0C),
            b'n' => to.push(b'\n'),
            b'r' => to.push(b'\r'),
            b't' => to.push(b'\t'),
            b'u' => {
                let mut code = u32::from(hex4(&mut rest)?);
                if (0xD800..0xDC00).contains(&code) && rest.starts_with(b"\\u") {
                    rest = &rest[2..];
                    let low = u32::from(hex4(&mut rest)?);
                    if !(0xDC00..0xE000).contains(&low) {
                        return Err(Broken::Malformed);
                    }
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                }
                let decoded = char::from_u32(code).ok_or(Broken::Malformed)?;
                to.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return Err(Broken::Malformed),
        }
    }
    to.extend_from_slice(rest);
    Ok(())
}

fn hex4(rest: &mut &[u8]) -> Parsed<u16> {
    let digits = rest.get(..4).filter(|d| d.iter().all(u8::is_ascii_hexdigit)).ok_or(Broken::Malformed)?;
    *rest = &rest[4..];
    let text = std::str::from_utf8(digits).map_err(|_| Broken::Malformed)?;
    u16::from_str_radix(text, 16).map_err(|_| Broken::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Parsed<()> {
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.space();
        cursor.skip(0)?;
        cursor.end()
    }

    proptest::proptest! {
        /// The cursor takes exactly what serde_json takes.
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}:,"a0-9.eE+\-\\untrfls \u{e9}]{0,24}"#) {
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            proptest::prop_assert_eq!(whole(&text).is_ok(), theirs, "{}", text);
        }

        #[test]
        fn unescapes_as_serde_json_does(text in proptest::prelude::any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let mut cursor = Cursor::new(json.as_bytes());
            let mut got = Vec::new();
            unescape(cursor.string().unwrap(), &mut got).unwrap();
            proptest::prop_assert_eq!(got, text.into_bytes());
        }
    }

    #[test]
    fn depth_is_bounded() {
        let at = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(whole(&at(DEPTH_MAX)), Ok(()));
        assert_eq!(whole(&at(DEPTH_MAX + 1)), Err(Broken::TooDeep));
        assert_eq!(whole(&"[".repeat(1_000_000)), Err(Broken::TooDeep));
    }

    #[test]
    fn lone_surrogates_are_malformed() {
        for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\ud800x""#] {
            assert_eq!(whole(text), Err(Broken::Malformed), "{text}");
        }
        assert_eq!(whole(r#""\ud83d\ude00""#), Ok(()));
    }
}
