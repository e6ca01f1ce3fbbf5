//! Turns a DDL into the table that Athena would make of it in Glue, and a table in Glue, whoever made it, into a DDL.

use std::collections::HashMap;

use aws_sdk_glue::error::BuildError;
use aws_sdk_glue::types::{
    BatchUpdatePartitionRequestEntry, Column as GlueColumn, PartitionInput, SerDeInfo, StorageDescriptor,
    Table, TableInput,
};

use crate::catalog::{Partition, is_view};
use crate::error::{Error, Kind, Result};
use crate::table::ddl::{self, Property};
use crate::table::{Column, Ddl, TableName};

/// What a table always has among its parameters, as Athena and awswrangler write it (FACTS 2.8).
const ALWAYS: [(&str, &str); 2] = [("EXTERNAL", "TRUE"), ("classification", "parquet")];
/// What engines note for themselves; it changes with each of their changes.
const NOTED: [&str; 1] = ["transient_lastDdlTime"];

/// A table as CreateTable takes it.
pub(super) fn input(ddl: &Ddl) -> Result<TableInput> {
    let refuse = |what: &str| Err(Error::usage(what).with("table", &ddl.name));
    let Some(location) = &ddl.location else {
        return refuse(
            "a table in Glue has a place on S3: give --location s3://BUCKET/FOLDER/, or LOCATION in the DDL",
        );
    };
    if !location.starts_with("s3://") {
        return Err(not_on_s3(&ddl.name, location));
    }
    let mut parameters: HashMap<String, String> =
        ddl.properties.iter().map(|p| (p.key.clone(), p.value.clone())).collect();
    for (key, value) in ALWAYS {
        parameters.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let serde = SerDeInfo::builder()
        .serialization_library(ddl::PARQUET_SERDE)
        .parameters("serialization.format", "1")
        .build();
    let storage = StorageDescriptor::builder()
        .set_columns(Some(ddl.columns.iter().map(glue_column).collect::<Result<_>>()?))
        .location(location)
        .input_format(ddl::PARQUET_INPUT)
        .output_format(ddl::PARQUET_OUTPUT)
        .number_of_buckets(-1)
        .serde_info(serde)
        .build();
    let built = TableInput::builder()
        .name(ddl.name.table())
        .set_description(ddl.comment.clone())
        .table_type("EXTERNAL_TABLE")
        .set_parameters(Some(parameters))
        // Also where there are none: Athena fails on a table without the list.
        .set_partition_keys(Some(ddl.partitioned_by.iter().map(glue_column).collect::<Result<_>>()?))
        .storage_descriptor(storage)
        .build();
    built.map_err(|e| Error::usage("no table for Glue").with("table", &ddl.name).because(e))
}

/// A found table as UpdateTable takes it, which replaces all of it: what the DDL says is changed from `there`, which is the
/// found table's own, and all else stays as it is.
pub(super) fn altered(found: Table, there: &Ddl, to: &Ddl) -> Result<TableInput> {
    let mut parameters = found.parameters.unwrap_or_default();
    for gone in there.properties.iter().filter(|p| to.property(&p.key).is_none()) {
        parameters.remove(&gone.key);
    }
    parameters.extend(to.properties.iter().map(|p| (p.key.clone(), p.value.clone())));
    let mut description = found.description;
    if there.comment != to.comment {
        parameters.remove("comment"); // where Hive keeps it
        description = to.comment.clone();
    }
    let mut storage = found.storage_descriptor.unwrap_or_else(|| StorageDescriptor::builder().build());
    storage.columns = Some(altered_columns(storage.columns, &there.columns, &to.columns)?);
    let keys = altered_columns(found.partition_keys, &there.partitioned_by, &to.partitioned_by)?;
    let built = TableInput::builder()
        .name(found.name)
        .set_description(description)
        .set_owner(found.owner)
        .set_last_access_time(found.last_access_time)
        .set_last_analyzed_time(found.last_analyzed_time)
        .retention(found.retention)
        .storage_descriptor(storage)
        .set_partition_keys(Some(keys))
        .set_view_original_text(found.view_original_text)
        .set_view_expanded_text(found.view_expanded_text)
        .set_table_type(found.table_type)
        .set_parameters(Some(parameters))
        .set_target_table(found.target_table)
        .build();
    built.map_err(|e| Error::usage("no table for Glue").with("table", &to.name).because(e))
}

/// The columns of `to`. One whose type is as it was keeps the catalog's own text of it (`varchar(8)`), and each its
/// parameters.
fn altered_columns(
    found: Option<Vec<GlueColumn>>,
    there: &[Column],
    to: &[Column],
) -> Result<Vec<GlueColumn>> {
    // `there` was made of `found`, column by column.
    let found: HashMap<&str, (GlueColumn, &Column)> = found
        .unwrap_or_default()
        .into_iter()
        .zip(there)
        .map(|(found, there)| (there.name.as_str(), (found, there)))
        .collect();
    let altered = |column: &Column| {
        let mut new = glue_column(column)?;
        if let Some((found, there)) = found.get(column.name.as_str()) {
            new.parameters = found.parameters.clone();
            if there.column_type == column.column_type {
                new.r#type = found.r#type.clone();
            }
        }
        Ok(new)
    };
    to.iter().map(altered).collect()
}

pub(super) fn not_on_s3(table: &TableName, location: &str) -> Error {
    Error::usage("a table in Glue is on S3: give --location s3://BUCKET/FOLDER/")
        .with("table", table)
        .with("location", location)
}

fn glue_column(column: &Column) -> Result<GlueColumn> {
    let built = GlueColumn::builder()
        .name(&column.name)
        .r#type(column.column_type.to_string())
        .set_comment(column.comment.clone())
        .build();
    built.map_err(|e| Error::usage("no column for Glue").with("column", &column.name).because(e))
}

/// Refuses what the catalog keeps beside tables of Parquet files.
pub(super) fn must_be_files(name: &TableName, table: &Table) -> Result<()> {
    let refuse = |what: String| Err(Error::new(Kind::Catalog, what).with("table", name));
    if table.table_type() == Some("VIRTUAL_VIEW") {
        return Err(is_view(name));
    }
    let format = ["table_type", "spark.sql.sources.provider"]
        .iter()
        .find_map(|key| table.parameters.as_ref().and_then(|parameters| parameters.get(*key)));
    match format {
        Some(format) if !format.eq_ignore_ascii_case("parquet") => refuse(format!(
            "it is a table of {format}, not of Parquet files alone: ask Athena (--engine athena)"
        )),
        _ => Ok(()),
    }
}

/// The DDL of a table of Parquet files; properties are in the order of their keys, as Glue keeps none.
pub(super) fn ddl(name: &TableName, table: Table) -> Result<Ddl> {
    let refuse = |what: String| Err(Error::new(Kind::Catalog, what).with("table", name));
    must_be_files(name, &table)?;
    let mut parameters = table.parameters.unwrap_or_default();
    let Some(storage) = table.storage_descriptor else {
        return refuse("the catalog's table has no storage: it is none of files".to_owned());
    };
    check_serde(name, storage.serde_info.as_ref())?;
    for (key, value) in ALWAYS {
        if parameters.get(key).is_some_and(|found| found.eq_ignore_ascii_case(value)) {
            parameters.remove(key);
        }
    }
    for key in NOTED {
        parameters.remove(key);
    }
    // Hive keeps a table's comment among the parameters, Glue beside them.
    let comment = table.description.or(parameters.remove("comment")).filter(|text| !text.is_empty());
    let mut properties: Vec<Property> =
        parameters.into_iter().map(|(key, value)| Property { key, value, line: 0 }).collect();
    properties.sort_by(|a, b| a.key.cmp(&b.key));
    let columns = |columns: Option<Vec<GlueColumn>>| {
        columns.unwrap_or_default().into_iter().map(|c| column(name, c)).collect::<Result<Vec<_>>>()
    };
    Ok(Ddl {
        name: name.clone(),
        columns: columns(storage.columns)?,
        comment,
        partitioned_by: columns(table.partition_keys)?,
        location: storage.location.map(|location| on_s3(name, location)).transpose()?,
        properties,
    })
}

fn check_serde(name: &TableName, serde: Option<&SerDeInfo>) -> Result<()> {
    let library = serde.and_then(|serde| serde.serialization_library()).unwrap_or("no SerDe");
    if library != ddl::PARQUET_SERDE {
        return Err(Error::new(
            Kind::Catalog,
            "the table's files are not Parquet: ask Athena (--engine athena)",
        )
        .with("table", name)
        .with("SerDe", library));
    }
    let by_place = serde.and_then(|serde| serde.parameters()?.get("parquet.column.index.access"));
    if by_place.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(Error::new(
            Kind::Catalog,
            "the table's columns are read by their place (parquet.column.index.access), which differs between files of \
             several versions of a table: take that parameter off its SerDe",
        )
        .with("table", name));
    }
    Ok(())
}

