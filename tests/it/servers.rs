//! The real servers that `tests/real` starts for the suites of this binary: one that speaks S3, and one that speaks Glue.
//!
//! `tests/real/test_suites.py` runs those suites and sees to it that each of their tests ran; alone, they do nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ticklake::aws::{Aws, AwsOptions};
use ticklake::catalog::{GlueCatalog, GlueOptions};
use ticklake::store::{Durability, S3Options, Stores};

/// One for each test of the catalogs' suite.
const REGIONS: [&str; 13] = [
    "us-east-1", // the S3 server's own
    "ap-northeast-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ap-south-1",
    "ca-central-1",
    "sa-east-1",
];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Where they are. Credentials come from the environment, as for the program.
pub struct Servers {
    s3: String,
    bucket: String,
    glue: String,
}

impl Servers {
    /// `None` where none run.
    pub fn there() -> Option<Self> {
        let variable = |name: &str| std::env::var(format!("TICKLAKE_IT_{name}")).ok();
        Some(Self { s3: variable("S3")?, bucket: variable("BUCKET")?, glue: variable("GLUE")? })
    }

    fn aws(region: &str) -> Aws {
        Aws::new(AwsOptions { region: Some(region.to_owned()), ..AwsOptions::default() })
    }

    pub fn stores(&self) -> Stores {
        let options = S3Options {
            endpoint: Some(self.s3.clone()),
            timeout: Duration::from_secs(30),
            ..S3Options::default()
        };
        Stores::new(Durability::NoFsync).with_s3(options, Self::aws(REGIONS[0]))
    }

    pub fn location(&self, folder: &str) -> String {
        format!("s3://{}/{folder}/", self.bucket)
    }

    /// An empty one: each region has its own.
    pub async fn catalog(&self) -> GlueCatalog {
        let region = REGIONS[NEXT.fetch_add(1, Ordering::Relaxed)];
        let options = GlueOptions { endpoint: Some(self.glue.clone()), catalog_id: None };
        GlueCatalog::open(&options, &Self::aws(region)).await.unwrap()
    }
}
