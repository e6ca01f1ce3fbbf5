//! `ticklake check` in the cloud's terms, against one server that answers as S3, Glue and Athena do.
//!
//! What is asked of real servers is in `tests/real`.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use ticklake::kafka::Cluster;
use tokio::net::TcpListener;

use super::{DDL, err, folder, out, ticklake};

type Answer = (u16, String);

/// What differs from check to check.
#[derive(Clone)]
struct Cloud {
    lifecycle: Answer,
    workgroup: Answer,
    /// Of the server's clock to this machine's.
    clock_behind: TimeDelta,
    /// The Authorization headers of the questions for rules.
    signed_by: Arc<Mutex<Vec<String>>>,
}

impl Cloud {
    fn new(lifecycle: Answer, workgroup: Answer, clock_behind: TimeDelta) -> Self {
        Self { lifecycle, workgroup, clock_behind, signed_by: Arc::default() }
    }

    /// The lines of a check against it, and its exit code.
    async fn check(&self, settings: &[&str]) -> (String, Option<i32>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let settings: Vec<String> = settings.iter().map(|line| format!("{line}\n")).collect();
        tokio::task::spawn_blocking(move || {
            let cluster = Cluster::start(&[("empty", 1)]).unwrap();
            let home = folder();
            std::fs::write(home.path().join("ticks.sql"), DDL).unwrap();
            std::fs::write(home.path().join("ticklake.toml"), settings.concat()).unwrap();
            let brokers = cluster.connection().brokers;
            let job = ["--topic", "empty", "--table", "ticks.sql", "--location", "s3://lake/market/ticks"];
            let mut command = ticklake(
                home.path(),
                &[&["--catalog", "glue", "--brokers", &brokers, "check"], &job[..]].concat(),
            );
            for (name, _) in
                std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_"))
            {
                command.env_remove(name);
            }
            let keys = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];
            let place =
                [("AWS_REGION", "eu-central-1"), ("AWS_ENDPOINT_URL", &*endpoint), ("NO_PROXY", "127.0.0.1")];
            let output = command.envs(keys).envs(place).output().unwrap();
            (format!("{}{}", out(&output), err(&output)), output.status.code())
        })
        .await
        .unwrap()
    }
}

async fn answer(State(cloud): State<Cloud>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let query = uri.query().unwrap_or_default();
    let (status, body) = match (method.as_str(), uri.path()) {
        ("GET", "/lake") if query == "lifecycle" => {
            let signed = headers["authorization"].to_str().unwrap().to_owned();
            cloud.signed_by.lock().unwrap().push(signed);
            cloud.lifecycle.clone()
        }
        ("GET", "/lake") if query.contains("list-type=2") => {
            (200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>".to_owned())
        }
        ("PUT", "/lake/market/ticks/_ticklake/probe") => s3_error(412, "PreconditionFailed"),
        ("GET", "/lake/market/ticks/_ticklake/probe") => (200, "not to be overwritten".to_owned()),
        ("POST", "/") => match headers["x-amz-target"].to_str().unwrap() {
            "AWSGlue.GetTable" => aws_error("EntityNotFoundException"),
            "AmazonAthena.GetWorkGroup" => cloud.workgroup.clone(),
            other => panic!("{other} is not expected"),
        },
        other => panic!("{other:?} {query} is not expected"),
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "it is this machine's clock that the server's differs from"
    )]
    let now = Utc::now();
    let date = (now - cloud.clock_behind).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let about =
        [("date", &*date), ("last-modified", &*date), ("etag", "\"e\""), ("content-type", "application/xml")];
    (StatusCode::from_u16(status).unwrap(), about, body).into_response()
}

fn s3_error(status: u16, code: &str) -> Answer {
    (status, format!("<Error><Code>{code}</Code><Message>no</Message></Error>"))
}

fn aws_error(code: &str) -> Answer {
    (400, json!({"__type": code, "message": "no"}).to_string())
}

fn workgroup(state: &str, configuration: Value) -> Answer {
    (200, json!({"WorkGroup": {"Name": "desk", "State": state, "Configuration": configuration}}).to_string())
}

fn rules(rules: &str) -> Answer {
    (200, format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>"))
}

fn expiring(id: &str, prefix: &str) -> String {
    format!(
        "<Rule><ID>{id}</ID><Filter><Prefix>{prefix}</Prefix></Filter><Status>Enabled</Status>\
         <Expiration><Days>30</Days></Expiration></Rule>"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_where_all_is_well_is_told_so() {
    let limited = json!({
        "EnforceWorkGroupConfiguration": true,
        "ResultConfiguration": {"OutputLocation": "s3://lake/results/"},
        "BytesScannedCutoffPerQuery": 10_u64 << 30,
    });
    let elsewhere = rules(&expiring("results", "results/"));
    let cloud = Cloud::new(elsewhere, workgroup("ENABLED", limited), TimeDelta::seconds(20));
    let (said, code) = cloud.check(&["athena.workgroup = \"desk\""]).await;
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "good  store     s3://lake/market/ticks/ can be written, read and listed",
        "good  expiry    no rule of the bucket's lifecycle removes files of the table",
        "good  clock     ",
        "good  catalog   market.ticks is not there yet",
        "good  athena    workgroup desk is enabled, its results go to s3://lake/results/; a query that scans more than \
         10.00 GiB is ended",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let signed_by = cloud.signed_by.lock().unwrap();
    let [signed] = &signed_by[..] else { panic!("asked once: {signed_by:?}") };
    assert!(
        signed.contains("Credential=key/") && signed.contains("/eu-central-1/s3/aws4_request"),
        "{signed}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_may_not_want_of_a_cloud_is_worth_a_look() {
    let both = expiring("old", "market/") + &expiring("bad", "market/ticks_rejected/");
    let nowhere = workgroup("ENABLED", json!({}));
    let cloud = Cloud::new(rules(&both), nowhere, TimeDelta::seconds(330));
    let (said, code) = cloud.check(&[]).await;
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "look  expiry    files of the table are among what the bucket's lifecycle removes: rule 'old' removes objects under \
         'market/' 30 days after they were written; rule 'bad'",
        "the newest file of a chain must stay",
        "look  clock     this machine's clock is 5 minutes ahead of the store's",
        "look  athena    workgroup primary has no location for results",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    // None of that name.
    let cloud = Cloud::new(rules(""), aws_error("InvalidRequestException"), -TimeDelta::seconds(330));
    let (said, code) = cloud.check(&["athena.workgroup = \"dsek\""]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("look  athena    cannot look at the workgroup in Athena (workgroup: dsek)"),
        "{said}"
    );
    assert!(said.contains("look  clock     this machine's clock is 5 minutes behind the store's"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_aws_would_refuse_is_bad_and_a_right_that_is_missing_is_named() {
    let cloud = Cloud::new(
        s3_error(403, "AccessDenied"),
        aws_error("AccessDeniedException"),
        TimeDelta::seconds(1230),
    );
    let (said, code) = cloud.check(&[]).await;
    assert_eq!(code, Some(1), "{said}");
    for line in [
        "BAD   clock     this machine's clock is 20 minutes ahead of the store's",
        "allow them s3:GetLifecycleConfiguration",
        "good  athena    workgroup primary was not looked at: who asks Athena needs athena:GetWorkGroup",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
}
