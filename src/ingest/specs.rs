//! Owns which specs a job's rows may follow in a chain (DESIGN §3.8).
//!
//! A spec decides the fate of records. Where a chain was written under another one, records that are read again could get other
//! rows; so that is refused. A new spec goes on where the old one ended whole: as it comes where it only changes columns (it adds,
//! drops or widens some), else when the user says that the old writers are gone, since what those have sent may still arrive.
//! Of a spec that first wrote after this job has started, ours has to be a later one: it may only add columns to it, so that of
//! two jobs under two DDLs the older one ends. The DDL of every spec that ever wrote to a table is in
//! `_ticklake/spec/<hash>.sql` under its location.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::chain::Footer;
use crate::error::{Error, Kind, Result};
use crate::kafka::TopicPartition;
use crate::store::Folder;
use crate::table::{Ddl, Spec};

/// Where the DDLs are kept, in a table's folder.
const KEPT: &str = "_ticklake/spec";

/// The job's spec, and those it may follow.
#[derive(Debug)]
pub(super) struct Specs {
    folder: Folder,
    ddl: String,
    ours: Spec,
    hash: String,
    /// The user says that the writers of other specs are gone.
    takes_over: bool,
    /// Hashes found to be compatible. Few, and seldom added to.
    known: Mutex<HashSet<String>>,
    recorded: AtomicBool,
}

impl Specs {
    pub fn new(table: &Folder, ddl: &Ddl, spec: &Spec, takes_over: bool) -> Result<Self> {
        let folder = table.folder(KEPT)?;
        let hash = spec.hash();
        let known = Mutex::new(HashSet::from([hash.clone()]));
        Ok(Self {
            folder,
            ddl: ddl.to_string(),
            ours: spec.clone(),
            hash,
            takes_over,
            known,
            recorded: AtomicBool::new(false),
        })
    }

    /// Keeps the job's DDL, before anything is written under it and after it was found to be allowed.
    pub async fn record(&self) -> Result<()> {
        if !self.recorded.load(Ordering::Relaxed) {
            self.folder.note(&file_name(&self.hash), self.ddl.clone().into()).await?;
            self.recorded.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The other specs that ever wrote to the table, by their hashes.
    pub async fn others(&self) -> Result<Vec<String>> {
        let hashes = kept_hashes(&self.folder).await?;
        Ok(hashes.into_iter().filter(|hash| *hash != self.hash).collect())
    }

    /// Whether rows of the job's spec may follow those of one that wrote to the table before the job has started, where that
    /// one has ended whole.
    pub async fn take_over(&self, hash: &str) -> Result<()> {
        if self.takes_over {
            return Ok(());
        }
        let rule = "columns added, dropped or widened";
        self.compare(hash, rule, |theirs| self.ours.changes_only_columns_of(theirs)).await
    }

    /// Refuses to go on where records that were written under another spec would be read again.
    pub fn cut_off(&self, hash: &str) -> Error {
        Error::new(
            Kind::Protocol,
            "the last run under another DDL was cut off, and its records could get another fate when they are read \
             again. Run once more under that DDL, with --until-end, and then under the new one",
        )
        .with("that DDL", format!("{}{}", self.folder.location(), file_name(hash)))
    }

    /// Refuses to read a source's records again that were written under another spec.
    pub fn refuse_again(&self, source: &TopicPartition) -> Error {
        Error::new(
            Kind::Protocol,
            "a part of the topic was written under another DDL, and the group has no offset that says how much: its \
             records could get another fate when they are read again. Use the group that wrote them, or say from \
             where on with --from OFFSET|TIME|latest, or write to a new --location",
        )
        .with("source", source)
        .with("those DDLs", self.folder.location())
    }

    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The same while the job runs, as others may have written meanwhile: one that it took over, or has only added columns to.
    pub async fn follow(&self, hash: &str) -> Result<()> {
        if self.takes_over { Ok(()) } else { self.must_follow(hash).await }
    }

    /// Whether rows of the job's spec may follow a link in its chain, where the source is read from an offset on.
    pub async fn follow_link(&self, link: &Footer, source_start: i64) -> Result<()> {
        match link.rows_end() <= source_start {
            true => Ok(()), // none of its records is read again
            false => self.must_follow(&link.spec).await,
        }
    }

    async fn must_follow(&self, hash: &str) -> Result<()> {
        self.compare(hash, "added columns", |theirs| self.ours.adds_only_columns_to(theirs)).await
    }

    /// Remembers a spec that `may_follow` allows; the words say what may differ.
    async fn compare(&self, hash: &str, words: &str, may_follow: impl Fn(&Spec) -> bool) -> Result<()> {
        if self.known.lock().is_ok_and(|known| known.contains(hash)) {
            return Ok(());
        }
        let refused = |why: &str| {
            Error::new(
                Kind::Protocol,
                format!(
                    "the table was written under another DDL, and {why}: records could get another fate when they are \
                     read again. Stop all that writes under that DDL, wait five minutes for what it has sent, and start \
                     once with --take-over, which goes on where it ended; or write to a new table"
                ),
            )
            .with("that DDL", format!("{}{}", self.folder.location(), file_name(hash)))
        };
        let Some(text) = self.folder.read(&file_name(hash)).await? else {
            return Err(refused("it is not there any more"));
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let theirs = Ddl::parse(&text)
            .and_then(|ddl| Spec::from_ddl(&ddl))
            .map_err(|e| refused("it cannot be read").because(e))?;
        if !may_follow(&theirs) {
            return Err(refused(&format!("today's differs in more than {words}")));
        }
        if let Ok(mut known) = self.known.lock() {
            known.insert(hash.to_owned());
        }
        Ok(())
    }
}

/// The DDL that was kept under a spec's hash; `None` where none is, or where the hash is none.
pub(crate) async fn kept(table: &Folder, hash: &str) -> Result<Option<String>> {
    if hash.is_empty() || !hash.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(None);
    }
    let text = table.folder(KEPT)?.read(&file_name(hash)).await?;
    Ok(text.map(|text| String::from_utf8_lossy(&text).into_owned()))
}

/// The DDLs of all specs that ever wrote to a table, in no order. Its columns are in its files.
pub(crate) async fn all_kept(table: &Folder) -> Result<Vec<Ddl>> {
    let folder = table.folder(KEPT)?;
    let mut all = Vec::new();
    for hash in kept_hashes(&folder).await? {
        let Some(text) = folder.read(&file_name(&hash)).await? else { continue };
        let ddl = Ddl::parse(&String::from_utf8_lossy(&text)).map_err(|e| {
            Error::new(
                Kind::Protocol,
                "a DDL that is kept of the table cannot be read, so nobody knows which columns its files have: put the \
                 text back that a job wrote there",
            )
            .with("that DDL", format!("{}{}", folder.location(), file_name(&hash)))
            .because(e)
        })?;
        all.push(ddl);
    }
    Ok(all)
}

async fn kept_hashes(folder: &Folder) -> Result<Vec<String>> {
    let entries = folder.list().await?;
    Ok(entries.iter().filter_map(|entry| Some(entry.name.strip_suffix(".sql")?.to_owned())).collect())
}

fn file_name(hash: &str) -> String {
    format!("{hash}.sql")
}
