//! DDL as text in, a table or a message with its line out.

use proptest::prelude::*;
use ticklake::table::columns::{Column, ColumnType, StructField};
use ticklake::table::ddl::{Ddl, Property, read_type};
use ticklake::table::name::TableName;

/// What `SHOW CREATE TABLE` prints in Athena.
const ATHENA: &str = "\
CREATE EXTERNAL TABLE `market.ticks`(
  `ts` timestamp COMMENT 'event time, UTC', 
  `price` decimal(18,4), 
  `levels` array<struct<px:decimal(18,4),qty:bigint>> COMMENT '', 
  `exchange` string)
COMMENT 'every trade; it\\'s all here'
PARTITIONED BY ( 
  `date` string, 
  `symbol` string COMMENT 'as the feed has it')
ROW FORMAT SERDE 
  'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe' 
WITH SERDEPROPERTIES ( 
  'serialization.format'='1') 
STORED AS INPUTFORMAT 
  'org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat' 
OUTPUTFORMAT 
  'org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat'
LOCATION
  's3://bucket/market/ticks'
TBLPROPERTIES (
  'classification'='parquet', 
  'parquet.compression'='ZSTD', 
  'ticklake.only'='/T = \"t\"', 
  'transient_lastDdlTime'='1763800000')
";

const SHORT: &str = "\
CREATE EXTERNAL TABLE `market`.`ticks` (
  `ts` timestamp COMMENT 'event time, UTC',
  `price` decimal(18,4),
  `levels` array<struct<`px`:decimal(18,4),`qty`:bigint>> COMMENT '',
  `exchange` string
)
COMMENT 'every trade; it\\'s all here'
PARTITIONED BY (
  `date` string,
  `symbol` string COMMENT 'as the feed has it'
)
STORED AS PARQUET
LOCATION 's3://bucket/market/ticks/'
TBLPROPERTIES (
  'classification' = 'parquet',
  'parquet.compression' = 'ZSTD',
  'ticklake.only' = '/T = \"t\"',
  'transient_lastDdlTime' = '1763800000'
)";

