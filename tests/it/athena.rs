//! `--engine athena`, as a user types it, against a server that answers as AWS's model of Athena says.
//!
//! No engine runs here: what is tested is what is asked of Athena, and what is made of its answers.

use std::collections::VecDeque;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::shell::{CTRL_C, CTRL_D, Pty};

/// An answer, or what it fails with.
type Answer = Result<Value, (u16, &'static str, &'static str)>;

/// What the server says, call by call; the last answer of an operation is given again.
#[derive(Default)]
struct Script {
    start: VecDeque<Answer>,
    look: VecDeque<Answer>,
    rows: VecDeque<Answer>,
    start_takes: std::time::Duration,
    asked: Vec<(String, Value)>,
    /// The Authorization headers.
    signed_by: Vec<String>,
}

#[derive(Clone, Default)]
struct Athena {
    script: Arc<Mutex<Script>>,
    endpoint: String,
}

impl Athena {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let athena = Self { script: Arc::new(Mutex::new(script)), endpoint };
        let router = Router::new().route("/", post(answer)).with_state(athena.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        athena
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let folder = std::env::temp_dir();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ticklake"));
        command
            .args(arguments)
            .env_clear()
            .envs([
                ("AWS_ACCESS_KEY_ID", "key"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("AWS_REGION", "eu-central-1"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
                ("TICKLAKE_ATHENA__ENDPOINT", &self.endpoint),
                ("TICKLAKE_SHELL__HISTORY", "off"),
            ])
            .current_dir(folder)
            .stdin(Stdio::null());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        output(self.command(arguments)).await
    }

    /// Waits until an operation was asked for.
    async fn has_asked(&self, operation: &str) {
        let asked = async {
            while self.asked(operation).is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let asked = tokio::time::timeout(std::time::Duration::from_secs(60), asked).await;
        asked.unwrap_or_else(|_| panic!("{operation} was not asked for"));
    }

    fn asked(&self, operation: &str) -> Vec<Value> {
        let script = self.script.lock().unwrap();
        script.asked.iter().filter(|(name, _)| name == operation).map(|(_, body)| body.clone()).collect()
    }
}

/// Runs a command to its end, beside the server.
async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn answer(State(athena): State<Athena>, headers: HeaderMap, body: String) -> Response {
    let target = headers["x-amz-target"].to_str().unwrap();
    let operation = target.strip_prefix("AmazonAthena.").unwrap().to_owned();
    let takes = {
        let mut script = athena.script.lock().unwrap();
        script.asked.push((operation.clone(), serde_json::from_str(&body).unwrap()));
        script.signed_by.push(headers["authorization"].to_str().unwrap().to_owned());
        script.start_takes
    };
    if operation == "StartQueryExecution" {
        tokio::time::sleep(takes).await;
    }
    let mut script = athena.script.lock().unwrap();
    let answers = match operation.as_str() {
        "StartQueryExecution" => &mut script.start,
        "GetQueryExecution" => &mut script.look,
        "GetQueryResults" => &mut script.rows,
        "StopQueryExecution" => return respond(Ok(json!({}))),
        other => panic!("{other} is not expected"),
    };
    let answer = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
    respond(answer)
}

fn respond(answer: Answer) -> Response {
    let json = [("content-type", "application/x-amz-json-1.1")];
    match answer {
        Ok(body) => (json, body.to_string()).into_response(),
        Err((status, code, message)) => {
            let body = json!({"__type": code, "message": message});
            (StatusCode::from_u16(status).unwrap(), json, body.to_string()).into_response()
        }
    }
}

fn started() -> Answer {
    Ok(json!({"QueryExecutionId": "q-1"}))
}

fn state(state: &str) -> Answer {
    Ok(
        json!({"QueryExecution": {"QueryExecutionId": "q-1", "StatementType": "DML", "Status": {"State": state}}}),
    )
}

fn succeeded(statement: &str, bytes: i64) -> Answer {
    Ok(json!({"QueryExecution": {
        "QueryExecutionId": "q-1",
        "StatementType": statement,
        "Status": {"State": "SUCCEEDED"},
        "Statistics": {"DataScannedInBytes": bytes},
    }}))
}

fn row<'a>(cells: impl IntoIterator<Item = Option<&'a str>>) -> Value {
    let cell = |text: Option<&str>| text.map_or(json!({}), |text| json!({"VarCharValue": text}));
    json!({"Data": cells.into_iter().map(cell).collect::<Vec<_>>()})
}

/// A page of rows; `columns` are names, types, precisions and scales.
fn page(columns: &[(&str, &str, i32, i32)], rows: Vec<Value>, next: Option<&str>) -> Answer {
    let column = |(name, of, precision, scale): &(&str, &str, i32, i32)| json!({"Name": name, "Label": name, "Type": of, "Precision": precision, "Scale": scale});
    let columns: Vec<Value> = columns.iter().map(column).collect();
    let mut page = json!({"ResultSet": {"Rows": rows, "ResultSetMetadata": {"ColumnInfo": columns}}});
    if let Some(next) = next {
        page["NextToken"] = json!(next);
    }
    Ok(page)
}

fn script(look: impl IntoIterator<Item = Answer>, rows: impl IntoIterator<Item = Answer>) -> Script {
    Script {
        start: [started()].into(),
        look: look.into_iter().collect(),
        rows: rows.into_iter().collect(),
        ..Script::default()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_started_waited_for_and_read_to_its_last_page() {
    let columns = [("n", "integer", 10, 0)];
    let rows = |from: usize, to: usize| -> Vec<Value> {
        (from..to).map(|n| row([Some(n.to_string().as_str())])).collect()
    };
    let mut first = vec![row([Some("n")])];
    first.extend(rows(0, 999));
    // It ran, and was queued again.
    let states = ["QUEUED", "RUNNING", "QUEUED", "RUNNING"].map(state);
    let look = states.into_iter().chain([succeeded("DML", 20 << 20)]);
    let pages = [
        page(&columns, first, Some("two")),
        page(&columns, rows(999, 1999), Some("three")),
        page(&columns, rows(1999, 2000), None),
    ];
    let athena = Athena::start(script(look, pages)).await;

    let sql = "SELECT n FROM market.ticks;";
    let command = [
        "query",
        "--engine",
        "athena",
        "--workgroup",
        "desk",
        "--output",
        "s3://b/r/",
        "--database",
        "market",
        sql,
    ];
    let done = athena.run(&command).await;
    assert!(done.status.success(), "{done:?}");
    let lines: Vec<String> = text(&done.stdout).lines().map(str::to_owned).collect();
    let want: Vec<String> = std::iter::once("n".to_owned()).chain((0..2000).map(|n| n.to_string())).collect();
    assert_eq!(lines, want);
    assert!(text(&done.stderr).contains("20.00 MiB scanned, $0.000095"), "{done:?}");

    let started = &athena.asked("StartQueryExecution")[0];
    assert_eq!(started["QueryString"], "SELECT n FROM market.ticks");
    assert_eq!(started["WorkGroup"], "desk");
    assert_eq!(started["QueryExecutionContext"]["Database"], "market");
    assert_eq!(started["ResultConfiguration"]["OutputLocation"], "s3://b/r/");
    let token = started["ClientRequestToken"].as_str().unwrap();
    assert!((32..=128).contains(&token.len()), "{token}");
    let tokens: Vec<Value> =
        athena.asked("GetQueryResults").iter().map(|asked| asked["NextToken"].clone()).collect();
    assert_eq!(tokens, [Value::Null, json!("two"), json!("three")]);
    assert!(athena.asked("GetQueryResults").iter().all(|asked| asked["MaxResults"] == 1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_have_the_types_that_athena_names() {
    let values = [
        ("boolean", 0, 0, "true", json!(true)),
        ("tinyint", 3, 0, "-128", json!(-128)),
        ("smallint", 5, 0, "32767", json!(32767)),
        ("integer", 10, 0, "-2147483648", json!(-2_147_483_648_i64)),
        ("bigint", 19, 0, "9223372036854775807", json!(9_223_372_036_854_775_807_i64)),
        ("float", 17, 0, "1.5", json!(1.5)),
        ("real", 17, 0, "-0.25", json!(-0.25)),
        ("double", 17, 0, "1.0E100", json!(1e100)),
        ("char", 3, 0, "abc", json!("abc")),
        ("varchar", 2_147_483_647, 0, "it's, \"quoted\"", json!("it's, \"quoted\"")),
        ("date", 0, 0, "2026-11-22", json!("2026-11-22")),
        ("time", 3, 0, "13:30:00.123", json!("13:30:00.123")),
        ("timestamp", 3, 0, "2026-11-22 13:30:00.123", json!("2026-11-22T13:30:00.123")),
        ("timestamp with time zone", 3, 0, "2026-11-22 13:30:00.123 UTC", json!("2026-11-22T13:30:00.123Z")),
        (
            "timestamp with time zone",
            3,
            0,
            "2026-11-22 13:30:00.000 America/New_York",
            json!("2026-11-22T18:30:00Z"),
        ),
        ("timestamp with time zone", 3, 0, "2026-11-22 13:30:00.000 +05:30", json!("2026-11-22T08:00:00Z")),
        ("varbinary", 0, 0, "de ad be ef", json!("deadbeef")),
        ("array", 0, 0, "[1, 2]", json!("[1, 2]")),
        ("map", 0, 0, "{a=1}", json!("{a=1}")),
        ("row", 0, 0, "{a=1, b=x}", json!("{a=1, b=x}")),
        ("json", 0, 0, "{\"a\":1}", json!("{\"a\":1}")),
        ("interval day to second", 0, 0, "0 00:00:01.000", json!("0 00:00:01.000")),
        ("uuid", 0, 0, "12151fd2-7586-11e9-8f9e-2a86e4085a59", json!("12151fd2-7586-11e9-8f9e-2a86e4085a59")),
    ];
    let names: Vec<String> = (0..values.len()).map(|i| format!("c{i}")).collect();
    let columns: Vec<_> = values
        .iter()
        .zip(&names)
        .map(|((of, precision, scale, ..), name)| (name.as_str(), *of, *precision, *scale))
        .collect();
    let rows = vec![
        row(names.iter().map(|name| Some(name.as_str()))),
        row(values.iter().map(|(_, _, _, text, _)| Some(*text))),
        row(values.iter().map(|_| None)),
    ];
    let athena = Athena::start(script([succeeded("DML", 0)], [page(&columns, rows, None)])).await;
    let done = athena.run(&["query", "--engine", "athena", "--format", "jsonl", "SELECT 1"]).await;
    assert!(done.status.success(), "{done:?}");
    let lines: Vec<Value> =
        text(&done.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for ((of, .., want), name) in values.iter().zip(&names) {
        assert_eq!(lines[0][name], *want, "{of}");
        assert_eq!(lines[1][name], Value::Null, "{of}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decimals_keep_all_their_digits() {
    let columns = [("d", "decimal", 38, 4), ("e", "decimal", 5, 5)];
    let rows = vec![
        row([Some("d"), Some("e")]),
        row([Some("1234567890123456789012345678901234.5678"), Some("0.00001")]),
    ];
    let athena = Athena::start(script([succeeded("DML", 0)], [page(&columns, rows, None)])).await;
    let done = athena.run(&["query", "--engine", "athena", "SELECT 1"]).await;
    assert_eq!(text(&done.stdout), "d,e\n1234567890123456789012345678901234.5678,0.00001\n", "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_reads_as_a_header_is_kept_where_there_is_none() {
    let columns = [("tab_name", "string", 0, 0)];
    let show = page(&columns, vec![row([Some("tab_name")]), row([Some("ticks")])], None);
    let athena = Athena::start(script([succeeded("DDL", 0)], [show])).await;
    let done = athena.run(&["query", "--engine", "athena", "SHOW TABLES IN market"]).await;
    assert_eq!(text(&done.stdout), "tab_name\ntab_name\nticks\n", "{done:?}");

    // A column may hold its own name: only the first row is the header.
    let select = page(&columns, vec![row([Some("tab_name")]), row([Some("tab_name")])], None);
    let athena = Athena::start(script([succeeded("DML", 1)], [select])).await;
    let done = athena.run(&["preview", "--engine", "athena", "market.ticks", "--limit", "7"]).await;
    assert_eq!(text(&done.stdout), "tab_name\ntab_name\n", "{done:?}");
    assert_eq!(
        athena.asked("StartQueryExecution")[0]["QueryString"],
        r#"SELECT * FROM "market"."ticks" LIMIT 7"#
    );
    assert!(
        text(&done.stderr).contains("1 B scanned, $0.000048"),
        "ten megabytes are paid at least: {done:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_athenas_own_words_and_category() {
    let failed = Ok(json!({"QueryExecution": {"StatementType": "DML", "Status": {
        "State": "FAILED",
        "StateChangeReason": "COLUMN_NOT_FOUND: line 1:8: Column 'prise' cannot be resolved",
        "AthenaError": {"ErrorCategory": 2, "ErrorType": 1006, "Retryable": false, "ErrorMessage": "COLUMN_NOT_FOUND"},
    }}}));
    let athena = Athena::start(script([state("RUNNING"), failed], [])).await;
    let done = athena.run(&["query", "--engine", "athena", "SELECT prise FROM market.ticks"]).await;
    assert_eq!(done.status.code(), Some(1));
    let error = text(&done.stderr);
    assert!(
        error.contains("Column 'prise' cannot be resolved") && error.contains("category: user"),
        "{error}"
    );
    assert!(error.contains("q-1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_shows_its_place_in_what_was_typed() {
    let failed = Ok(json!({"QueryExecution": {"StatementType": "DML", "Status": {
        "State": "FAILED",
        "StateChangeReason": "COLUMN_NOT_FOUND: line 2:3: Column 'prise' cannot be resolved",
    }}}));
    let athena = Athena::start(script([failed.clone()], [])).await;
    let sql = "SELECT price,\n  prise FROM market.ticks";
    let done = athena.run(&["query", "--engine", "athena", sql]).await;
    let shown = "\n  2 |   prise FROM market.ticks\n    |   ^\n";
    assert!(text(&done.stderr).ends_with(shown), "{done:?}");

    // The line that EXPLAIN adds is not counted.
    let explained = Ok(json!({"QueryExecution": {"StatementType": "UTILITY", "Status": {
        "State": "FAILED",
        "StateChangeReason": "COLUMN_NOT_FOUND: line 3:3: Column 'prise' cannot be resolved",
    }}}));
    let athena = Athena::start(script([explained], [])).await;
    let done = athena.run(&["query", "--engine", "athena", "--explain", sql]).await;
    assert!(text(&done.stderr).ends_with(shown), "{done:?}");

    // What is refused at once has its place too.
    let mut refused = script([], []);
    refused.start =
        [Err((400, "InvalidRequestException", "line 1:8: mismatched input 'FROM'. Expecting: <expression>"))]
            .into();
    let athena = Athena::start(refused).await;
    let done = athena.run(&["query", "--engine", "athena", "SELECT FROM market.ticks"]).await;
    assert!(text(&done.stderr).ends_with("  1 | SELECT FROM market.ticks\n    |        ^\n"), "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_go_one_by_one_with_their_values() {
    let columns = [("n", "integer", 10, 0)];
    let rows = page(&columns, vec![row([Some("n")]), row([Some("1")])], None);
    let athena = Athena::start(script([succeeded("DML", 0)], [rows])).await;
    let sql = "SELECT n FROM t WHERE s = :s; SELECT n FROM t LIMIT :n;";
    let args = ["query", "--engine", "athena", "--param", "s=x' OR 'y", "--param", "n=3", sql];
    let done = athena.run(&args).await;
    assert_eq!(text(&done.stdout), "n\n1\n\nn\n1\n", "{done:?}");
    let sent: Vec<Value> =
        athena.asked("StartQueryExecution").iter().map(|asked| asked["QueryString"].clone()).collect();
    assert_eq!(sent, ["SELECT n FROM t WHERE s = 'x'' OR ''y'", "SELECT n FROM t LIMIT 3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_athenas_own() {
    let columns = [("Query Plan", "varchar", 0, 0)];
    let rows = vec![row([Some("Fragment 0 [SINGLE]")]), row([Some("    Output[n]")])];
    let athena = Athena::start(script([succeeded("UTILITY", 0)], [page(&columns, rows, None)])).await;
    let done = athena.run(&["query", "--engine", "athena", "--explain", "SELECT n FROM t"]).await;
    assert_eq!(text(&done.stdout), "Fragment 0 [SINGLE]\n    Output[n]\n", "{done:?}");
    assert_eq!(athena.asked("StartQueryExecution")[0]["QueryString"], "EXPLAIN\nSELECT n FROM t");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_planned_here_is_not_sent_under_a_limit() {
    let columns = [("n", "integer", 10, 0)];
    let athena = Athena::start(script([succeeded("DML", 0)], [page(&columns, vec![], None)])).await;
    let run = async |sql| athena.run(&["query", "--engine", "athena", "--max-bytes", "1GB", sql]).await;
    // A function of Trino's alone.
    let done = run("SELECT max_by(a, b) FROM (VALUES (1, 2)) t (a, b)").await;
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(
        text(&done.stderr).contains("it cannot be planned here; what it reads is not guessed"),
        "{done:?}"
    );
    assert!(athena.asked("StartQueryExecution").is_empty());
    // No table, no bytes.
    let done = run("SELECT 1 AS n").await;
    assert!(done.status.success(), "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_in_a_shell_stops_the_query_in_athena_and_asks_again() {
    let columns = [("n", "integer", 10, 0)];
    let rows = page(&columns, vec![row([Some("n")]), row([Some("42")])], None);
    // It runs until it is stopped; the next one ends.
    let slow =
        Script { start_takes: std::time::Duration::from_secs(1), ..script([state("RUNNING")], [rows]) };
    let athena = Athena::start(slow).await;
    let command = athena.command(&["query", "--engine", "athena"]);
    let mut shell = tokio::task::spawn_blocking(move || {
        let mut shell = Pty::start(command);
        shell.sees("athena> ");
        shell.enter("SELECT n FROM t;");
        shell
    })
    .await
    .unwrap();
    athena.has_asked("StartQueryExecution").await;
    // It has no id yet.
    let shell = tokio::task::spawn_blocking(move || {
        shell.press(CTRL_C);
        shell.sees("cancelled");
        shell.sees("athena> ");
        shell
    });
    let mut shell = shell.await.unwrap();
    assert_eq!(athena.asked("StopQueryExecution"), [json!({"QueryExecutionId": "q-1"})]);

    athena.script.lock().unwrap().look = [succeeded("DML", 20 << 20)].into();
    let ended = tokio::task::spawn_blocking(move || {
        shell.enter("SELECT n FROM t;");
        shell.sees(" 42");
        shell.sees("20.00 MiB scanned, $0.000095");
        shell.sees("athena> ");
        shell.press(CTRL_D);
        shell.ends()
    });
    assert_eq!(ended.await.unwrap().code(), Some(0));
    assert_eq!(athena.asked("StartQueryExecution").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_throttled_is_asked_again_with_the_same_token() {
    let slow = Err((400, "ThrottlingException", "Rate exceeded"));
    let many =
        Err((400, "TooManyRequestsException", "You have exceeded the limit for the number of queries"));
    let mut script =
        script([slow.clone(), succeeded("DML", 0)], [page(&[("n", "integer", 10, 0)], vec![], None)]);
    script.start = [many, slow, started()].into();
    let athena = Athena::start(script).await;
    let done = athena.run(&["query", "--engine", "athena", "SELECT 1"]).await;
    assert!(done.status.success(), "{done:?}");
    let started = athena.asked("StartQueryExecution");
    assert_eq!(started.len(), 3);
    assert!(started.iter().all(|asked| asked["ClientRequestToken"] == started[0]["ClientRequestToken"]));
    assert_eq!(athena.asked("GetQueryExecution").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_writes_is_refused_before_it_is_sent() {
    let athena = Athena::start(script([succeeded("DML", 0)], [])).await;
    for sql in [
        "INSERT INTO market.ticks SELECT 1",
        "\n-- a\n DROP TABLE market.ticks",
        "/* b */ create table x as select 1",
        "/* from s3://b/* */ DROP TABLE market.ticks",
        "EXPLAIN ANALYZE INSERT INTO market.ticks SELECT 1",
        "explain (format json) (UNLOAD (SELECT 1) TO 's3://b/')",
    ] {
        let done = athena.run(&["query", "--engine", "athena", sql]).await;
        assert_eq!(done.status.code(), Some(1), "{sql}");
        assert!(text(&done.stderr).contains("is no statement that only reads"), "{done:?}");
    }
    assert!(athena.asked("StartQueryExecution").is_empty());

    let columns = [("n", "integer", 10, 0)];
    let athena =
        Athena::start(script([succeeded("DML", 0)], [page(&columns, vec![row([Some("n")])], None)])).await;
    for sql in [
        "(SELECT 1)",
        "EXPLAIN ANALYZE VERBOSE SELECT 1",
        "/* a */ WITH x AS (SELECT 1) SELECT * FROM x",
        "VALUES 1",
    ] {
        let done = athena.run(&["query", "--engine", "athena", sql]).await;
        assert!(done.status.success(), "{sql}: {done:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_cannot_be_looked_at_is_stopped() {
    let denied = Err((400, "AccessDeniedException", "not authorized to perform: athena:GetQueryExecution"));
    let athena = Athena::start(script([state("RUNNING"), denied], [])).await;
    let done = athena.run(&["query", "--engine", "athena", "SELECT 1"]).await;
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let error = text(&done.stderr);
    assert!(error.contains("athena:GetQueryExecution") && error.contains("it was stopped"), "{error}");
    assert_eq!(athena.asked("StopQueryExecution"), [json!({"QueryExecutionId": "q-1"})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_are_not_there_are_named_with_the_way_to_them() {
    let athena = Athena::start(script([], [])).await;
    let mut command = athena.command(&["query", "--engine", "athena", "SELECT 1"]);
    for (name, file) in [("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")] {
        command.env(name, file);
    }
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let done = output(command).await;
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(text(&done.stderr).contains("no AWS credentials: set AWS_PROFILE"), "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_is_named_is_above_keys_of_the_environment() {
    let columns = [("n", "integer", 10, 0)];
    let athena = Athena::start(script([succeeded("DML", 0)], [page(&columns, vec![], None)])).await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config");
    std::fs::write(
        &file,
        "[profile lake]\nregion = eu-west-3\naws_access_key_id = LAKEKEY\naws_secret_access_key = x\n",
    )
    .unwrap();
    let mut command = athena.command(&["query", "--engine", "athena", "--profile", "lake", "SELECT 1"]);
    command.env("AWS_CONFIG_FILE", &file).env_remove("AWS_REGION");
    let done = output(command).await;
    assert!(done.status.success(), "{done:?}");
    let script = athena.script.lock().unwrap();
    assert!(
        script.signed_by.iter().all(|by| by.contains("Credential=LAKEKEY/") && by.contains("/eu-west-3/"))
    );
    assert!(!script.signed_by.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_cancels_the_query_in_athena() {
    let athena = Athena::start(script([state("RUNNING")], [])).await;
    let done = interrupted(&athena, "GetQueryExecution").await;
    assert_eq!(done.status.code(), Some(130), "{done:?}");
    assert_eq!(athena.asked("StopQueryExecution"), [json!({"QueryExecutionId": "q-1"})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_is_an_error_and_no_panic() {
    let athena = Athena::start(script([], [])).await;
    for (name, value, code, words) in [
        ("AWS_ENDPOINT_URL", "", 2, "variable: AWS_ENDPOINT_URL"),
        ("AWS_ENDPOINT_URL_S3", "http://a b", 2, "http://a b"),
        ("TICKLAKE_ATHENA__ENDPOINT", "127.0.0.1:5000", 2, "http://HOST:PORT"),
        ("TICKLAKE_ATHENA__ENDPOINT", "http://127.0.0.1:99999", 2, "99999"),
        ("AWS_REGION", "us-east-1\n", 2, "no name of one"),
        ("AWS_ACCESS_KEY_ID", "key\n", 1, "a line break at its end"),
        ("AWS_SESSION_TOKEN", "a\rb", 1, "a line break at its end"),
    ] {
        let mut command = athena.command(&["query", "--engine", "athena", "SELECT 1"]);
        command.env(name, value);
        let done = output(command).await;
        assert_eq!(done.status.code(), Some(code), "{name}={value:?}: {done:?}");
        assert!(text(&done.stderr).contains(words), "{name}={value:?}: {done:?}");
    }
    assert!(athena.asked("StartQueryExecution").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_cancels_a_query_that_is_being_started() {
    let slow = Script { start_takes: std::time::Duration::from_secs(1), ..script([state("RUNNING")], []) };
    let athena = Athena::start(slow).await;
    let done = interrupted(&athena, "StartQueryExecution").await;
    assert_eq!(done.status.code(), Some(130), "{done:?}");
    assert_eq!(athena.asked("StopQueryExecution"), [json!({"QueryExecutionId": "q-1"})]);
}

/// Runs a query, with SIGINT as soon as an operation was asked for.
async fn interrupted(athena: &Athena, operation: &str) -> Output {
    let running = athena
        .command(&["query", "--engine", "athena", "SELECT 1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = running.id().to_string();
    let asked = async {
        while athena.asked(operation).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let asked = tokio::time::timeout(std::time::Duration::from_secs(60), asked).await;
    Command::new("kill").args(["-INT", &id]).status().unwrap();
    let done = tokio::task::spawn_blocking(move || running.wait_with_output().unwrap()).await.unwrap();
    assert!(asked.is_ok(), "{operation} was not asked for: {done:?}");
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_nobody_set_is_an_error() {
    let athena = Athena::start(script([], [])).await;
    let mut command = athena.command(&["query", "--engine", "athena", "SELECT 1"]);
    command.env_remove("AWS_REGION").env("AWS_CONFIG_FILE", "/dev/null");
    let done = output(command).await;
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    assert!(text(&done.stderr).contains("no AWS region is set"), "{done:?}");
}
