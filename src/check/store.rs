//! Looks at the store as a job uses it, at the rules of its bucket, and at the clock that its requests are signed by.

use chrono::TimeDelta;

use super::Finding;
use crate::error::{Result, chain};
use crate::ingest::{Job, rejected_location};
use crate::store::{Expiry, Folder, Told};

/// A clock that is set by the network is nearer than this.
const CLOCK_OFF_MAX: TimeDelta = TimeDelta::minutes(1);
/// From there on AWS refuses what is signed (RequestTimeTooSkewed on its page of S3's errors).
const CLOCK_REFUSED: TimeDelta = TimeDelta::minutes(15);

/// On a local disk there is no bucket and no other clock.
pub(super) async fn look(job: &Job) -> Vec<Finding> {
    let Some(location) = job.location.as_ref().or(job.ddl.location.as_ref()) else {
        let fix = "give --location DIR|s3://…, set ingest.location, or add LOCATION to the DDL";
        return vec![Finding::bad("store", "the table has no location", fix)];
    };
    let folder = match job.stores.open(location).await {
        Ok(folder) => folder,
        Err(e) => return vec![Finding::failed("store", &e)],
    };
    let used = use_once(&folder).await;
    let told = folder.ask_bucket().await;
    let mut findings = vec![match &used {
        Ok(used) => judge(&folder, used),
        Err(e) => Finding::failed("store", e),
    }];
    let Some(Told { expiries, clock_ahead }) = told else { return findings };
    // What keeps a job from the bucket keeps this from its rules, and is said already.
    if used.is_ok() {
        let rejected = job.stores.open(&rejected_location(&folder)).await;
        let folders: Vec<Folder> = [Ok(folder), rejected].into_iter().flatten().collect();
        findings.push(judge_expiries(&folders, &expiries));
    }
    findings.extend(clock_ahead.map(judge_clock));
    findings
}

/// What a job does with a store, done once.
struct Used {
    keeps_creates: bool,
    reads: bool,
    folders: usize,
}

async fn use_once(folder: &Folder) -> Result<Used> {
    let notes = folder.folder("_ticklake")?;
    Ok(Used {
        keeps_creates: notes.keeps_creates("probe").await?,
        reads: notes.read("probe").await?.is_some(),
        folders: folder.look().await?.folders.len(),
    })
}

fn judge(folder: &Folder, used: &Used) -> Finding {
    let at = folder.location();
    match used {
        Used { keeps_creates: false, .. } => Finding::bad(
            "store",
            format!("{at} overwrites objects that were to be created only"),
            "use a store that knows If-None-Match: AWS S3, or a newer version of this one",
        ),
        Used { reads: false, .. } => Finding::bad(
            "store",
            format!("{at}: what was written there is not there"),
            "look at the rules of its lifecycle, and at who else removes objects",
        ),
        Used { folders, .. } => Finding::good(
            "store",
            format!("{at} can be written, read and listed, and keeps what is there ({folders} folders)"),
        ),
    }
}

/// `folders`: of the table and of its rejected records, whose files are chains too.
fn judge_expiries(folders: &[Folder], expiries: &Result<Vec<Expiry>>) -> Finding {
    let rules = match expiries {
        Ok(rules) => rules,
        Err(e) => {
            let fix = "look whether a rule of the bucket's lifecycle removes files of the table: none may";
            return Finding::doubtful("expiry", chain(e), fix);
        }
    };
    let is_of_table = |rule: &&Expiry| folders.iter().any(|folder| folder.is_expired_by(rule));
    let touching: Vec<String> = rules.iter().filter(is_of_table).map(Expiry::to_string).collect();
    match touching.is_empty() {
        true => Finding::good("expiry", "no rule of the bucket's lifecycle removes files of the table"),
        false => Finding::doubtful(
            "expiry",
            format!(
                "files of the table are among what the bucket's lifecycle removes: {}",
                touching.join("; ")
            ),
            "the newest file of a chain must stay, as a job goes on from it: disable the rule, or give it a prefix with no \
             table below",
        ),
    }
}

fn judge_clock(ahead: TimeDelta) -> Finding {
    let off = ahead.abs();
    let side = if ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
    let said = || format!("this machine's clock is {} {side} the store's", length(off));
    let fix = "have it set by the network (NTP: chrony, systemd-timesyncd)";
    match off {
        off if off > CLOCK_REFUSED => {
            Finding::bad("clock", format!("{}: AWS refuses what is signed by it", said()), fix)
        }
        off if off > CLOCK_OFF_MAX => Finding::doubtful(
            "clock",
            format!("{}: AWS refuses what is signed by it from 15 minutes on", said()),
            fix,
        ),
        _ => Finding::good("clock", "this machine's clock and the store's are less than a minute apart"),
    }
}

fn length(time: TimeDelta) -> String {
    match (time.num_hours(), time.num_minutes(), time.num_seconds()) {
        (0, 0..=1, seconds) => format!("{seconds} s"),
        (0..=1, minutes, _) => format!("{minutes} minutes"),
        (hours, ..) => format!("{hours} hours"),
    }
}
