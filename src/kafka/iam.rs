//! Gives Amazon MSK the token that it takes for AWS's credentials: what `sasl.mechanism=AWS_MSK_IAM` stands for.
//!
//! librdkafka does not know that mechanism, and MSK takes the same proof as the token of OAUTHBEARER: a presigned
//! request "may I connect to a cluster?", which is never sent, as text (AWS's aws-msk-iam-sasl-signer libraries;
//! FACTS 5.14). librdkafka asks for the next token when four fifths of one's life are over, by an event that `poll`
//! serves.
//!
//! Does not own credentials: they are AWS's chain's, as for S3 and Glue.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_types::base64;
use tokio::runtime::Handle;
use url::Url;

use crate::aws::Aws;
use crate::error::{self, Error, Kind, Result};

/// As Java's clients name it. It is no mechanism of librdkafka's, so it cannot be meant for it.
pub(super) const MECHANISM: &str = "AWS_MSK_IAM";

/// As long as AWS's own libraries have it.
const LIFE: Duration = Duration::from_secs(900);
/// A token is given again while it lives for so long still: several clients and tries share it.
const AGAIN: Duration = Duration::from_secs(450);
/// One that ends within this is no use any more.
const LEAST: Duration = Duration::from_secs(10);

/// What a broker is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// A secret, as long as it lives.
    pub text: String,
    pub ends_at: SystemTime,
}

impl Token {
    /// The token of these credentials, as of `now`. It ends with them, where they end sooner.
    pub fn sign(credentials: &Credentials, region: &str, now: SystemTime) -> Result<Self> {
        let unsignable = |e: &dyn fmt::Display| {
            Error::new(Kind::Kafka, "cannot sign a token for MSK")
                .with("region", region)
                .because(e.to_string())
        };
        let mut url =
            Url::parse(&format!("https://kafka.{region}.amazonaws.com/?Action=kafka-cluster%3AConnect"))
                .map_err(|e| unsignable(&e))?;
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(LIFE);
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("kafka-cluster")
            .time(now)
            .settings(settings)
            .build()
            .map_err(|e| unsignable(&e))?
            .into();
        let request = SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::Bytes(b""))
            .map_err(|e| unsignable(&e))?;
        let (signed, _) = sign(request, &params).map_err(|e| unsignable(&e))?.into_parts();
        url.query_pairs_mut()
            .extend_pairs(signed.params())
            // Not signed: AWS's libraries add it afterwards too.
            .append_pair("User-Agent", concat!("ticklake/", env!("CARGO_PKG_VERSION")));
        let text = base64::encode(url.as_str()).replace('+', "-").replace('/', "_");
        let ends_at = (now + LIFE).min(credentials.expiry().unwrap_or(now + LIFE));
        Ok(Self { text: text.trim_end_matches('=').to_owned(), ends_at })
    }

    /// Milliseconds since 1970, as librdkafka wants it.
    pub(super) fn ends_at_ms(&self) -> i64 {
        let since = self.ends_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn lives_for(&self, time: Duration, now: SystemTime) -> bool {
        self.ends_at > now + time
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("ends_at", &self.ends_at).finish_non_exhaustive()
    }
}

/// The tokens of one client, whose threads are not tokio's: they wait for the credentials.
#[derive(Debug)]
pub(super) struct Tokens {
    aws: Aws,
    runtime: Handle,
    last: Mutex<Option<Token>>,
}

impl Tokens {
    /// Called where tokio runs, which then does the asking.
    pub(super) fn new(aws: Aws) -> Self {
        Self { aws, runtime: Handle::current(), last: Mutex::default() }
    }

    /// A token that lives. While AWS gives no credentials the last one is used to its end. It blocks, so it is not for
    /// tokio's own threads.
    pub(super) fn get(&self) -> Result<Token> {
        #[expect(clippy::disallowed_methods, reason = "a token ends by the time of the wall")]
        let now = SystemTime::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = last.as_ref().filter(|token| token.lives_for(AGAIN, now)) {
            return Ok(token.clone());
        }
        match self.runtime.block_on(self.sign(now)) {
            Ok(token) => Ok(last.insert(token).clone()),
            Err(e) => match last.as_ref().filter(|token| token.lives_for(LEAST, now)) {
                Some(token) => {
                    tracing::warn!(error = error::chain(&e), "cannot refresh MSK's token yet");
                    Ok(token.clone())
                }
                None => Err(e),
            },
        }
    }

    async fn sign(&self, now: SystemTime) -> Result<Token> {
        let region = self.aws.region().await?;
        Token::sign(&self.aws.credentials().await?, &region, now)
    }
}
