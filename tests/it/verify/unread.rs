//! Files that the store lists and does not give: each is a problem, and the rest of the table is checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::path::Path;
use object_store::{Error, Result};
use ticklake::verify::{self, Check, Kind, Report};

use super::lake::{AAPL, Copy, said, stores};
use crate::tapped::{Tap, Tapped};

/// How the store does not give one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// As S3 answers of an archived object: 403, InvalidObjectState.
    Archived,
    /// As if a lifecycle rule had removed it since the list.
    Gone,
    /// The store is away from then on.
    Away,
}

#[derive(Debug)]
struct Refuses {
    file: String,
    how: How,
    is_away: AtomicBool,
}

impl Tap for Refuses {
    fn refused(&self, at: &Path) -> Result<()> {
        let (path, source) = (at.to_string(), "told so by the test".into());
        let is_it = at.as_ref().ends_with(&self.file);
        match self.how {
            _ if self.is_away.load(Ordering::Relaxed) => Err(Error::Generic { store: "away", source }),
            _ if !is_it => Ok(()),
            How::Archived => Err(Error::PermissionDenied { path, source }),
            How::Gone => Err(Error::NotFound { path, source }),
            How::Away => {
                self.is_away.store(true, Ordering::Relaxed);
                Err(Error::Generic { store: "away", source })
            }
        }
    }
}

/// A check of a copy whose store does not give a file.
async fn check(copy: &Copy, file: &str, how: How) -> Check {
    let tap = Refuses { file: file.to_owned(), how, is_away: AtomicBool::new(false) };
    Check { stores: stores("shy", Arc::new(Tapped::new(tap))), ..copy.check_records().await }
}

async fn report(copy: &Copy, file: &str, how: How) -> Report {
    verify::verify(&check(copy, file, how).await).await.unwrap()
}

/// Its rows are in no file that was read, and are not called missing: they may well be in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_given_is_one_problem() {
    let copy = Copy::new().await.in_store("shy").await;
    let whole = copy.files().len() as u64;
    for (start, _) in copy.links(AAPL) {
        let path = copy.link(AAPL, start);
        for (how, kind) in [(How::Archived, "unreadable-file"), (How::Gone, "gap")] {
            let report = report(&copy, &path, how).await;
            assert_eq!(said(&report), [(kind, "market.ticks", path["ticks/".len()..].to_owned())], "{how:?}");
            assert_eq!(report.checked.links, whole - 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_is_not_given_is_one_problem() {
    let copy = Copy::new().await.in_store("shy").await;
    let report = report(&copy, "_ticklake/topics/k-ticks.json", How::Archived).await;
    assert_eq!(said(&report), [("broken-note", "market.ticks", "_ticklake/topics/k-ticks.json".to_owned())]);
    assert!(report.problems[0].detail.contains("cannot read an object"), "{}", report.problems[0].detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_an_error() {
    let copy = Copy::new().await.in_store("shy").await;
    for file in [&copy.link(AAPL, 0), "_ticklake/id"] {
        let e = verify::verify(&check(&copy, file, How::Away).await).await.unwrap_err();
        assert_eq!(e.kind(), ticklake::error::Kind::Store, "{e}");
    }
}

/// What cannot be read may be no link: it is said, and not registered.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_of_which_nothing_is_given_is_not_registered() {
    let symbol = "BRK/B";
    let copy = Copy::new()
        .await
        .registering(|_, partition| (partition.values.last().unwrap() != symbol).then_some(partition))
        .await
        .in_store("shy")
        .await;
    let tap = Shut("symbol=BRK%2FB/".to_owned());
    let check = Check { stores: stores("shy", Arc::new(Tapped::new(tap))), ..copy.check() };
    let repaired = verify::repair(&check).await.unwrap();
    assert_eq!(repaired.registered, []);
    assert!(!repaired.problems.is_empty());
    assert!(repaired.problems.iter().all(|p| p.kind == Kind::UnreadableFile), "{:?}", repaired.problems);
}

/// Gives no file of a folder.
#[derive(Debug)]
struct Shut(String);

impl Tap for Shut {
    fn refused(&self, at: &Path) -> Result<()> {
        match at.as_ref().contains(&self.0) {
            true => {
                Err(Error::PermissionDenied { path: at.to_string(), source: "told so by the test".into() })
            }
            false => Ok(()),
        }
    }
}
