//! How an answer is written, in each format.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use futures::StreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ticklake::error::{Error, Kind};
use ticklake::query::{Answer, Format, print};

/// Four rows of all kinds of columns, the last of nulls.
fn rows() -> Answer {
    let instants =
        TimestampMillisecondArray::from(vec![Some(1_795_354_200_123), Some(1_795_354_200_000), None, None]);
    let prices = Decimal128Array::from(vec![Some(15_000), Some(-123_456_789_012_345_678), None, None]);
    answer(&[
        ("ts", Arc::new(instants.with_timezone("UTC"))),
        ("price", Arc::new(prices.with_precision_and_scale(18, 4).unwrap())),
        ("size", Arc::new(Int64Array::from(vec![Some(10), None, Some(300), None]))),
        ("symbol", column(&[Some("AAPL"), Some("a,\"b\"|c"), Some(""), None])),
        ("up", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, None]))),
    ])
}

async fn printed(answer: Answer, format: Format) -> String {
    text(answer, format).await.unwrap()
}

async fn text(answer: Answer, format: Format) -> ticklake::Result<String> {
    let mut out = Vec::new();
    print(answer, format, &mut out).await?;
    Ok(String::from_utf8(out).unwrap())
}

fn answer(columns: &[(&str, ArrayRef)]) -> Answer {
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    Answer { schema: batch.schema(), batches: futures::stream::iter([Ok(batch)]).boxed(), scanned: None }
}

fn column(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[tokio::test]
async fn a_table_is_aligned() {
    let expected = [
        " ts                       |                price | size | symbol  | up",
        "--------------------------+----------------------+------+---------+-------",
        " 2026-11-22T13:30:00.123Z |               1.5000 |   10 | AAPL    | true",
        " 2026-11-22T13:30:00Z     | -12345678901234.5678 |      | a,\"b\"|c | false",
        "                          |                      |  300 |         |",
        "                          |                      |      |         |",
    ];
    assert_eq!(printed(rows(), Format::Table).await.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_long_table_streams_after_its_first_rows() {
    let rows: Vec<String> =
        (0..1002).map(|i| if i == 1001 { "long".to_owned() } else { "x".to_owned() }).collect();
    let values = StringArray::from_iter_values(&rows);
    let text = text(answer(&[("c", Arc::new(values))]), Format::Table).await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[1], lines[1003]), (1004, "---", " long"));
}

#[tokio::test]
async fn no_value_moves_the_cursor() {
    let values = column(&[Some("a\n\u{1b}[2Jb\tc\u{9b}é")]);
    for format in [Format::Table, Format::Markdown] {
        let text = text(answer(&[("c\r", values.clone())]), format).await.unwrap();
        assert!(text.contains("a\\n\\u{1b}[2Jb\\tc\\u{9b}é") && text.contains("c\\r"), "{text}");
        assert!(!text.replace('\n', "").contains(char::is_control));
    }
}

#[tokio::test]
async fn csv_is_quoted_where_it_must_be() {
    let expected = r#"ts,price,size,symbol,up
2026-11-22T13:30:00.123Z,1.5000,10,AAPL,true
2026-11-22T13:30:00Z,-12345678901234.5678,,"a,""b""|c",false
,,300,"",
,,,,
"#;
    assert_eq!(printed(rows(), Format::Csv).await, expected);
    let alone = answer(&[("c", column(&[Some("a"), None, Some(""), Some("x\ny\r")]))]);
    assert_eq!(text(alone, Format::Csv).await.unwrap(), "c\na\n\"\"\n\"\"\n\"x\ny\r\"\n");
}

#[tokio::test]
async fn json_lines_keep_numbers_exact() {
    let expected = r#"{"ts":"2026-11-22T13:30:00.123Z","price":1.5000,"size":10,"symbol":"AAPL","up":true}
{"ts":"2026-11-22T13:30:00Z","price":-12345678901234.5678,"size":null,"symbol":"a,\"b\"|c","up":false}
{"ts":null,"price":null,"size":300,"symbol":"","up":null}
{"ts":null,"price":null,"size":null,"symbol":null,"up":null}
"#;
    assert_eq!(printed(rows(), Format::JsonLines).await, expected);
    let numbers = answer(&[
        ("i", Arc::new(Int64Array::from(vec![i64::MAX]))),
        ("f", Arc::new(Float64Array::from(vec![f64::NAN]))),
        ("s", column(&[Some("\u{1b}\n")])),
    ]);
    let line = "{\"i\":9223372036854775807,\"f\":null,\"s\":\"\\u001b\\n\"}\n";
    assert_eq!(text(numbers, Format::JsonLines).await.unwrap(), line);
}

#[tokio::test]
async fn markdown_is_a_table() {
    let expected = r#"| ts | price | size | symbol | up |
| --- | ---: | ---: | --- | --- |
| 2026-11-22T13:30:00.123Z | 1.5000 | 10 | AAPL | true |
| 2026-11-22T13:30:00Z | -12345678901234.5678 |  | a,"b"\|c | false |
|  |  | 300 |  |  |
|  |  |  |  |  |
"#;
    assert_eq!(printed(rows(), Format::Markdown).await, expected);
}

/// A list and a struct, with quotes and a line end within, a null within and a row of nulls.
fn nested() -> Answer {
    let list = [Some(vec![Some(1), None]), Some(vec![]), None];
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(list);
    let names = Arc::new(Field::new("name", DataType::Utf8, true));
    let at = Arc::new(Field::new("at", DataType::Int32, true));
    let fields: Vec<(Arc<Field>, ArrayRef)> = vec![
        (names, column(&[Some("a \"b\"\n|c"), None, None])),
        (at, Arc::new(Int32Array::from(vec![1, 2, 3]))),
    ];
    let (fields, arrays): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    let row = StructArray::new(fields.into(), arrays, Some(vec![true, true, false].into()));
    answer(&[("list", Arc::new(list)), ("row", Arc::new(row))])
}

#[tokio::test]
async fn nested_values_have_their_form_in_each_format() {
    let table = [
        " list  | row",
        "-------+--------------------------",
        " [1, ] | {name: a \"b\"\\n|c, at: 1}",
        " []    | {name: , at: 2}",
        "       |",
    ];
    assert_eq!(printed(nested(), Format::Table).await.lines().collect::<Vec<_>>(), table);
    let csv = "list,row\n\"[1, ]\",\"{name: a \"\"b\"\"\n|c, at: 1}\"\n[],\"{name: , at: 2}\"\n,\n";
    assert_eq!(printed(nested(), Format::Csv).await, csv);
    let lines = [
        r#"{"list":[1,null],"row":{"name":"a \"b\"\n|c","at":1}}"#,
        r#"{"list":[],"row":{"name":null,"at":2}}"#,
        r#"{"list":null,"row":null}"#,
    ];
    assert_eq!(printed(nested(), Format::JsonLines).await.lines().collect::<Vec<_>>(), lines);
    let markdown = "| list | row |\n| --- | --- |\n| [1, ] | {name: a \"b\"\\n\\|c, at: 1} |\n\
                    | [] | {name: , at: 2} |\n|  |  |\n";
    assert_eq!(printed(nested(), Format::Markdown).await, markdown);
}

#[tokio::test]
async fn parquet_keeps_types_and_values() {
    for make in [rows, nested] {
        let mut want: Vec<RecordBatch> = make().batches.map(Result::unwrap).collect().await;
        let mut out = Vec::new();
        assert_eq!(print(make(), Format::Parquet, &mut out).await.unwrap(), want[0].num_rows() as u64);
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(out)).unwrap().build().unwrap();
        let read: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        assert_eq!(read, [want.remove(0)]);
    }
}

