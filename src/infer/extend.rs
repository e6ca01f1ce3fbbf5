//! A table's DDL beside samples of its feed: columns for fields that it does not take, and what it rejects.

use std::collections::HashSet;

use super::names::distinct;
use super::{Inferred, Wish, infer, property, tally};
use crate::error::Result;
use crate::table::columns::Column;
use crate::table::pointer::Pointer;
use crate::table::spec::{PartitionSource, Source, SpecColumn};
use crate::table::{Ddl, Spec};

/// The table's DDL with a column more for each field of the samples that it takes nothing of. What is there stays as it is;
/// the notes say what is new, and which columns reject samples, with the type that would hold them.
pub fn extend(messages: &[Vec<u8>], ddl: &Ddl, structs: bool) -> Result<Inferred> {
    let spec = Spec::from_ddl(ddl)?;
    let of_ddl = |key: &str| ddl.property(key).map(str::to_owned);
    let wish = Wish {
        name: ddl.name.clone(),
        structs,
        messages: of_ddl("ticklake.messages"),
        only: of_ddl("ticklake.only"),
        records: Some(spec.records.clone()),
        symbol: None,
        time: None,
    };
    let found = infer(messages, &wish)?.ddl;
    let found_columns = Spec::from_ddl(&found)?.columns;
    let mut extended = ddl.clone();
    let mut notes = Vec::new();
    let columns = ddl.columns.iter().chain(&ddl.partitioned_by);
    let mut taken: HashSet<String> = columns.map(|column| column.name.clone()).collect();
    for SpecColumn { column, source, .. } in &found_columns {
        let Some(path) = path(source).filter(|path| !takes(&spec, path)) else { continue };
        let name = distinct(column.name.clone(), &mut taken);
        notes.push(format!("new: `{name}` {}, from {path}", column.column_type));
        extended.properties.push(property(format!("ticklake.source.{name}"), path.to_string()));
        let format = found.property(&format!("ticklake.format.{}", column.name));
        extended.properties.extend(format.map(|format| property(format!("ticklake.format.{name}"), format)));
        extended.columns.push(Column { name, ..column.clone() });
    }
    if notes.is_empty() {
        notes.push("the table takes something of every field".to_owned());
    }
    for ((reason, column), count) in &tally(messages, ddl)?.rejected {
        let Some(name) = column else { continue };
        let ours = spec.columns.iter().find(|of| of.column.name == *name);
        let same = |found: &&SpecColumn| {
            ours.and_then(|of| path(&of.source)).is_some_and(|ours| leads(&found.source, &ours))
        };
        let fit = found_columns.iter().find(same);
        let fit =
            fit.map_or_else(String::new, |fit| format!(": {} would hold all of it", fit.column.column_type));
        notes.push(format!("{count} samples are rejected by `{name}`, {reason}{fit}"));
    }
    let tally = tally(messages, &extended)?;
    Ok(Inferred { ddl: extended, notes, tally })
}

/// Where in a record a column's value is; `None` if it is not in the record.
fn path(source: &Source) -> Option<Pointer> {
    match source {
        Source::Field(name) => Some(Pointer::field(name)),
        Source::Pointer(pointer) => Some(pointer.clone()),
        _ => None,
    }
}

/// Whether a source is this place, or one around it.
fn leads(source: &Source, place: &Pointer) -> bool {
    match source {
        Source::Field(name) => place.tokens().first().is_some_and(|field| field.eq_ignore_ascii_case(name)),
        Source::Pointer(pointer) => place.tokens().starts_with(pointer.tokens()),
        _ => false,
    }
}

fn takes(spec: &Spec, place: &Pointer) -> bool {
    let of_partitions = spec.partitions.iter().filter_map(|field| match &field.of {
        PartitionSource::Source(source, _) => Some(source),
        PartitionSource::Column(_) => None,
    });
    spec.columns.iter().map(|column| &column.source).chain(of_partitions).any(|source| leads(source, place))
}
