//! Looks at the workgroup that queries run in: what of it would keep them from running, and what it does with them.

use aws_sdk_athena::error::ProvideErrorMetadata;
use aws_sdk_athena::types::{WorkGroup, WorkGroupState};

use super::{AthenaEngine, AthenaOptions, failed};
use crate::error::{Error, Kind, Result};

/// AWS's code where a right is missing.
const FORBIDDEN: &str = "AccessDeniedException";

/// A workgroup, as far as it concerns queries of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workgroup {
    pub name: String,
    pub is_enabled: bool,
    pub results: Results,
    /// Athena ends a query that scans more.
    pub scan_bytes_max: Option<u64>,
}

/// Where the rows of a query go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Results {
    /// Athena keeps them itself.
    Managed,
    /// The workgroup's own location.
    Own(String),
    /// The location that is set here.
    Set(String),
    /// The workgroup's own location, which is enforced: the other one, which is set here, is not used.
    Enforced { own: String, set: String },
    /// Nowhere: no query runs.
    Nowhere,
}

impl AthenaEngine {
    /// The workgroup that is set; `None` where these credentials may not look at it. That there is none is an error.
    pub async fn workgroup(&self) -> Result<Option<Workgroup>> {
        let name = &self.options.workgroup;
        match self.client.get_work_group().work_group(name).send().await {
            Ok(answer) => match answer.work_group {
                Some(group) => Ok(Some(seen(group, &self.options))),
                None => {
                    Err(Error::new(Kind::Query, "Athena tells of no such workgroup").with("workgroup", name))
                }
            },
            Err(e) if e.code() == Some(FORBIDDEN) => Ok(None),
            Err(e) => Err(failed("look at the workgroup", e).with("workgroup", name)),
        }
    }

    pub fn options(&self) -> &AthenaOptions {
        &self.options
    }
}

fn seen(group: WorkGroup, options: &AthenaOptions) -> Workgroup {
    let configuration = group.configuration.as_ref();
    let is_managed = configuration
        .and_then(|configuration| configuration.managed_query_results_configuration.as_ref())
        .is_some_and(|managed| managed.enabled);
    // What a query asks for itself is then ignored (FACTS 3.11).
    let is_enforced =
        configuration.and_then(|configuration| configuration.enforce_work_group_configuration) == Some(true);
    let own = configuration
        .and_then(|configuration| configuration.result_configuration.as_ref())
        .and_then(|results| results.output_location.clone())
        .filter(|location| !location.is_empty());
    let scan_bytes_max = configuration.and_then(|configuration| configuration.bytes_scanned_cutoff_per_query);
    Workgroup {
        name: options.workgroup.clone(),
        is_enabled: group.state != Some(WorkGroupState::Disabled),
        results: match (is_managed, own, options.output.clone()) {
            (true, ..) => Results::Managed,
            (_, Some(own), Some(set)) if is_enforced && own != set => Results::Enforced { own, set },
            (_, Some(own), _) if is_enforced => Results::Own(own),
            (_, _, Some(set)) if !is_enforced => Results::Set(set),
            (_, Some(own), _) => Results::Own(own),
            (_, None, _) => Results::Nowhere,
        },
        scan_bytes_max: scan_bytes_max.and_then(|bytes| u64::try_from(bytes).ok()),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_athena::types::{
        ManagedQueryResultsConfiguration, ResultConfiguration, WorkGroupConfiguration,
    };

    use super::*;

    fn results(own: Option<&str>, set: Option<&str>, is_enforced: Option<bool>, is_managed: bool) -> Results {
        let own = own.map(|at| ResultConfiguration::builder().output_location(at).build());
        let managed = ManagedQueryResultsConfiguration::builder().enabled(is_managed).build();
        let configuration = WorkGroupConfiguration::builder()
            .set_result_configuration(own)
            .set_enforce_work_group_configuration(is_enforced)
            .managed_query_results_configuration(managed)
            .build();
        let group = WorkGroup::builder().name("desk").configuration(configuration).build().unwrap();
        let options = AthenaOptions { output: set.map(str::to_owned), ..AthenaOptions::default() };
        seen(group, &options).results
    }

    #[test]
    fn results_go_where_the_workgroup_lets_them() {
        let own = Results::Own("s3://own/".into());
        assert_eq!(results(Some("s3://own/"), None, Some(true), false), own);
        assert_eq!(results(Some("s3://own/"), None, Some(false), false), own);
        assert_eq!(results(Some("s3://own/"), Some("s3://own/"), Some(true), false), own);
        let enforced = Results::Enforced { own: "s3://own/".into(), set: "s3://set/".into() };
        assert_eq!(results(Some("s3://own/"), Some("s3://set/"), Some(true), false), enforced);
        let set = Results::Set("s3://set/".into());
        assert_eq!(results(Some("s3://own/"), Some("s3://set/"), Some(false), false), set);
        assert_eq!(results(None, Some("s3://set/"), None, false), set);
        assert_eq!(results(Some(""), None, None, false), Results::Nowhere);
        assert_eq!(results(None, Some("s3://set/"), Some(true), false), Results::Nowhere);
        assert_eq!(results(None, None, Some(true), true), Results::Managed);
    }
}
