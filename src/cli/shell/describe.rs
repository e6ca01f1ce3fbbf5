//! Turns what the catalog says into answers, so that they are printed as any other.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;

use crate::catalog::{Catalog, Partition};
use crate::error::{Error, Kind, Result};
use crate::query::Answer;
use crate::table::partition::HIVE_NULL;
use crate::table::{Ddl, TableName};

pub async fn tables(catalog: &dyn Catalog) -> Result<Vec<Answer>> {
    let names = catalog.tables(None).await?;
    let names = names.iter().map(|name| Some(name.to_string()));
    Ok(vec![answer(&[("table", texts(names))])])
}

/// The columns, those of the partitions last, then where the table is.
pub async fn table(name: &TableName, catalog: &dyn Catalog) -> Result<Vec<Answer>> {
    let ddl = find(name, catalog).await?;
    let columns: Vec<_> = ddl.columns.iter().map(|column| (column, None)).collect();
    let partitioned = ddl.partitioned_by.iter().map(|column| (column, Some("partition".to_owned())));
    let all: Vec<_> = columns.into_iter().chain(partitioned).collect();
    let columns = answer(&[
        ("column", texts(all.iter().map(|(column, _)| Some(column.name.clone())))),
        ("type", texts(all.iter().map(|(column, _)| Some(column.column_type.to_string())))),
        ("of", texts(all.iter().map(|(_, of)| of.clone()))),
        ("comment", texts(all.iter().map(|(column, _)| column.comment.clone()))),
    ]);
    let location = answer(&[("location", texts([ddl.location.clone()]))]);
    Ok(vec![columns, location])
}

/// How many there are, and the greatest value of the first partition column with how many it has.
pub async fn partitions(name: &TableName, catalog: &dyn Catalog) -> Result<Vec<Answer>> {
    let ddl = find(name, catalog).await?;
    let all = catalog.partitions(name, &[]).await?;
    let first = |partition: &Partition| partition.values.first().cloned().filter(|value| value != HIVE_NULL);
    let newest = all.iter().filter_map(first).max();
    let of_newest = all.iter().filter(|partition| newest.is_some() && first(partition) == newest).count();
    let column = ddl.partitioned_by.first().map(|column| column.name.as_str());
    let newest = column.zip(newest).map(|(column, value)| format!("{column}={value}"));
    Ok(vec![answer(&[
        ("partitions", numbers(all.len())),
        ("newest", texts([newest])),
        ("of newest", numbers(of_newest)),
    ])])
}

async fn find(name: &TableName, catalog: &dyn Catalog) -> Result<Ddl> {
    catalog.table(name).await?.ok_or_else(|| {
        Error::new(Kind::Catalog, "there is no such table: \\d lists those that are").with("table", name)
    })
}

fn texts(values: impl IntoIterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

fn numbers(count: usize) -> ArrayRef {
    Arc::new(UInt64Array::from(vec![count as u64]))
}

fn answer(columns: &[(&str, ArrayRef)]) -> Answer {
    let field =
        |(name, array): &(&str, ArrayRef)| Field::new(*name, DataType::clone(array.data_type()), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let arrays = columns.iter().map(|(_, array)| array.clone()).collect();
    Answer::of(RecordBatch::try_new(schema, arrays).expect("columns of one length and of their types"))
}