fn parse(text: &str) -> Ddl {
    Ddl::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The statement of a table with one column and one partition column, and with `rest` after its columns.
fn with_columns(columns: &str) -> String {
    format!("CREATE EXTERNAL TABLE db.t (\n{columns}\n)\nPARTITIONED BY (`date` string)\nSTORED AS PARQUET")
}

fn column_type(text: &str) -> ColumnType {
    parse(&with_columns(&format!("c {text}"))).columns.remove(0).column_type
}

#[test]
fn what_athena_prints_is_read_and_printed_in_the_short_form() {
    let ddl = parse(ATHENA);
    assert_eq!(ddl.to_string(), SHORT);
    assert_eq!(parse(SHORT), ddl);
    assert_eq!(ddl.name.to_string(), "market.ticks");
    assert_eq!(ddl.property("ticklake.only"), Some("/T = \"t\""));
    assert_eq!(ddl.properties[2].line, 23, "the line of a property, for messages about it");
    assert_eq!(ddl.comment.as_deref(), Some("every trade; it's all here"));
}

#[test]
fn a_statement_is_read_however_a_person_writes_it() {
    let ddl = parse(
        "\u{feff}-- the ticks\r\ncreate external table IF NOT EXISTS Market._Ticks (TS timestamp, /* in USD */ Price double)\r\n\
         TBLPROPERTIES (\"a\" = \"it's\", 'b' = 'it''s')\r\n\
         location 'lake/ticks' stored as parquet partitioned by (symbol string);\r\n-- the end",
    );
    assert_eq!(
        ddl.to_string(),
        "CREATE EXTERNAL TABLE `market`.`_ticks` (\n  `ts` timestamp,\n  `price` double\n)\n\
         PARTITIONED BY (\n  `symbol` string\n)\nSTORED AS PARQUET\nLOCATION 'lake/ticks/'\n\
         TBLPROPERTIES (\n  'a' = 'it\\'s',\n  'b' = 'it\\'s'\n)"
    );
}

#[test]
fn a_name_is_one_identifier_or_two() {
    for name in ["`market.5m_bars`", "`market`.`5m_bars`", "market.5m_bars", "MARKET . `5M_bars`"] {
        let ddl = parse(&format!("CREATE EXTERNAL TABLE {name} (c int) STORED AS PARQUET"));
        assert_eq!(ddl.name.to_string(), "market.5m_bars", "{name}");
    }
}

#[test]
fn every_type_is_read() {
    let same = [
        "boolean",
        "tinyint",
        "smallint",
        "int",
        "bigint",
        "float",
        "double",
        "decimal(38,38)",
        "string",
        "binary",
        "date",
        "timestamp",
        "array<array<array<int>>>",
        "map<string,map<string,array<double>>>",
        "struct<a:int,b_2:struct<c:array<decimal(9,0)>>>",
    ];
    for text in same {
        assert_eq!(column_type(text).to_string(), text);
    }
    let other = [
        ("INTEGER", "int"),
        ("decimal", "decimal(10,0)"),
        ("Decimal ( 12 )", "decimal(12,0)"),
        (
            "ARRAY < STRUCT < `Date` : STRING , `Map` : MAP < STRING , INT > > >",
            "array<struct<date:string,map:map<string,int>>>",
        ),
    ];
    for (text, printed) in other {
        assert_eq!(column_type(text).to_string(), printed);
    }
}

#[test]
fn hives_escapes_are_read() {
    let ddl = parse(&with_columns(r"c int COMMENT 'a\'b''c\\d\n\t\u20ac\uD83D\uDE00\073\%\_\;\q'"));
    assert_eq!(ddl.columns[0].comment.as_deref(), Some("a'b'c\\d\n\t€😀;\\%\\_;q"));
    assert_eq!(parse(&ddl.to_string()), ddl);
}

/// Athena's reserved words for DDL and Hive's own, non-reserved ones included (AUG reserved-words.md; Hive's manual).
const WORDS: &str = "add admin after all alter analyze and archive array as asc autocommit before between bigint binary \
    boolean both bucket buckets by cache cascade case cast change char cluster clustered clusterstatus collection \
    column columns comment commit compact compactions compute concatenate conf constraint continue create cross cube \
    current current_date current_timestamp cursor data database databases date datetime day days dayofweek dbproperties decimal \
    deferred defined delete delimited dependency desc describe directories directory disable distinct distribute double \
    drop elem_type else enable end escaped except exchange exclusive exists explain export extended external extract false \
    fetch fields file fileformat first float floor following for foreign format formatted from full function functions \
    global grant group grouping having hold_ddltime hour idxproperties if ignore import in index indexes inner inpath \
    inputdriver inputformat insert int integer intersect interval into is isolation items jar join key keys key_type last \
    lateral left less level like limit lines load local location lock locks logical long macro map mapjoin materialized \
    merge metadata minus minute month more msck no_drop none norely noscan not nulls null numeric of offline offset on only \
    operator option or order out outer outputdriver outputformat over overwrite owner partialscan partition \
    partitioned partitions percent plus preceding precision preserve pretty primary principals procedure protection purge \
    range read readonly reads rebuild recordreader recordwriter reduce references regexp reload rename repair replace \
    replication restrict revoke rewrite right rlike role roles rollback rollup row rows schema schemas second select semi \
    serde serdeproperties server set sets shared show show_database skewed smallint snapshot sort sorted ssl start \
    statistics stored streamtable string struct sync table tables tablesample tblproperties temporary terminated then time \
    timestamp to touch trailing transaction transactions transform trigger true truncate unarchive unbounded undo union \
    uniontype uniquejoin unlock unset unsigned update uri use user using utc utc_tmestamp values varchar view views when \
    where while window with write year";

#[test]
fn every_reserved_word_is_a_column_a_field_and_a_partition() {
    for word in WORDS.split_whitespace() {
        for written in [format!("`{word}`"), word.to_owned(), word.to_uppercase()] {
            let text = format!(
                "CREATE EXTERNAL TABLE `{word}`.`{word}` ({written} struct<{written}:int> COMMENT 'c') \
                 PARTITIONED BY ({written}_p string) STORED AS PARQUET"
            )
            .replace("`_p", "_p`");
            let ddl = parse(&text);
            assert_eq!((&*ddl.columns[0].name, &*ddl.partitioned_by[0].name), (word, &*format!("{word}_p")));
            assert_eq!(parse(&ddl.to_string()), ddl);
        }
    }
}

#[test]
fn a_refusal_says_the_line_and_the_fix() {
    let parquet = "STORED AS PARQUET";
    let deep = format!("c {}int{}", "array<".repeat(40), ">".repeat(40));
    let cases: Vec<(String, &str)> = vec![
        ("".into(), "line 1, column 1: found the end of the text, expected CREATE EXTERNAL TABLE"),
        (
            "CREATE TABLE db.t (c int)".into(),
            "line 1, column 8: found 'TABLE', expected EXTERNAL: write CREATE EXTERNAL TABLE",
        ),
        (
            format!("CREATE EXTERNAL TABLE ticks (c int) {parquet}"),
            "line 1, column 23: 'ticks' names no database: write DATABASE.TABLE",
        ),
        (
            format!("CREATE EXTERNAL TABLE `my-db`.t (c int) {parquet}"),
            "'my-db' is no name of a database: use 1 to 255",
        ),
        (
            "CREATE EXTERNAL TABLE db.t LIKE db.u".into(),
            "column 28: found 'LIKE', expected '(' and the columns",
        ),
        (
            with_columns(""),
            "line 3, column 1: found ')', expected a column's name; names stand in back-ticks",
        ),
        (
            with_columns("c int,\n`Adj Close` double"),
            "line 3, column 1: 'adj close' is no name of a column: use 1 to 255 letters, digits and underscores, and say where it comes from, as in 'ticklake.source.adj_close' = '/Adj Close'",
        ),
        (
            with_columns("'c' int"),
            "line 2, column 1: found ''c'', expected a column's name; names stand in back-ticks",
        ),
        (with_columns("c"), "line 3, column 1: found ')', expected the type of `c`"),
        (with_columns("c int not null"), "line 2, column 7: found 'not', expected ',' or ')' after a column"),
        (with_columns("c varchar(10)"), "line 2, column 3: 'varchar' is no type here: use string"),
        (with_columns("c char(3)"), "'char' is no type here: use string"),
        (with_columns("c datetime"), "'datetime' is no type here: use timestamp"),
        (with_columns("c blob"), "'blob' is no type here: use boolean, tinyint,"),
        (with_columns("c `int`"), "column 3: found '`int`', expected a type, without back-ticks"),
        (with_columns("c decimal(39,2)"), "decimal(39,2) cannot be: use a precision of 1 to 38"),
        (with_columns("c decimal(4,5)"), "decimal(4,5) cannot be"),
        (
            with_columns("c decimal(1000)"),
            "column 11: found '1000', expected the precision of a decimal, 1 to 38",
        ),
        (with_columns("c array<>"), "column 8: found '<>', expected '<' after array"),
        (
            with_columns("c array<int"),
            "line 3, column 1: found ')', expected '>' after the type of an array's elements",
        ),
        (
            with_columns("c map<array<int>,int>"),
            "column 7: a map's key cannot be array<int>: use a plain type",
        ),
        (
            with_columns("c struct<a int>"),
            "column 12: found 'int', expected ':' between the name and the type",
        ),
        (with_columns("c struct<a:int,A:int>"), "column 16: the struct has two fields `a`"),
        (
            with_columns("c struct<a:int COMMENT 'x'>"),
            "expected ',' or '>' after a struct's field (no COMMENT within a type)",
        ),
        (with_columns(&deep), "types are nested deeper than 32: flatten them"),
        (with_columns("c int,\nC string"), "line 3, column 1: the table has two columns `c`: remove one"),
        (with_columns("date string"), "line 4, column 17: `date` is a column already"),
        (with_columns("c int COMMENT x"), "column 15: found 'x', expected a comment, in single quotes"),
        (
            with_columns("c int COMMENT 'x"),
            "line 2, column 15: unterminated string literal: close the text with the quote it begins with",
        ),
        (
            with_columns("`c int"),
            "line 4, column 22: expected close delimiter '`' before EOF: close the name with a back-tick",
        ),
        (with_columns("c int /* x"), "close the comment with */"),
        (with_columns(r"c int COMMENT '\ud83d'"), "line 2, column 15: a \\u escape gives half a character"),
        (
            format!("CREATE EXTERNAL TABLE db.t (c int)\nPARTITIONED BY (`date` date) {parquet}"),
            "line 2, column 17: the partition column `date` is date: write `date` string",
        ),
        (
            format!("CREATE EXTERNAL TABLE db.t (c int)\nPARTITIONED BY (day(ts)) {parquet}"),
            "line 2, column 20: found '(', expected the type of `day`; a transform stands in TBLPROPERTIES",
        ),
        (
            format!("CREATE EXTERNAL TABLE db.t (c int)\nPARTITIONED BY (_d string) {parquet}"),
            "line 2, column 17: Athena does not look into a folder `_d=…`",
        ),
        (
            "CREATE EXTERNAL TABLE db.t (c int)".into(),
            "the statement has no STORED AS: ticklake writes Parquet: write STORED AS PARQUET",
        ),
        (
            "CREATE EXTERNAL TABLE db.t (c int)\nSTORED AS ORC".into(),
            "line 2, column 11: found 'ORC', expected PARQUET; ticklake writes Parquet",
        ),
        (
            "CREATE EXTERNAL TABLE db.t (c int)\nROW FORMAT DELIMITED FIELDS TERMINATED BY ','".into(),
            "line 2, column 12: found 'DELIMITED', expected SERDE",
        ),
        (
            "CREATE EXTERNAL TABLE db.t (c int)\nROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
                .into(),
            "line 2, column 12: the table is read by org.openx.data.jsonserde.JsonSerDe: ticklake writes Parquet",
        ),
        (
            "CREATE EXTERNAL TABLE db.t (c int)\nSTORED AS INPUTFORMAT 'a'\nOUTPUTFORMAT 'b'".into(),
            "line 2, column 23: the table is stored as a and b",
        ),
        (
            ATHENA.replace("serialization.format'='1", "parquet.column.index.access'='true"),
            "line 13, column 1: parquet.column.index.access reads columns by their place",
        ),
        (
            format!("CREATE EXTERNAL TABLE db.t (c int) {parquet}\n{parquet}"),
            "line 2, column 1: STORED AS stands there twice",
        ),
        (
            format!("CREATE EXTERNAL TABLE db.t (c int) CLUSTERED BY (c) INTO 4 BUCKETS {parquet}"),
            "leave out CLUSTERED BY",
        ),
        (
            format!("CREATE EXTERNAL TABLE db.t (c int) {parquet}\nAS SELECT 1"),
            "line 2, column 1: found 'AS', expected COMMENT, PARTITIONED BY",
        ),
        (
            format!("CREATE EXTERNAL TABLE db.t (c int) {parquet}; SELECT"),
            "found 'SELECT', expected the end: give one statement",
        ),
        (
            format!("CREATE EXTERNAL TABLE db.t (c int) {parquet}\nTBLPROPERTIES ('a' = 1)"),
            "line 2, column 22: found '1', expected the value of 'a' in quotes",
        ),
        (
            format!(
                "CREATE EXTERNAL TABLE db.t (c int) {parquet}\nTBLPROPERTIES ('a' = '1',\n'b' = '2',\n'a' = '3')"
            ),
            "line 4, column 1: the property 'a' is on line 2 already: remove one of the two",
        ),
        (
            format!("CREATE EXTERNAL TABLE db.t (c int) {parquet}\nTBLPROPERTIES ('' = '1')"),
            "a property's key has 1 to 255 bytes",
        ),
        (
            format!("CREATE EXTERNAL TABLE db.t (c int) {parquet}\nLOCATION ''"),
            "line 2, column 10: '' is no location of a table: name a folder",
        ),
        (
            format!("CREATE EXTERNAL TABLE db.t (c int) {parquet}\nLOCATION 's3a://b/t'"),
            "write s3:// where it has s3a://",
        ),
        (format!("CREATE EXTERNAL TABLE db.t (c int) {parquet}\nLOCATION 's3://b//t'"), "write '//' as '/'"),
        (
            format!("CREATE EXTERNAL TABLE db.t (c int) {parquet}\nLOCATION 's3://b/*'"),
            "name the folder itself, without '*' and '?'",
        ),
        (format!("-- {}", "x".repeat(2 << 20)), "the DDL has 2097155 bytes"),
    ];
    for (text, message) in cases {
        let error = Ddl::parse(&text).expect_err(&text).to_string();
        assert!(error.contains(message), "of {text}\nexpected {message}\nfound    {error}");
    }
}

#[test]
fn a_field_of_a_catalogs_type_may_have_a_number_for_its_name() {
    for text in
        ["struct<0:int>", "array<struct<1e5:struct<0x1f:int,5l:string>,_:date>>", "map<string,struct<a:int>>"]
    {
        assert_eq!(read_type(text).unwrap().to_string(), text);
    }
    assert!(read_type("struct<:int>").is_err());
    assert!(read_type("struct<a:int,a:int>").is_err());
}

fn names() -> impl Strategy<Value = String> {
    "[a-z0-9_]{1,9}"
}

pub(crate) fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,12}", "\\PC{0,6}", "[\\\\'\"%_un0\\n\\r\\t\u{0}\u{1a}\u{7f}`;-]{0,8}"]
}