#[tokio::test]
async fn parquet_of_many_batches_is_one_file() {
    let batch = |from: i64| {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 600_000));
        RecordBatch::try_from_iter([("n", values)]).unwrap()
    };
    let batches: Vec<RecordBatch> = (0..4).map(|i| batch(i * 600_000)).collect();
    let schema = batches[0].schema();
    let batches = futures::stream::iter(batches.into_iter().map(Ok)).boxed();
    let mut out = Vec::new();
    let rows = print(Answer { schema, batches, scanned: None }, Format::Parquet, &mut out).await.unwrap();
    assert_eq!(rows, 2_400_000);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(out)).unwrap();
    // Row groups went out before the end.
    assert!(reader.metadata().num_row_groups() > 1);
    let first = |batch: RecordBatch| batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0);
    let firsts: Vec<i64> =
        reader.with_batch_size(600_000).build().unwrap().map(|b| first(b.unwrap())).collect();
    assert_eq!(firsts, [0, 600_000, 1_200_000, 1_800_000]);
}

#[tokio::test]
async fn an_answer_without_rows_has_its_header() {
    let none = || answer(&[("one", Arc::new(Int64Array::from(Vec::<i64>::new()))), ("two", column(&[]))]);
    assert_eq!(printed(none(), Format::Table).await, " one | two\n-----+-----\n");
    assert_eq!(printed(none(), Format::Csv).await, "one,two\n");
    assert_eq!(printed(none(), Format::Markdown).await, "| one | two |\n| ---: | --- |\n");
    assert_eq!(printed(none(), Format::JsonLines).await, "");
}

#[tokio::test]
async fn what_came_before_a_failure_is_written() {
    let batch = RecordBatch::try_from_iter([("c", column(&[Some("a")]))]).unwrap();
    let schema = batch.schema();
    let batches = futures::stream::iter([Ok(batch), Err(Error::new(Kind::Query, "gone"))]).boxed();
    let mut out = Vec::new();
    let error = print(Answer { schema, batches, scanned: None }, Format::Csv, &mut out).await.unwrap_err();
    assert_eq!(error.to_string(), "gone");
    assert_eq!(out, b"c\na\n");
}

#[tokio::test]
async fn a_closed_pipe_is_found_in_the_error() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for format in [Format::Table, Format::Csv, Format::JsonLines, Format::Markdown, Format::Parquet] {
        let answer = answer(&[("c", column(&[Some("a")]))]);
        let error = print(answer, format, &mut Closed).await.unwrap_err();
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>());
        assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::BrokenPipe), "{format:?}");
    }
}
