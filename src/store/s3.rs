//! Turns a bucket of S3, or of a server that speaks it, into a store whose creates are answered by what is there.
//!
//! Two clients of one bucket: reads are tried again by object_store; a create is one request, as only the caller may
//! try it again, after a look (FACTS 1.22). Credentials come from [`Aws`], as object_store's own chain knows neither
//! profiles nor SSO (FACTS 1.36).

use std::error::Error as StdError;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredentialProvider};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ClientOptions, CopyOptions, Error, GetOptions, GetResult, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result, RetryConfig,
};

use super::credentials::Chain;
use super::lifecycle::{Asking, Told};
use super::pages::NoPages;
use crate::aws::{self, Aws};
use crate::error::{self, Kind};

const STORE: &str = "S3";

/// A request that only reads is made again so often, for so long at most.
const READ_RETRIES: usize = 3;
const READ_RETRY_FOR: Duration = Duration::from_secs(60);
/// For one of them: a footer, a list, a piece of a file.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How buckets are reached and what is asked of S3 for each file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Options {
    /// Where S3 is, if it is not AWS's; above what [`Aws`] finds.
    pub endpoint: Option<String>,
    pub addressing: Addressing,
    /// The KMS key that files are encrypted with; without one it is the bucket's default.
    pub kms_key: Option<String>,
    /// `STANDARD_IA`, `INTELLIGENT_TIERING`, …; without one it is `STANDARD`.
    pub storage_class: Option<String>,
    /// For one put, its whole body included; a read has a minute at most.
    pub timeout: Duration,
}

/// Where the bucket's name stands in an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addressing {
    /// In the path for a server that is not AWS, and for a name with a dot, which no certificate of AWS's is for.
    #[default]
    Auto,
    Path,
    Virtual,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            endpoint: None,
            addressing: Addressing::Auto,
            kms_key: None,
            storage_class: None,
            // A file of 64 MiB through 2 Mbit/s; a request that hangs is given up some day.
            timeout: Duration::from_secs(300),
        }
    }
}

#[derive(Debug)]
pub(super) struct S3Store {
    bucket: String,
    reads: AmazonS3,
    creates: AmazonS3,
    asking: Asking,
    attributes: Attributes,
}

impl S3Store {
    /// Nothing is asked of the bucket yet; the region is looked up.
    pub(super) async fn open(bucket: &str, options: &S3Options, aws: &Aws) -> error::Result<Self> {
        check_bucket(bucket)?;
        for (name, text) in [("s3.kms_key", &options.kms_key), ("s3.storage_class", &options.storage_class)] {
            if text.as_ref().is_some_and(|text| !aws::can_be_sent(text)) {
                return Err(error::Error::usage(format!(
                    "the setting {name} is letters, digits and signs of ASCII"
                )));
            }
        }
        let region = aws.region().await?;
        let chain = aws::provider_of(aws.config().await?)?;
        let credentials: AwsCredentialProvider = Arc::new(Chain::new(chain));
        let address = Address::of(bucket, &region, options, aws).await?;
        let url = address.url(bucket, &region);
        let Address { endpoint, style } = address;
        let wrong = |e: Error| {
            error::Error::usage("the bucket cannot be opened with these settings")
                .with("bucket", bucket)
                .because(e)
        };
        let asking = Asking::new(url, region.clone(), credentials.clone()).map_err(wrong)?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_credentials(credentials)
            .with_http_connector(NoPages)
            .with_virtual_hosted_style_request(style == Addressing::Virtual);
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(key) = &options.kms_key {
            builder = builder.with_sse_kms_encryption(key).with_bucket_key(true);
        }
        let client = |retries: RetryConfig, timeout: Duration| {
            // What is allowed is what the user wrote as the endpoint.
            let options = ClientOptions::new().with_timeout(timeout).with_allow_http(true);
            builder.clone().with_retry(retries).with_client_options(options).build().map_err(wrong)
        };
        let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let some = RetryConfig {
            max_retries: READ_RETRIES,
            retry_timeout: READ_RETRY_FOR,
            ..RetryConfig::default()
        };
        let mut attributes = Attributes::new();
        if let Some(class) = &options.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            reads: client(some, READ_TIMEOUT.min(options.timeout))?,
            creates: client(once, options.timeout)?,
            asking,
            attributes,
        })
    }

    /// What the bucket tells of itself.
    pub(super) async fn ask(&self) -> Told {
        self.asking.ask().await
    }
}

