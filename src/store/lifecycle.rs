//! Asks a bucket for its lifecycle rules, which no client of objects does: one signed request, and what its answer says.
//!
//! The answer's `Date` tells the time at the store too, whatever else the answer is, so that the clock costs no request of
//! its own.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, HttpResponse};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::pages::NoPages;
use crate::error::{Error, Kind, Result};

/// For the whole request: its answer has a thousand rules at most (AWS's page of PutBucketLifecycleConfiguration).
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a bucket told of itself.
#[derive(Debug)]
pub struct Told {
    /// Its enabled rules that remove objects; none where it has no rules, or its server knows none.
    pub expiries: Result<Vec<Expiry>>,
    /// How far this machine's clock is ahead of the store's; below zero it is behind. `None` where no answer said a time.
    pub clock_ahead: Option<TimeDelta>,
}

/// A rule that removes objects as they are; parts of uploads and versions that were overwritten are no matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    pub id: String,
    /// Of keys; empty, it is every object of the bucket.
    pub prefix: String,
    /// By tags or sizes it takes some of the objects only.
    pub is_narrowed: bool,
    when: Expiration,
}

impl Expiry {
    /// Whether it may remove what is below a folder: it is of all of it, or of a part.
    pub(super) fn is_of(&self, folder: &str) -> bool {
        folder.starts_with(&self.prefix) || self.prefix.starts_with(folder)
    }
}

/// `rule 'old' removes objects under 'lake/' 30 days after they were written`
impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let removes = if self.is_narrowed { "may remove" } else { "removes" };
        match self.prefix.as_str() {
            "" => write!(f, "rule '{}' {removes} objects of the whole bucket", self.id)?,
            prefix => write!(f, "rule '{}' {removes} objects under '{prefix}'", self.id)?,
        }
        match &self.when {
            Expiration { days: Some(days), .. } => write!(f, " {days} days after they were written"),
            Expiration { date, .. } => write!(f, " from {} on", date.as_deref().unwrap_or("a date")),
        }
    }
}

/// Who asks a bucket.
#[derive(Debug)]
pub(super) struct Asking {
    client: HttpClient,
    credentials: AwsCredentialProvider,
    region: String,
    /// Of the bucket.
    url: String,
}

impl Asking {
    /// Nothing is asked yet.
    pub fn new(
        url: String,
        region: String,
        credentials: AwsCredentialProvider,
    ) -> object_store::Result<Self> {
        let options = ClientOptions::new().with_timeout(TIMEOUT).with_allow_http(true);
        Ok(Self { client: NoPages.connect(&options)?, credentials, region, url })
    }

    pub async fn ask(&self) -> Told {
        #[expect(clippy::disallowed_methods, reason = "it is the clock of the wall that is looked at")]
        let now = Utc::now;
        let asked_at = now();
        let answer = match self.send().await {
            Ok(answer) => answer,
            Err(e) => return Told { expiries: Err(self.failed(e)), clock_ahead: None },
        };
        let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
        let store = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let clock_ahead = store.map(|store| ahead(asked_at, store.to_utc(), now()));
        let status = answer.status().as_u16();
        let expiries = match answer.into_body().bytes().await {
            Ok(body) => rules_of(status, &String::from_utf8_lossy(&body)).map_err(|e| self.failed(e)),
            Err(e) => Err(self.failed(e)),
        };
        Told { expiries, clock_ahead }
    }

    async fn send(&self) -> Result<HttpResponse> {
        let failed =
            |e: Box<dyn std::error::Error + Send + Sync>| Error::new(Kind::Store, "no answer").because(e);
        let credential = self.credentials.get_credential().await.map_err(|e| failed(e.into()))?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = format!("{}?lifecycle", self.url).parse().map_err(|e| failed(Box::new(e)))?;
        AwsAuthorizer::new(&credential, "s3", &self.region).authorize(&mut request, None);
        self.client.execute(request).await.map_err(|e| failed(e.into()))
    }

    fn failed(&self, e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::new(Kind::Store, "cannot read the lifecycle rules of the bucket")
            .with("bucket", &self.url)
            .because(e)
    }
}

/// The store's time lies between a question and its answer where both clocks are right; it has no fractions of a second.
fn ahead(asked_at: DateTime<Utc>, store: DateTime<Utc>, answered_at: DateTime<Utc>) -> TimeDelta {
    (asked_at - store).max(TimeDelta::zero()) + (answered_at - store).min(TimeDelta::zero())
}

/// The rules in an answer.
fn rules_of(status: u16, body: &str) -> Result<Vec<Expiry>, String> {
    let says = |code: &str| body.contains(&format!("<Code>{code}</Code>"));
    match status {
        200 if body.contains("<LifecycleConfiguration") => expiries(body),
        200 => Err("the answer is no lifecycle configuration: is the endpoint that of S3?".to_owned()),
        404 if says("NoSuchLifecycleConfiguration") => Ok(Vec::new()),
        405 | 501 => Ok(Vec::new()), // a server that knows no rules has none
        403 if says("AccessDenied") => {
            Err("these credentials may not: allow them s3:GetLifecycleConfiguration".to_owned())
        }
        _ => Err(format!("HTTP status {status}: {}", body.chars().take(300).collect::<String>())),
    }
}

fn expiries(xml: &str) -> Result<Vec<Expiry>, String> {
    let configuration: Configuration = quick_xml::de::from_str(xml).map_err(|e| e.to_string())?;
    Ok(configuration.rules.into_iter().filter_map(Rule::expiry).collect())
}