pub(crate) fn column_types() -> impl Strategy<Value = ColumnType> {
    use ColumnType::*;
    let scalars = prop_oneof![
        prop::sample::select(vec![
            Boolean, TinyInt, SmallInt, Int, BigInt, Float, Double, String, Binary, Date, Timestamp
        ]),
        (1u8..=38)
            .prop_flat_map(|precision| (Just(precision), 0..=precision))
            .prop_map(|(precision, scale)| Decimal { precision, scale }),
    ];
    scalars.clone().prop_recursive(4, 16, 4, move |inner| {
        let fields = prop::collection::btree_map(names(), inner.clone(), 1..4).prop_map(|fields| {
            Struct(fields.into_iter().map(|(name, field_type)| StructField { name, field_type }).collect())
        });
        prop_oneof![
            inner.clone().prop_map(|element| Array(Box::new(element))),
            (scalars.clone(), inner).prop_map(|(key, value)| Map(Box::new(key), Box::new(value))),
            fields,
        ]
    })
}

pub(crate) fn ddls() -> impl Strategy<Value = Ddl> {
    let columns = prop::collection::btree_map(names(), (column_types(), prop::option::of(texts())), 2..6);
    let properties = prop::collection::btree_map(texts(), texts(), 0..5);
    let location = prop::option::of("(s3://|file:///)?[a-z0-9 '\\\\=]{1,9}/");
    (names(), names(), columns, 0..3usize, prop::option::of(texts()), location, properties).prop_map(
        |(database, table, columns, partitions, comment, location, properties)| {
            let mut columns: Vec<Column> = columns
                .into_iter()
                .map(|(name, (column_type, comment))| Column { name, column_type, comment })
                .collect();
            let mut partitioned_by = columns.split_off(columns.len() - partitions.min(columns.len() - 1));
            partitioned_by.retain(|c| !c.name.starts_with('_'));
            partitioned_by.iter_mut().for_each(|c| c.column_type = ColumnType::String);
            let properties = properties
                .into_iter()
                .filter(|(key, _)| !key.is_empty())
                .map(|(key, value)| Property { key, value, line: 0 })
                .collect();
            let name = TableName::new(&database, &table).unwrap();
            Ddl { name, columns, comment, partitioned_by, location, properties }
        },
    )
}

