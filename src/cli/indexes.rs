//! Has the catalog make the indexes over partitions that a table's DDL asks for, one at a time, as Glue makes them in the
//! background.

use crate::catalog::{Catalog, Index, IndexState};
use crate::error::Result;
use crate::table::Ddl;

/// Begins to make the first index that is lacking, unless one is being made; what there is to say of it, a line each.
pub async fn make_next(ddl: &Ddl, catalog: &dyn Catalog) -> Result<String> {
    let indexes = catalog.indexes(ddl).await?;
    let led_by = |index: &Index| format!("the index of partitions by {}", index.columns[0]);
    let mut said = String::new();
    let mut is_busy = indexes.iter().any(|index| index.state == IndexState::Changing);
    for index in &indexes {
        let state = match &index.state {
            IndexState::Ready => continue,
            IndexState::Failed(why) => {
                format!(
                    "failed ({why}): delete it in Glue, and run this again. Queries are answered without it"
                )
            }
            IndexState::Changing => "is being made".to_owned(),
            IndexState::Missing if is_busy => {
                "comes after that one: run this again once that is there".to_owned()
            }
            IndexState::Missing => {
                catalog.create_index(&ddl.name, &index.columns).await?;
                is_busy = true;
                "is being made".to_owned()
            }
        };
        said.push_str(&format!("{} {state}\n", led_by(index)));
    }
    Ok(said)
}
