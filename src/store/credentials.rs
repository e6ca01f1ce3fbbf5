//! Turns AWS's default chain of credentials into what object_store asks before every request: held for as long as they
//! are good, fetched anew before they end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use object_store::aws::AwsCredential;
use object_store::{CredentialProvider, Error, Result};
use tokio::sync::Mutex;

use crate::aws;
use crate::error;

/// Credentials are fetched anew when they end within this; while that fails, those at hand are used to their end.
const REFRESH_BEFORE: Duration = Duration::from_secs(300);
/// After a try to fetch them anew, the next is not before this: some programs hand out the same ones to their end.
const REFRESH_PAUSE: Duration = Duration::from_secs(30);
/// How long credentials without an end are used before the chain is asked again (as AWS's SDK does).
const KEEP_FOR: Duration = Duration::from_secs(900);

/// AWS's default chain, as object_store asks for credentials: before every request, so they are held.
pub(super) struct Chain {
    provider: SharedCredentialsProvider,
    held: Mutex<Option<Held>>,
}

struct Held {
    credential: Arc<AwsCredential>,
    refresh_at: SystemTime,
    ends_at: Option<SystemTime>,
}

impl Held {
    fn new(credentials: &Credentials, now: SystemTime) -> Self {
        let ends_at = credentials.expiry();
        let refresh_at = match ends_at {
            Some(end) => end.checked_sub(REFRESH_BEFORE).unwrap_or(now).max(now + REFRESH_PAUSE),
            None => now + KEEP_FOR,
        };
        let credential = AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        };
        Self { credential: Arc::new(credential), refresh_at, ends_at }
    }

    fn is_good(&self, now: SystemTime) -> bool {
        self.ends_at.is_none_or(|end| now < end)
    }
}

impl Chain {
    pub(super) fn new(provider: SharedCredentialsProvider) -> Self {
        Self { provider, held: Mutex::default() }
    }
}

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        #[expect(clippy::disallowed_methods, reason = "credentials end by the time of the wall")]
        let now = SystemTime::now();
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| now < held.refresh_at && held.is_good(now)) {
            return Ok(held.credential.clone());
        }
        match aws::credentials_of(&self.provider).await {
            Ok(credentials) => Ok(held.insert(Held::new(&credentials, now)).credential.clone()),
            Err(e) => match held.as_mut().filter(|held| held.is_good(now)) {
                Some(held) => {
                    tracing::warn!(error = error::chain(&e), "cannot refresh AWS credentials yet");
                    held.refresh_at = now + REFRESH_PAUSE;
                    Ok(held.credential.clone())
                }
                None => Err(Error::Generic { store: "S3", source: e.into() }),
            },
        }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AWS's default chain")
    }
}
