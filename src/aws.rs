//! Owns how AWS is reached: region, credentials, endpoints and HTTPS, as every AWS tool finds them.
//!
//! Settings of ours come first; what they leave open comes from AWS's default chain: `AWS_…` variables, profiles with
//! SSO and assumed roles, web identities, containers and machines. It is looked through once a process, at the first
//! use: who works on a local disk never asks for it. A region that nobody set is an error; nothing falls back to one.

mod leftover;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as ProvideCredentialsFuture;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::service_config::ServiceConfigKey;
use tokio::sync::OnceCell;
use url::Url;

use self::leftover::Asking;
use crate::error::{self, Error, Kind, Result};

/// A call that was throttled or failed in AWS is made again by the SDK, with jitter, so often and so far apart at most:
/// it gets over a burst. A job waits for an outage by itself, and so hears of it soon.
const ATTEMPTS: u32 = 5;
const BACKOFF_MAX: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// To an answer's first byte, and for all tries of a call together.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);

/// Errors of a moment that are not all modelled as such (FACTS 2.5, 3.11; botocore's models).
const PASSING: [&str; 10] = [
    "ConcurrentModificationException",
    "InternalServerException",
    "InternalServiceException",
    "OperationTimeoutException",
    "RequestLimitExceeded",
    "RequestTimeoutException",
    "ServiceUnavailableException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// A target of logs, and what of it is left out unless the user asks for that target: that this is no machine of AWS's
/// is no news, the error says what is missing; nor is each loading of keys.
pub const LOGS: (&str, &[&str]) = ("aws_config", &["aws_config=warn", "aws_config::imds=off"]);

/// The variables that name endpoints of services used here.
const ENDPOINTS: [&str; 4] =
    ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_GLUE", "AWS_ENDPOINT_URL_ATHENA"];

/// How long credentials may take: a program that asks somebody, a service that does not answer.
pub const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(30);

/// What the user said of AWS; all else is AWS's default chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsOptions {
    pub region: Option<String>,
    pub profile: Option<String>,
    /// For all services, where they are not AWS's own.
    pub endpoint: Option<String>,
}

/// AWS, as this process reaches it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Aws {
    options: Arc<AwsOptions>,
    config: Arc<OnceCell<SdkConfig>>,
}

impl Aws {
    /// Nothing is looked up yet.
    pub fn new(options: AwsOptions) -> Self {
        Self { options: Arc::new(options), config: Arc::default() }
    }

    /// Region and credentials' providers, looked up at the first call. Credentials themselves are asked for when a
    /// request needs them.
    pub async fn config(&self) -> Result<&SdkConfig> {
        self.config.get_or_try_init(|| self.load()).await
    }

    async fn load(&self) -> Result<SdkConfig> {
        let AwsOptions { region, profile, endpoint } = &*self.options;
        for name in ENDPOINTS {
            if let Some(endpoint) = std::env::var_os(name) {
                endpoint_of(&endpoint.to_string_lossy()).map_err(|e| e.with("variable", name))?;
            }
        }
        let http = http_client();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http.clone())
            .timeout_config(timeouts())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(BACKOFF_MAX))
            .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS_TIMEOUT).build())
            .app_name(AppName::new("ticklake").expect("the program's name is one of an application"));
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = endpoint {
            loader = loader.endpoint_url(endpoint_of(endpoint)?);
        }
        let config = loader.load().await;
        check_region(config.region())?;
        let provider = match profile {
            None => config.credentials_provider(),
            // Keys in the environment are above a profile in the default chain; who names one wants that one.
            Some(profile) => Some(of_profile(profile, http, &config)),
        };
        let Some(provider) = provider else { return Ok(config) };
        let checked = Checked { provider, profile: profile.clone() };
        Ok(config.into_builder().credentials_provider(SharedCredentialsProvider::new(checked)).build())
    }

    /// The region, which is set.
    pub async fn region(&self) -> Result<String> {
        Ok(self.config().await?.region().map(ToString::to_string).unwrap_or_default())
    }

    /// Credentials of this moment, as the chain gives them.
    pub async fn credentials(&self) -> Result<Credentials> {
        credentials_of(&provider_of(self.config().await?)?).await
    }

    /// Where a service is, if not at AWS's own place: `AWS_ENDPOINT_URL_S3`, a profile's `services` or the endpoint for
    /// all. The SDK's clients find it by themselves; this is for those that are not the SDK's.
    pub async fn endpoint(&self, service: &str) -> Result<Option<String>> {
        let config = self.config().await?;
        let key = ServiceConfigKey::builder()
            .service_id(service)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .expect("the key of an endpoint is whole");
        if self.options.endpoint.is_none()
            && let Some(endpoint) = config.service_config().and_then(|service| service.load_config(key))
        {
            return Ok(Some(endpoint));
        }
        Ok(config.endpoint_url().map(str::to_owned))
    }
}

/// HTTPS by the object store's TLS, so that one is compiled; and by the proxy that the environment names, as it does.
fn http_client() -> SharedHttpClient {
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector =
            Connector::builder().tls_provider(tls.clone()).proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    })
}

/// Who gives credentials.
pub fn provider_of(config: &SdkConfig) -> Result<SharedCredentialsProvider> {
    config.credentials_provider().ok_or_else(|| {
        Error::usage("AWS's default chain has no credentials at all: set AWS_PROFILE or AWS_ACCESS_KEY_ID")
    })
}