fn column(table: &TableName, column: GlueColumn) -> Result<Column> {
    let text = column.r#type.unwrap_or_default();
    // Texts of a length, as Trino and Spark declare them, are texts in the file.
    let is_text = text.starts_with("varchar(") || text.starts_with("char(");
    let column_type = ddl::read_type(if is_text { "string" } else { &text }).map_err(|e| {
        Error::new(Kind::Catalog, "the catalog's table has a column of a type that is not known here")
            .with("table", table)
            .with("column", &column.name)
            .with("type", &text)
            .because(e)
    })?;
    Ok(Column {
        name: column.name.to_lowercase(),
        column_type,
        comment: column.comment.filter(|text| !text.is_empty()),
    })
}

pub(super) fn partition(table: &TableName, partition: aws_sdk_glue::types::Partition) -> Result<Partition> {
    let values = partition.values.unwrap_or_default();
    let location = partition.storage_descriptor.and_then(|storage| storage.location).ok_or_else(|| {
        Error::new(Kind::Catalog, "a partition in the catalog has no location: drop it there")
            .with("table", table)
            .with("partition", format_args!("{values:?}"))
    })?;
    Ok(Partition { location: on_s3(table, location)?, values })
}

/// A partition in the form of its table.
pub(super) fn partition_input(partition: &Partition, table: &Table) -> PartitionInput {
    let mut storage =
        table.storage_descriptor.clone().unwrap_or_else(|| StorageDescriptor::builder().build());
    storage.location = Some(partition.location.clone());
    PartitionInput::builder().set_values(Some(partition.values.clone())).storage_descriptor(storage).build()
}

