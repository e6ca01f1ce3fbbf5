//! What calls cost: AWS's list prices in us-east-1, in US dollars, as its price pages had them in November 2026.

/// S3 Standard, a PUT, COPY, POST or LIST request: 0.005 a thousand (aws.amazon.com/s3/pricing).
pub(super) const PUT: f64 = 0.005 / 1_000.0;
/// Glue's data catalog, a request beyond the first million of a month: 1 a million (aws.amazon.com/glue/pricing).
pub(super) const CATALOG_CALL: f64 = 1.0 / 1_000_000.0;
