//! Adds up what a plan would read, scan by scan, without running it.
//!
//! It asks what the scan itself asks: the catalog for partitions, the stores for their files. The bytes are those of the
//! columns needed, where the files are few enough to look at each footer; else the files are taken whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::{Expr, LogicalPlan};
use futures::{StreamExt, TryStreamExt};
use parquet::file::metadata::ParquetMetaData;

use super::scan::{LakeTable, footer};
use crate::query::{Estimate, Extent, Reads};

/// The footers of more files are not read: on S3 each is a request, and an estimate is to be cheap beside its query.
const FOOTERS_MAX: usize = 256;

/// Footers read at the same time.
const FOOTERS: usize = 32;

/// One scan of a plan.
struct Scan {
    table: Arc<dyn TableProvider>,
    filters: Vec<Expr>,
    /// Indices of columns; all without them.
    projection: Option<Vec<usize>>,
    limit: Option<usize>,
}

pub(super) async fn estimate(
    session: &SessionState,
    plan: &LogicalPlan,
) -> Result<Estimate, DataFusionError> {
    let mut estimate = Estimate::default();
    for scan in scans(&session.optimize(plan)?)? {
        estimate.scans.extend(reads(&scan, session).await?);
    }
    Ok(estimate)
}

fn scans(plan: &LogicalPlan) -> Result<Vec<Scan>, DataFusionError> {
    let mut scans = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            scans.push(Scan {
                table: source_as_provider(&scan.source)?,
                // As the physical plan hands them over.
                filters: unnormalize_cols(scan.filters.clone()),
                projection: scan.projection.clone(),
                limit: scan.fetch,
            });
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(scans)
}

/// None of a table that is none of ours: a list of tables, a series of numbers.
async fn reads(scan: &Scan, session: &SessionState) -> Result<Option<Reads>, DataFusionError> {
    let Some(table) = scan.table.downcast_ref::<LakeTable>() else { return Ok(None) };
    let partitions = table.partitions(&scan.filters, session).await?;
    let count = partitions.len();
    let files = table.files(partitions, scan.limit).await?;
    let schema = table.schema();
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let needed: BTreeSet<&str> =
        scan.projection.as_ref().unwrap_or(&all).iter().map(|i| schema.field(*i).name().as_str()).collect();
    let (bytes, extent) = if files.len() > FOOTERS_MAX {
        (files.iter().map(|(_, file)| file.object_meta.size).sum(), Extent::Files)
    } else {
        let footers = files.iter().map(|(folder, file)| footer(folder, file));
        let footers: Vec<_> = futures::stream::iter(footers).buffered(FOOTERS).try_collect().await?;
        (footers.iter().map(|footer| column_bytes(footer, &needed)).sum(), Extent::Columns)
    };
    Ok(Some(Reads { table: table.name().clone(), partitions: count, files: files.len(), bytes, extent }))
}

/// A nested column is all of its parts.
fn column_bytes(footer: &ParquetMetaData, needed: &BTreeSet<&str>) -> u64 {
    let chunks = footer.row_groups().iter().flat_map(|group| group.columns());
    let needed = chunks.filter(|chunk| {
        chunk.column_path().parts().first().is_some_and(|name| needed.contains(name.as_str()))
    });
    needed.map(|chunk| u64::try_from(chunk.compressed_size()).unwrap_or(0)).sum()
}