/// Refuses what is no bucket's name on any server; the rest is the server's to judge.
fn check_bucket(bucket: &str) -> error::Result<()> {
    let plain = bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    match plain && (3..=255).contains(&bucket.len()) && !bucket.starts_with('.') {
        true => Ok(()),
        false => Err(error::Error::usage(
            "this is no bucket's name: it has 3 to 63 letters, digits, dots and hyphens. Write s3://BUCKET/FOLDER/",
        )
        .with("bucket", bucket)),
    }
}

/// Where a bucket is.
struct Address {
    /// `None` is AWS's usual one.
    endpoint: Option<String>,
    /// `Path` or `Virtual`.
    style: Addressing,
}

impl Address {
    async fn of(bucket: &str, region: &str, options: &S3Options, aws: &Aws) -> error::Result<Self> {
        let named = match &options.endpoint {
            Some(endpoint) => Some(endpoint.clone()),
            None => aws.endpoint("s3").await?,
        };
        let named = named.map(|text| aws::endpoint_of(&text)).transpose()?;
        let style = match options.addressing {
            Addressing::Auto if named.is_some() || bucket.contains('.') => Addressing::Path,
            Addressing::Auto => Addressing::Virtual,
            style => style,
        };
        let config = aws.config().await?;
        let variant = match (config.use_fips() == Some(true), config.use_dual_stack() == Some(true)) {
            (false, false) => "",
            (true, false) => "-fips",
            (false, true) => ".dualstack",
            (true, true) => "-fips.dualstack",
        };
        let endpoint = named.or_else(|| aws_endpoint(region, variant));
        let is_number = |endpoint: &String| {
            let host = endpoint.split_once("://").map_or("", |(_, rest)| rest);
            host.starts_with('[') || host.bytes().all(|b| b.is_ascii_digit() || b".:".contains(&b))
        };
        if style == Addressing::Virtual && endpoint.as_ref().is_some_and(is_number) {
            return Err(error::Error::usage(
                "a bucket's name cannot stand before an address of numbers: set s3.addressing_style to path",
            )
            .with("endpoint", endpoint.unwrap_or_default()));
        }
        let endpoint = match style {
            Addressing::Virtual => endpoint.map(|endpoint| in_host(&endpoint, bucket)),
            _ => endpoint,
        };
        Ok(Self { endpoint, style })
    }

    /// Of the bucket, as object_store makes it.
    fn url(&self, bucket: &str, region: &str) -> String {
        match (&self.endpoint, self.style) {
            (Some(endpoint), Addressing::Virtual) => endpoint.clone(),
            (Some(endpoint), _) => format!("{endpoint}/{bucket}"),
            (None, Addressing::Virtual) => format!("https://{bucket}.s3.{region}.amazonaws.com"),
            (None, _) => format!("https://s3.{region}.amazonaws.com/{bucket}"),
        }
    }
}

/// AWS's own address of S3, where it is not the usual one, which object_store knows (AWS's list of S3's endpoints).
/// `variant`: `-fips`, `.dualstack`, both in this order, or none.
fn aws_endpoint(region: &str, variant: &str) -> Option<String> {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let is_usual = variant.is_empty() && domain == "amazonaws.com";
    (!is_usual).then(|| format!("https://s3{variant}.{region}.{domain}"))
}

