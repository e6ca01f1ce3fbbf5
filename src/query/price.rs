//! Knows what Athena asks for the bytes that a query scans.

/// Less is paid as if it were so much; a started megabyte counts whole (AWS's price list of Athena).
const CHARGED_MIN_BYTES: u64 = 10 * MEGABYTE;
const MEGABYTE: u64 = 1 << 20;
const TERABYTE: f64 = (1u64 << 40) as f64;

/// US dollars for so many bytes of one query, at this price of a terabyte (2⁴⁰ bytes). Nothing scanned is free.
pub fn dollars(bytes: u64, price_per_tb: f64) -> f64 {
    let charged = match bytes {
        0 => 0,
        bytes => bytes.div_ceil(MEGABYTE).saturating_mul(MEGABYTE).max(CHARGED_MIN_BYTES),
    };
    charged as f64 / TERABYTE * price_per_tb
}
