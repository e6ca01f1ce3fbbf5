//! Looks at the workgroup that Athena would run queries in.
//!
//! Nothing of it is bad for a job, which never asks Athena: what keeps queries from running is worth a look.

use indicatif::HumanBytes;

use super::Finding;
use crate::error::chain;
use crate::query::{AthenaEngine, Results, Workgroup};

const WHAT: &str = "athena";

pub(super) async fn look(athena: &AthenaEngine) -> Finding {
    match athena.workgroup().await {
        Ok(Some(group)) => judge(&group),
        Ok(None) => Finding::good(
            WHAT,
            format!(
                "workgroup {} was not looked at: who asks Athena needs athena:GetWorkGroup, a job does not",
                athena.options().workgroup
            ),
        ),
        Err(e) => Finding::doubtful(
            WHAT,
            chain(&e),
            "queries by Athena would fail, a job would not: set athena.workgroup to one that is there",
        ),
    }
}

fn judge(Workgroup { name, is_enabled, results, scan_bytes_max }: &Workgroup) -> Finding {
    if !is_enabled {
        let fix = "enable it, or name another: set athena.workgroup";
        return Finding::doubtful(WHAT, format!("workgroup {name} is disabled: no query runs in it"), fix);
    }
    let at = match results {
        Results::Managed => "Athena keeps its results".to_owned(),
        Results::Own(at) => format!("its results go to {at}"),
        Results::Set(at) => format!("results go to {at}, as athena.output says"),
        Results::Enforced { own, set } => {
            return Finding::doubtful(
                WHAT,
                format!("workgroup {name} enforces {own} for results: {set} is not used"),
                "take athena.output out, or name another workgroup",
            );
        }
        Results::Nowhere => {
            return Finding::doubtful(
                WHAT,
                format!("workgroup {name} has no location for results: no query runs in it"),
                "give it one; or set athena.output, where it does not enforce its own settings",
            );
        }
    };
    let limit = scan_bytes_max.map_or(String::new(), |bytes| {
        format!("; a query that scans more than {} is ended", HumanBytes(bytes))
    });
    Finding::good(WHAT, format!("workgroup {name} is enabled, {at}{limit}"))
}
