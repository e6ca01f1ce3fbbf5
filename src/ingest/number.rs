//! Turns a number's text into an exact integer of a given scale.
//!
//! Money is never a binary fraction on its way: `229.87` with scale 4 is 2298700, and a digit that does not fit is
//! said, not rounded.

/// Why a text is no number of the scale asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inexact {
    NotANumber,
    /// A digit below the scale is not zero.
    Digits,
    /// The number does not fit into 38 digits.
    Range,
}

/// The most digits that Athena's decimal holds.
const DIGITS_MAX: usize = 38;

/// `text × 10^scale`, exactly. The text is a JSON number; a leading `+` and leading zeros are taken too, as numbers
/// in strings have them.
pub(super) fn scaled(text: &[u8], scale: i32) -> Result<i128, Inexact> {
    let (digits, exponent, negative) = split(text)?;
    let significant = trim(&digits);
    let Some(significant) = significant else { return Ok(0) };
    // Trailing zeros count for the exponent, so that 1.50 and 1.5 are the same number.
    let shift = i64::from(scale) + exponent + significant.dropped;
    if shift < 0 {
        return Err(Inexact::Digits);
    }
    if significant.digits.len() as i64 + shift > DIGITS_MAX as i64 {
        return Err(Inexact::Range);
    }
    let value = significant.digits.iter().fold(0i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    let value = value * 10i128.pow(shift as u32);
    Ok(if negative { -value } else { value })
}

/// As [`scaled`]; digits below the scale are rounded, half a unit of the last one that stays away from zero.
pub(super) fn rounded(text: &[u8], scale: i32) -> Result<i128, Inexact> {
    let (digits, exponent, negative) = split(text)?;
    let Some(significant) = trim(&digits) else { return Ok(0) };
    let shift = i64::from(scale) + exponent + significant.dropped;
    if shift >= 0 {
        return scaled(text, scale);
    }
    let Ok(stay) = usize::try_from(significant.digits.len() as i64 + shift) else {
        return Ok(0); // less than a tenth of the last one
    };
    let (kept, dropped) = significant.digits.split_at(stay);
    if kept.len() > DIGITS_MAX {
        return Err(Inexact::Range);
    }
    let value = kept.iter().fold(0i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    let value = value + i128::from(dropped[0] >= b'5');
    Ok(if negative { -value } else { value })
}

/// The digits before the point and after it, without zeros at either end.
pub(super) fn places(text: &[u8]) -> Option<(u64, u64)> {
    let (digits, exponent, _) = split(text).ok()?;
    let Some(significant) = trim(&digits) else { return Some((0, 0)) };
    let exponent = exponent + significant.dropped;
    let whole = significant.digits.len() as i64 + exponent;
    Some((whole.max(0) as u64, (-exponent).max(0) as u64))
}

/// Whether two texts are the same number.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    let canonical = |text: &[u8]| {
        let (digits, exponent, negative) = split(text).ok()?;
        Some(trim(&digits).map(|s| (negative, s.digits.to_vec(), exponent + s.dropped)))
    };
    a == b || canonical(a).is_some_and(|a| canonical(b) == Some(a))
}

/// The digits without the point, the power of ten that they are to be multiplied with, and the sign.
fn split(text: &[u8]) -> Result<(Vec<u8>, i64, bool), Inexact> {
    let negative = text.first() == Some(&b'-');
    let text = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&text[..at], power(&text[at + 1..])?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|b| *b == b'.') {
        Some(at) => (&mantissa[..at], Some(&mantissa[at + 1..])),
        None => (mantissa, None),
    };
    if whole.is_empty() || fraction.is_some_and(<[u8]>::is_empty) {
        return Err(Inexact::NotANumber);
    }
    let fraction = fraction.unwrap_or_default();
    let digits = [whole, fraction].concat();
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Inexact::NotANumber);
    }
    Ok((digits, exponent - fraction.len() as i64, negative))
}

fn power(text: &[u8]) -> Result<i64, Inexact> {
    let negative = text.first() == Some(&b'-');
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Inexact::NotANumber);
    }
    // No number within reach has so large a power; the cap keeps the sums small.
    let value = digits.iter().fold(0i64, |value, d| (value * 10 + i64::from(d - b'0')).min(1_000_000_000));
    Ok(if negative { -value } else { value })
}

struct Significant<'a> {
    digits: &'a [u8],
    /// Trailing zeros left out.
    dropped: i64,
}

/// Without zeros at either end; `None` is zero.
fn trim(digits: &[u8]) -> Option<Significant<'_>> {
    let first = digits.iter().position(|d| *d != b'0')?;
    let last = digits.iter().rposition(|d| *d != b'0')?;
    Some(Significant { digits: &digits[first..=last], dropped: (digits.len() - 1 - last) as i64 })
}