/// Credentials within the time that they may take.
pub async fn credentials_of(provider: &SharedCredentialsProvider) -> Result<Credentials> {
    match tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await {
        Ok(given) => given.map_err(|e| no_credentials(&e)),
        Err(_) => Err(Error::new(
            Kind::System,
            "AWS's default chain gives no credentials: what it asks does not answer",
        )
        .with("waited", format_args!("{} s", CREDENTIALS_TIMEOUT.as_secs()))),
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

fn check_region(region: Option<&Region>) -> Result<()> {
    let region = region.map_or("", |region| region.as_ref());
    if region.is_empty() {
        return Err(Error::usage(
            "no AWS region is set, and none is assumed: set aws.region (--region), AWS_REGION, or the region of the \
             profile. For a server that only speaks S3, it is the name that it signs with, often us-east-1",
        ));
    }
    if !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(Error::usage("the AWS region is no name of one, such as eu-central-1")
            .with("region", format_args!("{region:?}")));
    }
    Ok(())
}

fn of_profile(profile: &str, http: SharedHttpClient, config: &SdkConfig) -> SharedCredentialsProvider {
    let region = config.region().cloned();
    let around = ProviderConfig::without_region().with_http_client(http).with_region(region);
    let named = ProfileFileCredentialsProvider::builder().configure(&around).profile_name(profile).build();
    SharedCredentialsProvider::new(named)
}

/// Credentials that can be sent: what is not made for a header ends the SDK's clients.
#[derive(Debug)]
struct Checked {
    provider: SharedCredentialsProvider,
    profile: Option<String>,
}

impl ProvideCredentials for Checked {
    fn provide_credentials<'a>(&'a self) -> ProvideCredentialsFuture<'a>
    where
        Self: 'a,
    {
        ProvideCredentialsFuture::new(async {
            let asking = Asking::new();
            let given = self.provider.provide_credentials().await;
            asking.answered();
            let credentials = given.map_err(|e| match &self.profile {
                Some(profile) => {
                    CredentialsError::provider_error(format!("profile '{profile}': {}", error::chain(&e)))
                }
                None => e,
            })?;
            let good = can_be_sent(credentials.access_key_id())
                && can_be_sent(credentials.secret_access_key())
                && credentials.session_token().is_none_or(can_be_sent);
            match good {
                true => Ok(credentials),
                false => Err(CredentialsError::invalid_configuration(
                    "a key or a token is empty, or has white space or a control character in it, such as a line break at \
                     its end",
                )),
            }
        })
    }
}

/// Whether a text can be a header's value as it is.
pub fn can_be_sent(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// An endpoint that can be asked: `http://HOST:PORT` or `https://HOST`, without a slash at its end.
pub fn endpoint_of(text: &str) -> Result<String> {
    let wrong = || {
        Error::usage(
            "an endpoint is http://HOST:PORT or https://HOST, and nothing else; unset one that is empty",
        )
        .with("endpoint", format_args!("{:?}", without_login(text)))
    };
    let url = Url::parse(text).map_err(|e| wrong().because(e))?;
    let plain = ["http", "https"].contains(&url.scheme())
        && url.has_host()
        && ["", "/"].contains(&url.path())
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty();
    if plain { Ok(url.as_str().trim_end_matches('/').to_owned()) } else { Err(wrong()) }
}

/// A URL as it may be printed: `http://user:password@host` without what stands before the `@`.
pub fn without_login(url: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://********{}", &rest[at..]).into(),
        None => url.into(),
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What an operation of an AWS service fails with.
pub trait CallError: ProvideErrorMetadata + StdError + Send + Sync + 'static {}

impl<E: ProvideErrorMetadata + StdError + Send + Sync + 'static> CallError for E {}

/// Whether the error that AWS names by this code may be gone when the same call is made again.
pub fn is_passing(code: &str) -> bool {
    PASSING.contains(&code)
}

/// A failed call as our error: AWS's code and words, or what hindered it on the way. What may be gone at the next try
/// is retryable; whether the call took effect is then not known.
pub fn failed(kind: Kind, what: impl Into<String>, error: SdkError<impl CallError, HttpResponse>) -> Error {
    let failed = Error::new(kind, what);
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.code().map(str::to_owned);
    let passing = match &error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
        _ => code.as_deref().is_some_and(is_passing) || status.is_some_and(|s| s >= 500 || s == 429),
    };
    let failed = match (&code, error.message()) {
        (Some(code), Some(message)) => failed.because(format!("{code}: {message}")),
        (Some(code), None) => failed.because(code.clone()),
        // Connections and credentials: the causes say more than the error does.
        (None, _) => match cause::<CredentialsError>(&error) {
            Some(e) => failed.because(no_credentials(e)),
            None => failed.because(error::chain(&error)),
        },
    };
    let failed = match (code, status) {
        (None, Some(status)) => failed.with("HTTP status", status),
        _ => failed,
    };
    if passing { failed.retryable() } else { failed }
}

/// What AWS's chain says of itself is long and names no way out.
pub fn no_credentials(error: &CredentialsError) -> Error {
    Error::new(
        Kind::Usage,
        "no AWS credentials: set AWS_PROFILE (after 'aws sso login' where it uses SSO), AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY, or run with a role",
    )
    .because(error::chain(error))
}

/// The first of an error's causes that is of a type.
fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
