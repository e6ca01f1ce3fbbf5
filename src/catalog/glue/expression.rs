//! Turns conditions on partition columns into an expression that Glue filters partitions by.
//!
//! Glue reads it with a parser of SQL (JSqlParser): what that may not take, or may compare otherwise, is left out, which
//! only makes the answer longer.

use crate::catalog::Condition;
use crate::table::{Column, ColumnType};

/// GetPartitions takes no longer one (FACTS 2.2).
const BYTES_MAX: usize = 2048;

/// Words that the parser keeps for itself: no column's name. (`date` and `symbol` are none.)
const RESERVED: [&str; 61] = [
    "all",
    "and",
    "any",
    "as",
    "asc",
    "begin",
    "between",
    "by",
    "case",
    "create",
    "delete",
    "desc",
    "distinct",
    "do",
    "drop",
    "else",
    "end",
    "escape",
    "exists",
    "from",
    "full",
    "group",
    "having",
    "in",
    "index",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "join",
    "key",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "open",
    "or",
    "order",
    "outer",
    "primary",
    "replace",
    "right",
    "select",
    "set",
    "some",
    "table",
    "then",
    "top",
    "truncate",
    "union",
    "update",
    "using",
    "values",
    "when",
    "where",
    "with",
];

/// `None` where no condition is left.
pub(super) fn of(conditions: &[Condition], columns: &[Column]) -> Option<String> {
    let mut expression = String::new();
    for term in conditions.iter().filter_map(|condition| term(condition, columns)) {
        let and = if expression.is_empty() { "" } else { " AND " };
        if expression.len() + and.len() + term.len() <= BYTES_MAX {
            expression.push_str(and);
            expression.push_str(&term);
        }
    }
    (!expression.is_empty()).then_some(expression)
}

fn term(condition: &Condition, columns: &[Column]) -> Option<String> {
    let column = columns.get(condition.column)?;
    let op = condition.op.sql();
    // A quote breaks it (RIG), and beyond ASCII the order of texts is not that of their bytes.
    let is_plain = |c: char| (' '..='~').contains(&c) && !matches!(c, '\'' | '"' | '\\' | '%');
    let plain = !condition.value.is_empty() && condition.value.chars().all(is_plain);
    let named = !RESERVED.contains(&column.name.as_str());
    (plain && named && column.column_type == ColumnType::String)
        .then(|| format!("{} {op} '{}'", column.name, condition.value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sqlparser::ast::{BinaryOperator, Expr, Value};
    use sqlparser::dialect::GenericDialect;
    use sqlparser::parser::Parser;

    use super::*;
    use crate::catalog::Op;

    fn condition(column: usize, op: Op, value: &str) -> Condition {
        Condition { column, op, value: value.to_owned() }
    }

    const OPS: [Op; 6] = [Op::Eq, Op::NotEq, Op::Lt, Op::LtEq, Op::Gt, Op::GtEq];

    /// The terms of an expression as a parser of SQL reads it: column, operator, text.
    fn terms(expression: &Expr) -> Vec<(String, String, String)> {
        match expression {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => [terms(left), terms(right)].concat(),
            Expr::BinaryOp { left, op, right } => match (&**left, &**right) {
                (Expr::Identifier(name), Expr::Value(value)) => match &value.value {
                    Value::SingleQuotedString(text) => {
                        vec![(name.value.clone(), op.to_string(), text.clone())]
                    }
                    other => panic!("{other} is no text"),
                },
                other => panic!("{other:?} is no comparison"),
            },
            other => panic!("{other} is no condition"),
        }
    }

    proptest! {
        /// Whatever is asked for, the expression asks for that and nothing else: no value breaks out of its quotes.
        #[test]
        fn an_expression_says_some_of_the_conditions(
            asked in prop::collection::vec(
                (0..6usize, prop::sample::select(OPS.to_vec()), prop_oneof![any::<String>(), "[ -~]{0,9}", "[' =\\\\\"%A-Z-]{0,9}"]),
                0..60,
            ),
        ) {
            let columns = ["date", "symbol", "order", "and", "n"].map(|name| Column {
                name: name.into(),
                column_type: if name == "n" { ColumnType::Int } else { ColumnType::String },
                comment: None,
            });
            let asked: Vec<_> = asked.iter().map(|(column, op, value)| condition(*column, *op, value)).collect();
            if let Some(expression) = of(&asked, &columns) {
                prop_assert!(expression.len() <= BYTES_MAX);
                let read = Parser::new(&GenericDialect).try_with_sql(&expression).and_then(|mut p| p.parse_expr());
                let mut asked = asked.iter().filter(|c| c.column < columns.len()).map(|c| {
                    (columns[c.column].name.clone(), c.op.sql().to_owned(), c.value.clone())
                });
                for term in terms(&read.map_err(|e| TestCaseError::fail(format!("{e}: {expression}")))?) {
                    prop_assert!(asked.any(|asked| asked == term), "{:?} was not asked for: {}", term, expression);
                }
            }
        }
    }

    #[test]
    fn what_glue_may_not_take_is_left_out() {
        let columns = ["date", "symbol", "order"].map(|name| Column {
            name: name.into(),
            column_type: ColumnType::String,
            comment: None,
        });
        let conditions = [
            condition(0, Op::GtEq, "2026-11-22"),
            condition(0, Op::Lt, "2026-11-23"),
            condition(1, Op::Eq, "BRK/B"),
            condition(1, Op::NotEq, "a'b"),
            condition(1, Op::Eq, "é"),
            condition(2, Op::Eq, "x"),
        ];
        let want = "date >= '2026-11-22' AND date < '2026-11-23' AND symbol = 'BRK/B'";
        assert_eq!(of(&conditions, &columns).as_deref(), Some(want));
        assert_eq!(of(&conditions[3..], &columns), None);

        let many: Vec<Condition> = (0..200).map(|i| condition(1, Op::NotEq, &format!("SYM{i}"))).collect();
        let long = of(&many, &columns).unwrap();
        assert!(long.len() <= BYTES_MAX && long.ends_with('\''), "{long}");
    }
}