/// Texts that are nearly statements: the pieces of one, in any order.
fn nearly_statements() -> impl Strategy<Value = String> {
    let pieces = "CREATE EXTERNAL TABLE|`db`.`t`|(|)|,|;|c|int|array<|map<|struct<a:|>>|>|decimal(|38|COMMENT|'x'|'\\|\"|`|--|/*|\
                  */|PARTITIONED BY|STORED AS PARQUET|ROW FORMAT SERDE|LOCATION|TBLPROPERTIES|=|:|$$|0x|1e5|é|\n|N'|x'|<|.|_";
    let pieces: Vec<&str> = pieces.split('|').collect();
    prop::collection::vec(prop::sample::select(pieces), 0..40).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same(ddl in ddls()) {
        let text = ddl.to_string();
        let read = Ddl::parse(&text);
        prop_assert!(read.is_ok(), "{}\n{text}", read.unwrap_err());
        prop_assert_eq!(read.unwrap(), ddl);
    }

    #[test]
    fn no_text_panics(text in prop_oneof![nearly_statements(), "\\PC{0,60}"], cut in 0..ATHENA.len(), piece in texts()) {
        let _ = Ddl::parse(&text);
        let _ = Ddl::parse(&format!("{}{piece}{}", &ATHENA[..cut], &ATHENA[cut..]));
        let _ = Ddl::parse(&ATHENA[..cut]);
    }
}