/// A partition with the columns of its table, as it is changed; `None` where none of its own has another type.
pub(super) fn renewed(
    partition: aws_sdk_glue::types::Partition,
    table: &Table,
) -> Option<std::result::Result<BatchUpdatePartitionRequestEntry, BuildError>> {
    let columns = table.storage_descriptor()?.columns();
    let mut storage = partition.storage_descriptor?;
    // One that the partition has not, or the table has no more, is read as null or not at all.
    let is_other = |theirs: &GlueColumn| {
        columns.iter().any(|ours| ours.name == theirs.name && ours.r#type != theirs.r#type)
    };
    if !storage.columns().iter().any(is_other) {
        return None;
    }
    storage.columns = Some(columns.to_vec());
    let input = PartitionInput::builder()
        .set_values(partition.values.clone())
        .storage_descriptor(storage)
        .set_parameters(partition.parameters)
        .set_last_access_time(partition.last_access_time)
        .set_last_analyzed_time(partition.last_analyzed_time)
        .build();
    let entry = BatchUpdatePartitionRequestEntry::builder()
        .set_partition_value_list(partition.values)
        .partition_input(input)
        .build();
    Some(entry)
}

/// A location with a slash at its end, which others leave out. Who may write the catalog must not choose files of this
/// machine's.
fn on_s3(table: &TableName, location: String) -> Result<String> {
    match location {
        location if !location.starts_with("s3://") => {
            Err(Error::new(Kind::Catalog, "the catalog's table, or a partition of it, is not on S3")
                .with("table", table)
                .with("location", location))
        }
        location if location.ends_with('/') => Ok(location),
        location => Ok(format!("{location}/")),
    }
}
