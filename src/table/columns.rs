//! Defines the types of a table's columns: Hive's names for them, and the Arrow types that carry them.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// A column as the DDL declares it. The name is lower-case, as Glue keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub column_type: ColumnType,
    pub comment: Option<String>,
}

/// A type of Athena's DDL. `Display` prints it as Hive writes it: `array<struct<a:int>>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    /// `precision` 1 to 38, `scale` 0 to `precision`.
    Decimal {
        precision: u8,
        scale: u8,
    },
    String,
    Binary,
    Date,
    /// An instant; milliseconds, as Athena has nothing finer (FACTS 3.1).
    Timestamp,
    Array(Box<ColumnType>),
    Map(Box<ColumnType>, Box<ColumnType>),
    Struct(Vec<StructField>),
}

/// A field of a struct. The name is lower-case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructField {
    pub name: String,
    pub field_type: ColumnType,
}

impl ColumnType {
    /// Whether values of this type in files read as the same values under another one: under the same, and under a wider
    /// whole or floating number (FACTS 2.15). Nothing else does, also not what some engine takes: a struct with a field
    /// more is read by the fields that its partition was registered with (Trino 476: the new one is null there), and a
    /// decimal that is wider is cast to the narrow one.
    pub fn reads_as(&self, wider: &Self) -> bool {
        const WHOLE: [ColumnType; 4] =
            [ColumnType::TinyInt, ColumnType::SmallInt, ColumnType::Int, ColumnType::BigInt];
        let rank = |of: &Self| WHOLE.iter().position(|whole| whole == of);
        match (self, wider) {
            (Self::Float, Self::Double) => true,
            _ => self == wider || matches!((rank(self), rank(wider)), (Some(from), Some(to)) if from <= to),
        }
    }

    /// The Arrow type whose Parquet form Athena, Trino and Spark read under this type.
    pub fn arrow(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
            Self::String => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            // A time zone makes it an instant: isAdjustedToUTC = true.
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Array(element) => {
                // The three-level names of the Parquet specification.
                DataType::List(Arc::new(Field::new("element", element.arrow(), true)))
            }
            Self::Map(key, value) => {
                let entries = Fields::from(vec![
                    Field::new("key", key.arrow(), false),
                    Field::new("value", value.arrow(), true),
                ]);
                let entries = Field::new("key_value", DataType::Struct(entries), false);
                DataType::Map(Arc::new(entries), false)
            }
            Self::Struct(fields) => DataType::Struct(
                fields.iter().map(|f| Field::new(&f.name, f.field_type.arrow(), true)).collect(),
            ),
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::TinyInt => f.write_str("tinyint"),
            Self::SmallInt => f.write_str("smallint"),
            Self::Int => f.write_str("int"),
            Self::BigInt => f.write_str("bigint"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::String => f.write_str("string"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Array(element) => write!(f, "array<{element}>"),
            Self::Map(key, value) => write!(f, "map<{key},{value}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{}", field.name, field.field_type)?;
                }
                f.write_str(">")
            }
        }
    }
}

/// The schema of a table's files: every column nullable, in the DDL's order. Partition columns are never in it.
pub fn file_schema(columns: &[Column]) -> SchemaRef {
    let fields: Vec<Field> =
        columns.iter().map(|c| Field::new(&c.name, c.column_type.arrow(), true)).collect();
    Arc::new(Schema::new(fields))
}