/// `https://host` → `https://bucket.host`
fn in_host(endpoint: &str, bucket: &str) -> String {
    endpoint.replacen("://", &format!("://{bucket}."), 1)
}

/// What object_store leaves as it came, by S3's own words. A folder that is not there is listed as empty: what is not
/// found by a list or a put is the bucket, if the server says so. A right or a region does not come by itself.
fn judged(bucket: &str, error: Error) -> Error {
    match error {
        Error::NotFound { source, .. } if source.to_string().contains("NoSuchBucket") => {
            Error::NotSupported { source: format!("there is no bucket '{bucket}' here").into() }
        }
        Error::NotFound { source, .. } => Error::Generic { store: STORE, source },
        Error::Generic { source, .. } if is_said(source.as_ref(), &["<Code>AccessDenied"]) => {
            Error::PermissionDenied { path: bucket.to_owned(), source }
        }
        Error::Generic { source, .. }
            if is_said(
                source.as_ref(),
                &["<Code>AuthorizationHeaderMalformed", "<Code>PermanentRedirect"],
            ) =>
        {
            let told = "the bucket is in another region: set AWS_REGION (--region) to the bucket's own";
            Error::NotSupported { source: error::Error::new(Kind::Store, told).because(source).into() }
        }
        error => error,
    }
}

fn is_said(source: &(dyn StdError + 'static), words: &[&str]) -> bool {
    let text = error::chain(source);
    words.iter().any(|word| text.contains(word))
}

/// S3 answers 412 where an object is there, and 409 where another write to the name was under way and this one was
/// dropped; object_store calls both `AlreadyExists` (FACTS 1.4, 1.21). Only the first is one.
fn dropped(error: Error) -> Error {
    match error {
        Error::AlreadyExists { path, source } => match source.downcast_ref::<Error>() {
            Some(Error::Precondition { .. } | Error::NotModified { .. }) => {
                Error::AlreadyExists { path, source }
            }
            _ => Error::Generic { store: STORE, source },
        },
        error => error,
    }
}

impl fmt::Display for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reads.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for S3Store {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if opts.mode != PutMode::Create {
            return self.reads.put_opts(location, payload, opts).await;
        }
        let opts = PutOptions { attributes: self.attributes.clone(), ..opts };
        let created = self.creates.put_opts(location, payload, opts).await;
        created.map_err(|e| judged(&self.bucket, dropped(e)))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.reads.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reads.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reads.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.reads.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let bucket = self.bucket.clone();
        self.reads.list(prefix).map_err(move |e| judged(&bucket, e)).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let bucket = self.bucket.clone();
        self.reads.list_with_offset(prefix, offset).map_err(move |e| judged(&bucket, e)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reads.list_with_delimiter(prefix).await.map_err(|e| judged(&self.bucket, e))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.reads.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.reads.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_that_aws_names() {
        assert_eq!(aws_endpoint("eu-central-1", ""), None);
        let address = |region, variant| aws_endpoint(region, variant).unwrap();
        assert_eq!(address("cn-north-1", ""), "https://s3.cn-north-1.amazonaws.com.cn");
        assert_eq!(address("us-east-2", "-fips"), "https://s3-fips.us-east-2.amazonaws.com");
        assert_eq!(
            address("us-east-1", "-fips.dualstack"),
            "https://s3-fips.dualstack.us-east-1.amazonaws.com"
        );
        assert_eq!(in_host("https://s3.example.com:9000", "lake"), "https://lake.s3.example.com:9000");
        for bucket in ["my-lake", "my.lake", "LAKE_1"] {
            assert!(check_bucket(bucket).is_ok(), "{bucket}");
        }
        for bucket in ["", "ab", "bu cket", "b?x", "lake:80", "user@lake", "..", "b\u{fc}cket", ".lake"] {
            assert!(check_bucket(bucket).is_err(), "{bucket}");
        }
    }
}
