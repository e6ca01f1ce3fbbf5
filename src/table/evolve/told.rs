//! Tells a change of a table in lines, as its user would.

use std::collections::HashSet;

use crate::table::columns::Column;
use crate::table::ddl::{Ddl, quoted};
use crate::table::spec::Spec;

/// [`Evolution::lines`](super::Evolution::lines).
pub(super) fn lines(was: &Ddl, to: &Ddl, spec: &Spec, kept: &[Ddl]) -> Vec<String> {
    let mut lines = columns(was, to, kept);
    lines.extend(comment("", was.comment.as_deref(), to.comment.as_deref()));
    lines.extend(properties(was, to));
    let is_renamed = [(was, to), (to, was)].iter().all(|(from, to)| missing(from, to).next().is_some());
    if is_renamed {
        lines.push(
            "! a column is not renamed: the one is dropped and the other added, which is null in the files that are there"
                .to_owned(),
        );
    }
    lines.extend(fate(was, spec, kept));
    lines
}

fn columns(was: &Ddl, to: &Ddl, kept: &[Ddl]) -> Vec<String> {
    let mut lines = Vec::new();
    for Column { name, column_type, .. } in missing(to, was) {
        lines.push(format!("- `{name}` {column_type} (its values stay in the files, unseen)"));
    }
    for Column { name, column_type, comment } in missing(was, to) {
        let old_files = match kept.iter().any(|ddl| find(ddl, name).is_some()) {
            true => "older files have values of it",
            false => "null in the files that are there",
        };
        let comment = comment.as_ref().map_or_else(String::new, |text| format!(" COMMENT {}", quoted(text)));
        lines.push(format!("+ `{name}` {column_type}{comment} ({old_files})"));
    }
    let both = to.columns.iter().filter_map(|column| Some((find(was, &column.name)?, column)));
    let partitioned = was.partitioned_by.iter().zip(&to.partitioned_by);
    for (from, to) in both.chain(partitioned) {
        if from.column_type != to.column_type {
            lines.push(format!("~ `{}` {} → {}", to.name, from.column_type, to.column_type));
        }
        let of = format!("`{}` ", to.name);
        lines.extend(comment(&of, from.comment.as_deref(), to.comment.as_deref()));
    }
    if common(was, to) != common(to, was) {
        lines.push("~ the order of the columns".to_owned());
    }
    lines
}

/// Columns of `to` that `of` has not.
fn missing<'a>(of: &'a Ddl, to: &'a Ddl) -> impl Iterator<Item = &'a Column> {
    to.columns.iter().filter(|column| find(of, &column.name).is_none())
}

fn find<'a>(ddl: &'a Ddl, name: &str) -> Option<&'a Column> {
    ddl.columns.iter().find(|column| column.name == name)
}

/// Names of the columns that both have, in the order of the first.
fn common<'a>(one: &'a Ddl, two: &'a Ddl) -> Vec<&'a str> {
    let theirs: HashSet<&str> = two.columns.iter().map(|column| column.name.as_str()).collect();
    let names = one.columns.iter().map(|column| column.name.as_str());
    names.filter(|name| theirs.contains(name)).collect()
}

fn comment(of: &str, from: Option<&str>, to: Option<&str>) -> Option<String> {
    let print = |text: Option<&str>| text.map_or_else(|| "none".to_owned(), quoted);
    (from != to).then(|| format!("~ {of}comment {} → {}", print(from), print(to)))
}

fn properties(was: &Ddl, to: &Ddl) -> Vec<String> {
    let mut lines = Vec::new();
    for property in was.properties.iter().filter(|p| to.property(&p.key).is_none()) {
        lines.push(format!("- {} = {}", quoted(&property.key), quoted(&property.value)));
    }
    for property in &to.properties {
        let (key, value) = (quoted(&property.key), quoted(&property.value));
        match was.property(&property.key) {
            None => lines.push(format!("+ {key} = {value}")),
            Some(from) if from != property.value => {
                lines.push(format!("~ {key} = {} → {value}", quoted(from)))
            }
            Some(_) => {}
        }
    }
    lines
}

/// What the change means for jobs, by the rules of `ingest`'s specs; nothing where every record keeps its fate.
fn fate(was: &Ddl, spec: &Spec, kept: &[Ddl]) -> Option<String> {
    // A table that another program made has no spec.
    let before = Spec::from_ddl(was).ok()?;
    if before.hash() == spec.hash() {
        return None;
    }
    let wrote = kept.iter().filter_map(|ddl| Spec::from_ddl(ddl).ok());
    let is_taken_over = [before].into_iter().chain(wrote).all(|theirs| spec.changes_only_columns_of(&theirs));
    let line = match is_taken_over {
        true => {
            "! a job that runs goes on under its own DDL: stop it, so that it writes what it has read, and start it with this one"
        }
        false => {
            "! records may get another fate than under a DDL before: a job that runs goes on under its own, and one under this \
             DDL goes on after it with --take-over, once the old one has been stopped for five minutes"
        }
    };
    Some(line.to_owned())
}
