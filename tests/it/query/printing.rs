//! How an answer is written, in each format.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use futures::StreamExt;
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
    for format in [Format::Table, Format::Csv, Format::JsonLines, Format::Markdown] {
        let answer = answer(&[("c", column(&[Some("a")]))]);
        let error = print(answer, format, &mut Closed).await.unwrap_err();
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>());
        assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::BrokenPipe), "{format:?}");
    }
}
