//! Defines Hive's string literals: how a text is quoted, and what a quoted text means.
//!
//! Hive's rules are in its `BaseSemanticAnalyzer.unescapeSQLString`; beyond it, a doubled quote is one quote, as
//! in the rest of SQL.

/// The text as a literal in single quotes. It stands on one line, and `unescape` gives the text back.
pub(super) fn quote(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for c in text.chars() {
        match c {
            '\'' => literal.push_str("\\'"),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            c if c.is_ascii_control() => literal.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => literal.push(c),
        }
    }
    literal.push('\'');
    literal
}

/// What a literal means, given what stands between its quotes. `None` where a `\u` escape gives half a character.
pub(super) fn unescape(raw: &str, quote: char) -> Option<String> {
    // Java's units, since one character above U+FFFF is two `\u` escapes.
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        if c == '\\' {
            escape(&mut rest, &mut units);
        } else {
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
            if c == quote {
                rest.next(); // A quote within the literal is doubled.
            }
        }
    }
    String::from_utf16(&units).ok()
}

/// Reads what follows a backslash.
fn escape(rest: &mut std::str::Chars<'_>, units: &mut Vec<u16>) {
    let text = rest.as_str();
    if let Some(unit) = text.strip_prefix('u').and_then(|t| digits(t, 4, 16)) {
        units.push(unit);
        rest.nth(4);
        return;
    }
    // Three octal digits, up to \177.
    if let Some(unit) = digits(text, 3, 8).filter(|unit| *unit <= 0o177) {
        units.push(unit);
        rest.nth(2);
        return;
    }
    let c = match rest.next() {
        None => '\\',
        Some('0') => '\0',
        Some('b') => '\u{8}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('Z') => '\u{1a}',
        Some(c @ ('%' | '_')) => {
            units.push(u16::from(b'\\'));
            c
        }
        Some(c) => c,
    };
    units.extend(c.encode_utf16(&mut [0; 2]).iter());
}

fn digits(text: &str, count: usize, radix: u32) -> Option<u16> {
    let digits = text.get(..count)?;
    // from_str_radix would take a sign.
    digits.chars().all(|c| c.is_digit(radix)).then(|| u16::from_str_radix(digits, radix).ok())?
}