/// As AWS's page of GetBucketLifecycleConfiguration has it.
#[derive(Deserialize)]
struct Configuration {
    #[serde(rename = "Rule", default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    #[serde(rename = "ID", default)]
    id: String,
    status: String,
    /// Of rules that were made before there were filters.
    prefix: Option<String>,
    filter: Option<Filter>,
    expiration: Option<Expiration>,
}

/// One condition, or several below `And`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Filter {
    prefix: Option<String>,
    tag: Vec<IgnoredAny>,
    object_size_greater_than: Option<IgnoredAny>,
    object_size_less_than: Option<IgnoredAny>,
    and: Option<Box<Filter>>,
}

/// Without both it is of markers of removed objects alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Expiration {
    days: Option<u64>,
    date: Option<String>,
}

impl Rule {
    fn expiry(self) -> Option<Expiry> {
        let when = self.expiration.filter(|when| when.days.is_some() || when.date.is_some())?;
        if self.status != "Enabled" {
            return None;
        }
        let filter = self.filter.unwrap_or_default();
        let filter = filter.and.map_or(Filter { and: None, ..filter }, |and| *and);
        let is_narrowed = !filter.tag.is_empty()
            || filter.object_size_greater_than.is_some()
            || filter.object_size_less_than.is_some();
        let prefix = filter.prefix.or(self.prefix).unwrap_or_default();
        Some(Expiry { id: self.id, prefix, is_narrowed, when })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(rules: &str) -> Vec<String> {
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LifecycleConfiguration \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{rules}</LifecycleConfiguration>"
        );
        rules_of(200, &xml).unwrap().iter().map(Expiry::to_string).collect()
    }

    #[test]
    fn rules_that_remove_objects_are_told_from_those_that_do_not() {
        let with = |scope: &str, does: &str| {
            told(&format!("<Rule><ID>r</ID>{scope}<Status>Enabled</Status>{does}</Rule>"))
        };
        let month = "<Expiration><Days>30</Days></Expiration>";
        let after = "30 days after they were written";
        for whole in ["", "<Prefix/>", "<Filter/>", "<Filter><Prefix></Prefix></Filter>"] {
            assert_eq!(
                with(whole, month),
                [format!("rule 'r' removes objects of the whole bucket {after}")],
                "{whole}"
            );
        }
        for lake in ["<Prefix>lake/</Prefix>", "<Filter><Prefix>lake/</Prefix></Filter>"] {
            assert_eq!(
                with(lake, month),
                [format!("rule 'r' removes objects under 'lake/' {after}")],
                "{lake}"
            );
        }
        for narrowed in [
            "<Filter><And><Tag><Key>k</Key><Value>v</Value></Tag><Prefix>lake/</Prefix><Tag><Key>l</Key><Value/></Tag></And></Filter>",
            "<Filter><And><Prefix>lake/</Prefix><ObjectSizeLessThan>9</ObjectSizeLessThan></And></Filter>",
        ] {
            assert_eq!(with(narrowed, month), [format!("rule 'r' may remove objects under 'lake/' {after}")]);
        }
        let dated = with("", "<Expiration><Date>2027-01-01T00:00:00Z</Date></Expiration>");
        assert_eq!(dated, ["rule 'r' removes objects of the whole bucket from 2027-01-01T00:00:00Z on"]);
        for harmless in [
            "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
            "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>",
            "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>",
            "<Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>",
        ] {
            assert_eq!(with("", harmless), [""; 0], "{harmless}");
        }
        assert_eq!(told(&format!("<Rule><Status>Disabled</Status>{month}</Rule>")), [""; 0]);
    }

    #[test]
    fn a_rule_is_of_a_folder_that_it_covers_or_is_in() {
        let of = |prefix: &str| {
            let when = Expiration { days: Some(1), date: None };
            Expiry { id: String::new(), prefix: prefix.to_owned(), is_narrowed: false, when }
                .is_of("lake/ticks/")
        };
        for touching in
            ["", "l", "lake/", "lake/ticks", "lake/ticks/", "lake/ticks/date=2026", "lake/ticks/_ticklake/"]
        {
            assert!(of(touching), "{touching}");
        }
        for other in ["lake/ticks_rejected/", "lake/quotes/", "ticks/", "/lake/ticks/"] {
            assert!(!of(other), "{other}");
        }
    }

    #[test]
    fn an_answer_that_has_no_rules_is_told_from_none() {
        let error = |code: &str| format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
        assert_eq!(rules_of(404, &error("NoSuchLifecycleConfiguration")), Ok(Vec::new()));
        assert_eq!(rules_of(501, &error("NotImplemented")), Ok(Vec::new()));
        assert!(rules_of(403, &error("AccessDenied")).unwrap_err().contains("s3:GetLifecycleConfiguration"));
        assert!(rules_of(403, &error("RequestTimeTooSkewed")).unwrap_err().contains("RequestTimeTooSkewed"));
        assert!(rules_of(404, &error("NoSuchBucket")).is_err());
        assert!(rules_of(200, "<html><body>Welcome</body></html>").is_err());
    }

    #[test]
    fn a_clock_is_off_by_what_an_answer_cannot_explain() {
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        assert_eq!(ahead(at(0), at(0), at(30)), TimeDelta::zero());
        assert_eq!(ahead(at(0), at(20), at(30)), TimeDelta::zero());
        assert_eq!(ahead(at(0), at(-90), at(30)), TimeDelta::seconds(90));
        assert_eq!(ahead(at(0), at(930), at(30)), TimeDelta::seconds(-900));
    }
}