/// The plain case in one pass: `-?digits[.digits]` of at most 18 digits, with a fraction that fits the scale, and
/// what is no part of a number behind it. Gives the value and the text's length; `None` sends the caller to
/// [`scaled`], which says why.
#[inline]
pub(super) fn plain(text: &[u8], scale: u32) -> Option<(i64, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let (mut value, whole) = digits(&text[start..], 0);
    if whole == 0 || (whole > 1 && text[start] == b'0') {
        return None;
    }
    let mut at = start + whole;
    let mut fraction = 0;
    if text.get(at) == Some(&b'.') {
        let count;
        (value, count) = digits(&text[at + 1..], value);
        if count == 0 {
            return None;
        }
        at += 1 + count;
        fraction = count;
    }
    // 18 digits fit an i64, so nothing above has wrapped where this holds.
    let scale = scale as usize;
    if fraction > scale || whole + scale > 18 || matches!(text.get(at), Some(b'e' | b'E' | b'.')) {
        return None;
    }
    let value = value as i64 * TENS[scale - fraction];
    Some((if negative { -value } else { value }, at))
}

/// The digits that a text begins with, put behind those of `value`; and how many they are. Wraps beyond 19 in all.
#[inline]
fn digits(text: &[u8], mut value: u64) -> (u64, usize) {
    let mut at = 0;
    while let Some(eight) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let (next, count) = eight_digits(u64::from_le_bytes(*eight));
        value = value.wrapping_mul(TENS[count] as u64).wrapping_add(next);
        at += count;
        if count < 8 {
            return (value, at);
        }
    }
    while let Some(digit @ b'0'..=b'9') = text.get(at) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    (value, at)
}

/// The number of the digits that eight bytes begin with, the first in the lowest byte; and how many they are. All of them
/// at once: pairs, then fours, then the eight.
#[inline]
fn eight_digits(bytes: u64) -> (u64, usize) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let digits = bytes ^ (b'0' as u64 * EACH);
    // The high bit of each byte that is above 9.
    let others = (((digits & (0x7F * EACH)) + (0x76 * EACH)) | digits) & (0x80 * EACH);
    let count = (others.trailing_zeros() / 8) as usize;
    if count == 0 {
        return (0, 0);
    }
    // Zeros in front, so that the last digit stands in the highest byte.
    let digits = digits << (64 - 8 * count);
    let pairs = (digits.wrapping_mul(10)).wrapping_add(digits >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100)).wrapping_add(pairs >> 16) & 0x0000_FFFF_0000_FFFF;
    ((fours.wrapping_mul(10_000)).wrapping_add(fours >> 32) & 0xFFFF_FFFF, count)
}

const TENS: [i64; 19] = {
    let mut tens = [1i64; 19];
    let mut i = 1;
    while i < 19 {
        tens[i] = tens[i - 1] * 10;
        i += 1;
    }
    tens
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_are_exact() {
        let cases: &[(&str, i32, Result<i128, Inexact>)] = &[
            ("229.87", 4, Ok(2_298_700)),
            ("-0.0001", 4, Ok(-1)),
            ("1.50000", 1, Ok(15)),
            ("1.55", 1, Err(Inexact::Digits)),
            ("1e3", 0, Ok(1000)),
            ("15e-1", 0, Err(Inexact::Digits)),
            ("1.0", 0, Ok(1)),
            ("0e999999999999", 2, Ok(0)),
            ("1e999999999999", 2, Err(Inexact::Range)),
            ("1e-999999999999", 2, Err(Inexact::Digits)),
            ("-0", 0, Ok(0)),
            ("007", 0, Ok(7)),
            ("+7", 0, Ok(7)),
            ("99999999999999999999999999999999999999", 0, Ok(10i128.pow(38) - 1)),
            ("100000000000000000000000000000000000000", 0, Err(Inexact::Range)),
            ("", 0, Err(Inexact::NotANumber)),
            ("1.", 0, Err(Inexact::NotANumber)),
            (".5", 1, Err(Inexact::NotANumber)),
            ("1e", 0, Err(Inexact::NotANumber)),
            ("NaN", 0, Err(Inexact::NotANumber)),
            ("0x10", 0, Err(Inexact::NotANumber)),
        ];
        for (text, scale, want) in cases {
            assert_eq!(scaled(text.as_bytes(), *scale), *want, "{text} at scale {scale}");
        }
        assert!(same(b"1.50", b"15e-1") && same(b"0.0", b"-0") && !same(b"1", b"-1"));
    }

    proptest! {
        #[test]
        fn plain_is_scaled(text in "-?(0|[1-9][0-9]{0,19})([.][0-9]{1,20})?(e[0-9])?", scale in 0u32..19) {
            if let Some((value, len)) = plain(text.as_bytes(), scale) {
                prop_assert_eq!(len, text.len());
                prop_assert_eq!(scaled(text.as_bytes(), scale as i32), Ok(i128::from(value)));
            }
        }

        #[test]
        fn an_integer_comes_back(value in any::<i64>(), zeros in 0usize..5) {
            let text = format!("{value}.{}", "0".repeat(zeros + 1));
            prop_assert_eq!(scaled(text.as_bytes(), 0), Ok(i128::from(value)));
        }
    }
}
