//! Decides which partitions a query needs.
//!
//! In two steps: [`conditions`] are what the catalog can answer by itself, so that it gives few partitions, maybe
//! too many; [`Values::keep`] evaluates the query's own filters on the values of those, exactly. So a filter on
//! partition columns alone needs no second look at the rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::catalog::{Condition, Op, Partition};
use crate::table::partition::HIVE_NULL;

/// Whether a filter can be evaluated on the values of a partition: it names partition columns only, and gives the
/// same answer each time. A subquery's answer is not known before the query runs.
pub(super) fn is_about_partitions(filter: &Expr, columns: &[FieldRef]) -> bool {
    let opaque = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
                | Expr::ScalarVariable(..)
        ))
    };
    let names = filter.column_refs();
    !names.is_empty()
        && names.iter().all(|name| columns.iter().any(|column| *column.name() == name.name))
        && !filter.is_volatile()
        && !filter.exists(opaque).unwrap_or(true)
}

/// What of the filters, all of which must hold, the catalog can evaluate: comparisons of a text column with a
/// literal. What is left out only makes its answer longer.
pub(super) fn conditions(filters: &[Expr], columns: &[FieldRef]) -> Vec<Condition> {
    filters.iter().flat_map(split_conjunction).flat_map(|filter| bounds(filter, columns)).collect()
}

fn bounds(filter: &Expr, columns: &[FieldRef]) -> Vec<Condition> {
    if let Some((column, mut values)) = alternatives(filter, columns) {
        values.sort_unstable();
        values.dedup();
        return match values.as_slice() {
            [] => Vec::new(),
            [value] => vec![condition(column, Op::Eq, value)],
            [low, .., high] => {
                vec![condition(column, Op::GtEq, low), condition(column, Op::LtEq, high)]
            }
        };
    }
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let compared = match (column_of(left, columns), column_of(right, columns)) {
                (Some(column), None) => text_of(right).zip(comparison(*op)).map(|(v, op)| (column, op, v)),
                (None, Some(column)) => {
                    text_of(left).zip(op.swap().and_then(comparison)).map(|(v, op)| (column, op, v))
                }
                _ => None,
            };
            compared.map(|(column, op, value)| condition(column, op, value)).into_iter().collect()
        }
        Expr::Between(between) if !between.negated => {
            let Some(column) = column_of(&between.expr, columns) else { return Vec::new() };
            let low = text_of(&between.low).map(|value| condition(column, Op::GtEq, value));
            let high = text_of(&between.high).map(|value| condition(column, Op::LtEq, value));
            low.into_iter().chain(high).collect()
        }
        _ => Vec::new(),
    }
}

/// The values that a filter lets a column have: `c = 'a'`, `c IN ('a', 'b')`, or several of these joined by OR.
fn alternatives<'a>(filter: &'a Expr, columns: &[FieldRef]) -> Option<(usize, Vec<&'a str>)> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (column, mut values) = alternatives(left, columns)?;
            let (other, more) = alternatives(right, columns)?;
            values.extend(more);
            (column == other).then_some((column, values))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let column = column_of(left, columns).or_else(|| column_of(right, columns))?;
            let value = text_of(right).or_else(|| text_of(left))?;
            Some((column, vec![value]))
        }
        Expr::InList(list) if !list.negated => {
            let column = column_of(&list.expr, columns)?;
            let values = list.list.iter().map(text_of).collect::<Option<_>>()?;
            Some((column, values))
        }
        _ => None,
    }
}

fn condition(column: usize, op: Op, value: &str) -> Condition {
    Condition { column, op, value: value.to_owned() }
}

fn comparison(op: Operator) -> Option<Op> {
    match op {
        Operator::Eq => Some(Op::Eq),
        Operator::NotEq => Some(Op::NotEq),
        Operator::Lt => Some(Op::Lt),
        Operator::LtEq => Some(Op::LtEq),
        Operator::Gt => Some(Op::Gt),
        Operator::GtEq => Some(Op::GtEq),
        _ => None,
    }
}

/// Numbers and dates do not compare as their texts do: such columns are left to `keep`.
fn column_of(expr: &Expr, columns: &[FieldRef]) -> Option<usize> {
    match expr {
        Expr::Column(column) => columns
            .iter()
            .position(|field| *field.name() == column.name && *field.data_type() == DataType::Utf8),
        _ => None,
    }
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// Partitions and the values of their columns, typed; `__HIVE_DEFAULT_PARTITION__` is null.
pub(super) struct Values {
    partitions: Vec<Partition>,
    batch: RecordBatch,
}

impl Values {
    /// A value that is not of its column's type is an error, as in Athena.
    pub(super) fn new(partitions: Vec<Partition>, columns: &[FieldRef]) -> Result<Self, DataFusionError> {
        let strict = CastOptions { safe: false, ..Default::default() };
        let arrays: Vec<ArrayRef> = columns
            .iter()
            .enumerate()
            .map(|(i, column)| {
                let texts = partitions.iter().map(|partition| partition.values.get(i));
                let texts: StringArray = texts.map(|text| text.filter(|text| *text != HIVE_NULL)).collect();
                cast_with_options(&texts, column.data_type(), &strict)
            })
            .collect::<Result<_, _>>()?;
        let schema: SchemaRef = Arc::new(Schema::new(columns.to_vec()));
        let rows = RecordBatchOptions::new().with_row_count(Some(partitions.len()));
        let batch = RecordBatch::try_new_with_options(schema, arrays, &rows)?;
        Ok(Self { partitions, batch })
    }

    /// The partitions on which all filters are true, in their order, with their typed values.
    pub(super) fn keep(
        self,
        filters: &[Expr],
        session: &dyn Session,
    ) -> Result<Vec<(Partition, Vec<ScalarValue>)>, DataFusionError> {
        let holds = match conjunction(filters.iter().cloned()) {
            Some(filter) => self.evaluate(filter, session)?,
            None => BooleanArray::from(vec![true; self.partitions.len()]),
        };
        let columns = self.batch.columns();
        self.partitions
            .into_iter()
            .enumerate()
            .filter(|(row, _)| holds.is_valid(*row) && holds.value(*row))
            .map(|(row, partition)| {
                let values = columns.iter().map(|column| ScalarValue::try_from_array(column, row));
                Ok((partition, values.collect::<Result<_, _>>()?))
            })
            .collect()
    }

    fn evaluate(&self, filter: Expr, session: &dyn Session) -> Result<BooleanArray, DataFusionError> {
        let schema = DFSchema::try_from(self.batch.schema())?;
        let filter = session.create_physical_expr(filter, &schema)?;
        let holds = filter.evaluate(&self.batch)?.into_array(self.batch.num_rows())?;
        Ok(as_boolean_array(&holds)?.clone())
    }
}
