//! The command line, by running the program: what it prints where, and what it ends with.

mod alter;
mod check;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use ticklake::config::Config;

const DDL: &str = "CREATE EXTERNAL TABLE market.ticks (ts timestamp, price decimal(18,4))
PARTITIONED BY (`date` string, symbol string)
STORED AS PARQUET
LOCATION 'lake/ticks/'
TBLPROPERTIES ('ticklake.partition.date' = 'day(ts)', 'ticklake.partition.symbol' = 'identity(/symbol)',
  'ticklake.format.ts' = 'epoch_ms')";

/// The program in a folder of its own, with no settings from around the test.
fn ticklake(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticklake"));
    command.args(args).current_dir(folder).env_remove("RUST_LOG").stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TICKLAKE_")) {
            command.env_remove(name);
        }
    }
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A folder with a catalog of one table.
fn folder_with_table() -> TempDir {
    let home = folder();
    fs::write(home.path().join("ticks.sql"), DDL).expect("the DDL is written");
    done(home.path(), &["table", "create", "ticks.sql"]);
    home
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

/// Runs a command that must end with 0; its stdout.
fn done(folder: &Path, args: &[&str]) -> String {
    let output = ticklake(folder, args).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
    out(&output).to_owned()
}

/// Runs a command that must fail with `code` and one line on stderr; that line.
fn fails(command: &mut Command, code: i32) -> String {
    let output = command.output().expect("it starts");
    assert_eq!(output.status.code(), Some(code), "{}", err(&output));
    assert_eq!(out(&output), "", "a failure prints nothing on stdout");
    assert_eq!(err(&output).lines().count(), 1, "the chain is one line: {}", err(&output));
    err(&output).trim_end().to_owned()
}

/// Starts a command whose stdout and stderr the test reads.
fn piped(folder: &Path, args: &[&str]) -> Child {
    ticklake(folder, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.expect("kill is there").success());
}

/// Where a setting comes from and what it is, by `config --format json`.
fn setting(command: &mut Command, key: &str) -> (serde_json::Value, String) {
    let output = command.output().expect("it starts");
    let entries: Vec<serde_json::Value> =
        serde_json::from_str(out(&output)).unwrap_or_else(|e| panic!("{e}: {}", err(&output)));
    let entry = entries.iter().find(|entry| entry["key"] == key).unwrap_or_else(|| panic!("no {key}"));
    (entry["value"].clone(), entry["from"].as_str().expect("a text").to_owned())
}

#[test]
fn help_names_the_commands_that_are_there_and_no_other() {
    let home = folder();
    let help = done(home.path(), &["--help"]);
    for command in [
        "demo", "produce", "ingest", "query", "preview", "table", "replay", "verify", "check", "bench",
        "config",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
    }
    assert!(!help.contains("\n  compact "), "it comes later: {help}");
    assert!(done(home.path(), &["--version"]).starts_with("ticklake "));
}

/// The report of a benchmark, which must succeed.
fn benchmark(folder: &Path, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&done(folder, args)).expect("a report")
}

#[test]
fn a_benchmark_measures_each_part_and_the_job_with_each_setting() {
    let home = folder();
    let report = benchmark(
        home.path(),
        &[
            "bench",
            "--records",
            "3000",
            "--symbols",
            "20",
            "--days",
            "1",
            "--sweep",
            "flush.rows=50,1000",
            "--svg",
            "sweep.svg",
            "--format",
            "json",
        ],
    );
    let runs = report["runs"].as_array().expect("its runs");
    let of = |name: &str| runs.iter().map(|run| run[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("part"), ["drain", "decode", "encode", "job", "job"]);
    assert_eq!(of("setting")[3..], ["flush_rows=50", "flush_rows=1000"]);
    let number = |run: &serde_json::Value, name: &str| run[name].as_f64().expect("a number");
    for run in [&runs[0], &runs[2], &runs[3], &runs[4]] {
        assert_eq!(number(run, "records"), 3000.0, "{run}");
    }
    assert!(number(&runs[1], "rows") >= 3000.0 && number(&runs[1], "cpu_seconds") >= 1.0);
    assert_eq!((number(&runs[3], "rows"), number(&runs[4], "rows")), (3000.0, 3000.0));
    assert_eq!(number(&runs[4], "files"), number(&runs[4], "partitions"));
    assert!(
        number(&runs[3], "files") > number(&runs[4], "files")
            && number(&runs[3], "puts") == number(&runs[3], "files")
    );
    assert!(runs.iter().all(|run| number(run, "peak_bytes") > 1e6 && number(run, "seconds") > 0.0));
    assert!(fs::read_to_string(home.path().join("sweep.svg")).unwrap().contains("flush_rows=1000"));
    assert!(!home.path().join("ticklake-bench").exists(), "what was made for it is removed");
}

#[test]
fn a_benchmark_in_time_sees_rows_come() {
    let home = folder();
    let report = benchmark(
        home.path(),
        &[
            "bench",
            "--rate",
            "1000",
            "--for",
            "3s",
            "--symbols",
            "5",
            "--sweep",
            "flush.age=500ms",
            "--format",
            "json",
        ],
    );
    let run = &report["runs"][0];
    assert_eq!(run["rows"], 3000, "{run}");
    let latency = &run["latency"];
    assert!(latency["rows"].as_u64() > Some(50) && latency["p99_seconds"].as_f64() > Some(0.0), "{run}");
}

#[test]
fn a_benchmark_says_what_is_wrong_with_it() {
    let home = folder();
    for (args, words) in [
        (&["bench", "--sweep", "flush.age"][..], "a sweep is SETTING=VALUE"),
        (&["bench", "--topic", "t"][..], "needs its --brokers"),
        (&["bench", "--rate", "0"][..], "a rate is records a second"),
        (&["bench", "--records", "10", "--only", "job", "--sweep", "flush.rows=many"][..], "a run failed"),
        (&["bench", "--records", "10", "--only", "job", "--sweep", "no.such=1"][..], "a run failed"),
    ] {
        let output = ticklake(home.path(), args).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{args:?}: {said}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    let home = folder();
    let code = |args: &[&str]| ticklake(home.path(), args).output().expect("it starts").status.code();
    for args in [
        &["nonsense"][..],
        &["ingest", "--no-such-flag"],
        &["produce", "--topic", "t"],
        &["produce", "--topic", "t", "--csv", "f", "--simulate"],
        &["produce", "--topic", "t", "--simulate", "--rate", "0"],
        &["produce", "--topic", "t", "--simulate", "--loop"],
        &["query"],
        &["table", "show", "no-dot"],
        &["config", "--log-format", "yaml"],
    ] {
        assert_eq!(code(args), Some(2), "{args:?}");
    }
}

#[test]
fn a_job_that_is_not_whole_says_what_is_missing() {
    let home = folder();
    let fails = |args: &[&str]| fails(&mut ticklake(home.path(), args), 2);
    assert!(fails(&["ingest", "--topic", "t"]).contains("--table"));
    assert!(fails(&["ingest", "--table", "market.ticks"]).contains("--topic"));
    let embedded = ["ingest", "--topic", "t", "--table", "market.ticks", "--brokers", "embedded"];
    assert!(fails(&embedded).contains("only `ticklake demo` can use it"));
    let mut nowhere = ticklake(home.path(), &["table", "list", "--catalog", "glue"]);
    nowhere.env_remove("AWS_REGION").env_remove("AWS_DEFAULT_REGION").env("AWS_CONFIG_FILE", "/dev/null");
    let error = self::fails(nowhere.env("AWS_EC2_METADATA_DISABLED", "true"), 2);
    assert!(error.contains("no AWS region is set"), "{error}");
    assert!(fails(&["query", "-f", "nowhere.sql"]).contains("nowhere.sql"));
    assert!(fails(&["config", "--log-level", "ticklake=loud"]).contains("log.level"));
}

#[test]
fn a_key_that_is_none_is_named_with_its_place_and_the_nearest() {
    let home = folder();
    fs::write(home.path().join("ticklake.toml"), "[ingest]\nflush_row = 3\n").unwrap();
    let error = fails(&mut ticklake(home.path(), &["config"]), 2);
    assert!(
        error.contains("ingest.flush_row:") && error.contains("did you mean ingest.flush_rows?"),
        "{error}"
    );
    assert!(error.contains("file ticklake.toml"), "{error}");

    let other = folder();
    let variable = |name: &str, value: &str| fails(ticklake(other.path(), &["config"]).env(name, value), 2);
    let error = variable("TICKLAKE_INGEST__MEMROY", "1GiB");
    assert!(error.contains("did you mean TICKLAKE_INGEST__MEMORY?"), "{error}");
    assert!(variable("TICKLAKE_FLUSH_AGE", "1s").contains("did you mean TICKLAKE_INGEST__FLUSH_AGE?"));
    assert!(variable("TICKLAKE_INGEST", "1s").contains("a section, not a value"));
}

#[test]
fn a_value_that_is_none_is_named_with_its_place() {
    let home = folder();
    let file = |text: &str| {
        fs::write(home.path().join("x.toml"), text).unwrap();
        fails(&mut ticklake(home.path(), &["--config", "x.toml", "config"]), 2)
    };
    let error = file("[ingest]\nflush_age = \"soon\"");
    assert!(error.contains("ingest.flush_age") && error.contains("'soon'"), "{error}");
    assert!(error.contains("file x.toml"), "{error}");
    assert!(file("\n[ingest\n").contains("line: 2"));
    assert!(file("[kafka]\nssl = [1]").contains("ssl"));
    assert!(file("[ingest.memory]\nmax = 1").contains("a value, not a section"));
    assert!(file("[kafka]\nbrokers = 'a:1'\n\"bootstrap.servers\" = 'b:1'").contains("set twice"));

    let nowhere = fails(&mut ticklake(home.path(), &["--config", "nowhere.toml", "config"]), 2);
    assert!(nowhere.contains("nowhere.toml"), "{nowhere}");
    let flag = fails(&mut ticklake(home.path(), &["ingest", "--flush-bytes", "much"]), 2);
    assert!(flag.contains("flag --flush-bytes"), "{flag}");
    let flag = fails(&mut ticklake(home.path(), &["config", "-X", "debug"]), 2);
    assert!(flag.contains("NAME=VALUE"), "{flag}");
}

#[test]
fn each_layer_is_above_the_one_before() {
    let home = folder();
    let from = |command: &mut Command| setting(command, "kafka.brokers");
    let config = ["config", "--format", "json"];
    let with_flag = ["config", "--format", "json", "--brokers", "flag:1"];
    let name = "TICKLAKE_KAFKA__BROKERS";
    assert_eq!(from(&mut ticklake(home.path(), &config)), ("localhost:9092".into(), "default".into()));
    // librdkafka's own name for it, as a table.
    fs::write(home.path().join("ticklake.toml"), "[kafka]\nbootstrap.servers = 'file:1'").unwrap();
    assert_eq!(from(&mut ticklake(home.path(), &config)), ("file:1".into(), "file ticklake.toml".into()));
    let mut variable = ticklake(home.path(), &config);
    assert_eq!(from(variable.env(name, "variable:1")), ("variable:1".into(), format!("variable {name}")));
    let mut flag = ticklake(home.path(), &with_flag);
    assert_eq!(from(flag.env(name, "variable:1")), ("flag:1".into(), "flag --brokers".into()));
    // An empty variable is one that is not set.
    assert_eq!(from(ticklake(home.path(), &config).env(name, "")).1, "file ticklake.toml");

    let level = |command: &mut Command| setting(command, "log.level");
    let mut rust_log = ticklake(home.path(), &config);
    rust_log.env("RUST_LOG", "warn").env("TICKLAKE_LOG__LEVEL", "debug");
    assert_eq!(level(&mut rust_log), ("warn".into(), "variable RUST_LOG".into()));
}

#[test]
fn properties_of_librdkafka_pass_through_and_secrets_are_hidden() {
    let home = folder();
    let file = "[kafka]\nsecurity.protocol = 'SASL_SSL'\n'sasl.username' = 'me'\nsasl.password = 'hunter2'\n";
    fs::write(home.path().join("ticklake.toml"), file).unwrap();
    let mut command =
        ticklake(home.path(), &["config", "-X", "socket.timeout.ms=1000", "-X", "ssl.key.pem=hunter2"]);
    command
        .env("TICKLAKE_KAFKA__SASL_OAUTHBEARER_CLIENT_SECRET", "hunter2")
        .env("TICKLAKE_KAFKA__LOG_LEVEL", "7");
    let output = command.output().expect("it starts");
    let text = out(&output);
    for line in [
        "kafka.\"security.protocol\" = \"SASL_SSL\"",
        "kafka.\"sasl.username\" = \"me\"",
        "kafka.\"sasl.password\" = \"********\"",
        "kafka.\"ssl.key.pem\" = \"********\"",
        "kafka.\"sasl.oauthbearer.client.secret\" = \"********\"",
        "kafka.\"socket.timeout.ms\" = \"1000\"",
        "kafka.log_level = \"7\"",
    ] {
        assert!(text.contains(line), "{line}:\n{text}\n{}", err(&output));
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn what_config_prints_is_a_file_of_settings() {
    let home = folder();
    let flags =
        ["-X", "sasl.username=a\"b", "--catalog", "sqlite:other.db", "--log-level", "ticklake=debug,warn"];
    let printed = done(home.path(), &[&["config"], &flags[..]].concat());
    fs::write(home.path().join("printed.toml"), &printed).unwrap();
    let again = done(home.path(), &["--config", "printed.toml", "config"]);
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.rsplit_once(" # ").expect(line).0.trim_end().to_owned()).collect()
    };
    assert_eq!(values(&printed), values(&again));
    assert!(again.contains("\"ticklake=debug,warn\""), "{again}");
}

#[test]
fn the_example_shows_every_setting_with_its_default() {
    let home = folder();
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/ticklake.example.toml")).unwrap();
    // As it is, it changes nothing.
    fs::write(home.path().join("as-it-is.toml"), &example).unwrap();
    let printed = done(home.path(), &["--config", "as-it-is.toml", "config"]);
    assert!(!printed.contains("as-it-is.toml"), "{printed}");

    // A '#' before a letter is a setting; before a blank it is prose.
    let settings: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(home.path().join("all.toml"), settings).unwrap();
    let all = done(home.path(), &["--config", "all.toml", "config"]);
    let without_default = [
        "ingest.topics",
        "ingest.table",
        "ingest.location",
        "ingest.group",
        "ingest.metrics",
        "kafka.\"",
        "aws.",
        "athena.database",
        "athena.output",
        "athena.endpoint",
        "glue.",
        "query.spill_folder",
        "s3.endpoint",
        "s3.kms_key",
        "shell.history",
        "s3.storage_class",
    ];
    for line in done(home.path(), &["config"]).lines() {
        let (line, _) = line.rsplit_once(" # ").expect(line);
        let key = line.trim_start_matches("# ").split(' ').next().expect(line);
        let shown =
            all.lines().find(|shown| shown.starts_with(key)).unwrap_or_else(|| panic!("{key} is not shown"));
        assert!(shown.ends_with("# file all.toml"), "{key} is not in the example: {shown}");
        if !without_default.iter().any(|other| key.starts_with(other)) {
            assert_eq!(shown.rsplit_once(" # ").map(|(value, _)| value.trim_end()), Some(line.trim_end()));
        }
    }
}

#[test]
fn a_table_is_made_listed_shown_and_forgotten() {
    let home = folder();
    let run = |args: &[&str]| done(home.path(), args);
    fs::write(home.path().join("ticks.sql"), DDL).unwrap();
    assert!(fails(&mut ticklake(home.path(), &["table", "list"]), 1).contains("sqlite:ticklake.db"));
    let made = run(&["table", "create", "ticks.sql"]);
    assert!(
        made.starts_with("market.ticks is made, at file:///") && made.ends_with("/lake/ticks/\n"),
        "{made}"
    );
    assert_eq!(run(&["table", "list"]), "market.ticks\n");
    assert_eq!(run(&["table", "list", "other"]), "");
    assert_eq!(run(&["table", "partitions", "market.ticks"]), "");

    // What is shown makes the same table again.
    let shown = run(&["table", "show", "market.ticks"]);
    fs::write(home.path().join("shown.sql"), &shown).unwrap();
    let twice = fails(&mut ticklake(home.path(), &["table", "create", "shown.sql"]), 1);
    assert!(twice.contains("market.ticks") && twice.contains("sqlite:ticklake.db"), "{twice}");
    assert!(run(&["table", "drop", "market.ticks"]).contains("its files stay"));
    run(&["table", "create", "shown.sql"]);
    assert_eq!(run(&["table", "show", "market.ticks"]), shown);

    // Another catalog knows nothing of it.
    let other = ["--catalog", "sqlite:other.db", "table", "show", "market.ticks"];
    assert!(fails(&mut ticklake(home.path(), &other), 1).contains("sqlite:other.db"));
    run(&["table", "drop", "market.ticks"]);
    fails(&mut ticklake(home.path(), &["table", "drop", "market.ticks"]), 1);
}

#[test]
fn a_ddl_that_is_wrong_names_its_file() {
    let home = folder();
    let create = |text: &str| {
        fs::write(home.path().join("wrong.sql"), text).unwrap();
        fails(&mut ticklake(home.path(), &["table", "create", "wrong.sql"]), 2)
    };
    assert!(create("CREATE TABLE").contains("wrong.sql"));
    let unknown = create(&DDL.replace("ticklake.format.ts", "ticklake.fromat.ts"));
    assert!(unknown.contains("wrong.sql") && unknown.contains("ticklake.fromat.ts"), "{unknown}");
    let nowhere = create(&DDL.replace("LOCATION 'lake/ticks/'", ""));
    assert!(nowhere.contains("--location"), "{nowhere}");
}

#[test]
fn sql_answers_on_stdout_in_the_format_asked_for() {
    let home = folder_with_table();
    let sql = "SELECT 1 AS one, 'a' AS two";
    let query = |args: &[&str]| done(home.path(), &[&["query"], args].concat());
    assert_eq!(query(&[sql]), "one,two\n1,a\n");
    assert_eq!(query(&[sql, "--format", "jsonl"]), "{\"one\":1,\"two\":\"a\"}\n");
    fs::write(home.path().join("q.sql"), sql).unwrap();
    assert_eq!(query(&["-f", "q.sql"]), "one,two\n1,a\n");
}

#[test]
fn statements_come_from_a_file_or_a_pipe_and_stop_at_the_first_error() {
    let home = folder_with_table();
    let sql = "SELECT 1 AS a; -- no; statement\n\nSELECT ';' AS b;\nSELECT\n  nope;\nSELECT 4 AS d;\n";
    fs::write(home.path().join("q.sql"), sql).expect("the statements are written");
    let piped = || {
        let mut command = ticklake(home.path(), &["query"]);
        command.stdin(fs::File::open(home.path().join("q.sql")).expect("it is there"));
        command
    };
    for mut command in [ticklake(home.path(), &["query", "-f", "q.sql"]), piped()] {
        let output = command.output().expect("it starts");
        assert_eq!((output.status.code(), out(&output)), (Some(1), "a\n1\n\nb\n;\n"));
        let error = err(&output);
        assert!(error.starts_with("error: ") && error.contains("(statement: 3, line: 4)\n"), "{error}");
        assert!(error.ends_with("\n  5 |   nope\n    |   ^\n"), "{error}");
    }
}

#[test]
fn a_value_is_filled_in_and_never_run() {
    let home = folder_with_table();
    let query = |args: &[&str]| done(home.path(), &[&["query"], args].concat());
    let asked = query(&["--param", "a=x' || 'y", "--param", "n=-2", "SELECT :a AS a, 1 -:n AS n, ':a' AS t"]);
    assert_eq!(asked, "a,n,t\nx' || 'y,3,:a\n");
    let missing = fails(&mut ticklake(home.path(), &["query", "SELECT :b"]), 2);
    assert!(missing.contains("give --param b=VALUE"), "{missing}");
}

#[test]
fn an_answer_in_a_file_is_whole_or_not_there() {
    let home = folder_with_table();
    // SQLite's own files beside the catalog come and go.
    let files = || -> std::collections::BTreeSet<String> {
        let names =
            fs::read_dir(home.path()).expect("a folder").map(|entry| entry.expect("a file").file_name());
        let names = names.map(|name| name.into_string().expect("a text"));
        names.filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm")).collect()
    };
    done(home.path(), &["query", "-o", "a.jsonl", "SELECT 1 AS a; SELECT 2 AS b"]);
    let written = fs::read_to_string(home.path().join("a.jsonl")).expect("it is there");
    assert_eq!(written, "{\"a\":1}\n{\"b\":2}\n");
    done(home.path(), &["query", "-o", "a.parquet", "SELECT 1 AS a"]);
    assert!(fs::read(home.path().join("a.parquet")).expect("it is there").ends_with(b"PAR1"));
    let before = files();
    let late = "SELECT 10 / (3 - value) AS x FROM generate_series(1, 10)";
    fails(&mut ticklake(home.path(), &["query", "-o", "b.csv", late]), 1);
    fails(&mut ticklake(home.path(), &["query", "-o", "b.parquet", "SELECT 1; SELECT 2"]), 2);
    fails(&mut ticklake(home.path(), &["query", "-o", "no/folder/b.csv", "SELECT 1"]), 1);
    assert_eq!(files(), before);
}

#[test]
fn what_may_read_too_much_is_not_run() {
    let home = crate::shell::lake();
    let query = |args: &[&str]| done(home.path(), &[&["query"], args].concat());
    let sql = "SELECT sum(size) AS total FROM market.ticks WHERE date = '2026-11-22'";
    let explained = query(&["--explain", "--plan", sql]);
    let head: Vec<&str> = explained.lines().take(3).collect();
    assert_eq!(head, ["market.ticks", "  partitions  2 of 3", "  files       2"]);
    assert!(explained.contains("\nin Athena     $0.000048 at most for "), "{explained}");
    assert!(explained.contains("TableScan: market.ticks projection=[size]"), "{explained}");

    let refused = fails(&mut ticklake(home.path(), &["query", "--max-bytes", "10", sql]), 1);
    assert!(refused.contains("not run") && refused.contains("max bytes: 10 B"), "{refused}");
    assert_eq!(query(&["--max-bytes", "1kB", sql]), "total\n100\n");
    // The same table has more than that in all of its days.
    let all = "SELECT * FROM market.ticks";
    fails(&mut ticklake(home.path(), &["query", "--max-bytes", "300", all]), 1);
    let output = ticklake(home.path(), &["query", "--max-bytes", "much", all]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("write 10GiB or 500MB"), "{}", err(&output));
}

#[test]
fn the_engine_takes_as_much_as_it_is_given() {
    let home = folder_with_table();
    let run = |args: &[&str]| ticklake(home.path(), &[&["query"], args].concat());
    let plan = |args: &[&str]| {
        let sql = "EXPLAIN SELECT value % 5 AS rest, count(*) FROM generate_series(1, 10) GROUP BY 1";
        let output = run(&[args, &[sql]].concat()).output().expect("it starts");
        assert!(output.status.success(), "{}", err(&output));
        out(&output).to_owned()
    };
    fs::write(home.path().join("ticklake.toml"), "[query]\nstreams = 3\n").expect("the settings");
    assert!(plan(&[]).contains("], 3)"), "{}", plan(&[]));
    assert!(plan(&["--streams", "5"]).contains("], 5)"));
    let variables = [("TICKLAKE_QUERY__SPILL", "2MiB"), ("TICKLAKE_QUERY__SPILL_FOLDER", "/spilled")];
    let set = Config::load(None, variables.map(|(name, value)| (name.into(), value.into())), Vec::new());
    let limits = set.expect("they are settings").settings.query.limits();
    assert_eq!((limits.spill_bytes, limits.spill_folder), (2 << 20, Some("/spilled".into())));
    let texts = "SELECT length(array_to_string(array_agg(repeat('x', 400) || value), '')) AS sum FROM generate_series(1, 10000)";
    assert_eq!(done(home.path(), &["query", texts]), "sum\n4038894\n");
    let refused = fails(&mut run(&["--memory", "1MiB", texts]), 1);
    assert!(refused.contains("raise: query.memory, query.spill"), "{refused}");
    let refused = fails(&mut run(&["--streams", "1025", texts]), 2);
    assert!(refused.contains("1024"), "{refused}");
    let refused = fails(&mut run(&["--streams", "2", "--engine", "athena", texts]), 2);
    assert!(refused.contains("--streams and --memory are this process's"), "{refused}");
}

#[test]
fn a_watch_asks_again_until_ctrl_c() {
    let home = folder_with_table();
    let mut child = piped(home.path(), &["query", "--watch", "50ms", "SELECT 1 AS a"]);
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let first: Vec<String> = lines.take(6).map(|line| line.expect("UTF-8")).collect();
    assert_eq!(first, ["a", "1", "", "a", "1", ""]);
    // The pipe is closed, which ends it as it ends any filter.
    assert_eq!(child.wait().expect("it ends").code(), Some(0));

    let mut child = piped(home.path(), &["query", "--watch", "50ms", "--format", "jsonl", "SELECT 1 AS a"]);
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a first answer");
    signal(&child, "-INT");
    let rest = out.lines().map(|line| line.expect("UTF-8"));
    assert!(rest.chain([line.trim_end().to_owned()]).all(|line| line == "{\"a\":1}"));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), err(&output)), (Some(0), ""));
}

#[test]
fn a_preview_is_some_rows_of_a_table() {
    let home = folder_with_table();
    assert_eq!(done(home.path(), &["preview", "market.ticks"]), "ts,price,date,symbol\n");
    fails(&mut ticklake(home.path(), &["preview", "market.nothing"]), 1);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = folder_with_table();
    let endless = "SELECT * FROM generate_series(1, 100000000)";
    let mut child = piped(home.path(), &["query", endless]);
    child.stdout.take().expect("a pipe").read_exact(&mut [0; 1]).expect("a first byte");
    // The pipe is closed here.
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), err(&output)), (Some(0), ""));
}

#[test]
fn a_signal_ends_a_query_even_while_nobody_reads() {
    let home = folder_with_table();
    let mut child = piped(home.path(), &["query", "SELECT * FROM generate_series(1, 100000000)"]);
    let mut pipe = child.stdout.take().expect("a pipe");
    pipe.read_exact(&mut [0; 1]).expect("a first byte");
    signal(&child, "-INT");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), err(&output)), (Some(130), "error: interrupted by SIGINT\n"));
}

#[test]
fn the_second_signal_ends_a_job_that_drains() {
    let home = folder();
    let args = ["produce", "--topic", "t", "--simulate", "--brokers", "127.0.0.1:1"];
    let mut child =
        piped(home.path(), &[&args[..], &["--log-level", "debug", "-X", "debug=broker"]].concat());
    let mut lines =
        BufReader::new(child.stderr.take().expect("a pipe")).lines().map(|line| line.expect("UTF-8"));
    // Signals are listened for before librdkafka is asked for anything.
    lines.find(|line| line.contains("librdkafka")).expect("it looks for the broker");
    signal(&child, "-INT");
    lines.find(|line| line.contains("stopping") && line.contains("SIGINT")).expect("it has heard");
    signal(&child, "-TERM");
    assert_eq!(lines.last().as_deref(), Some("error: interrupted by SIGTERM"));
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}

#[test]
fn logs_are_on_stderr_and_librdkafkas_are_in_them() {
    let home = folder();
    let args = ["produce", "--topic", "t", "--simulate", "--count", "1", "--brokers", "127.0.0.1:1"];
    let json = ["--log-format", "json", "--log-level", "debug", "-X", "debug=broker"];
    let output = ticklake(home.path(), &[&args[..], &json].concat()).output().expect("it starts");
    assert_eq!((output.status.code(), out(&output)), (Some(1), ""));
    let (logs, error): (Vec<&str>, Vec<&str>) = err(&output).lines().partition(|line| line.starts_with('{'));
    assert_eq!(error.len(), 1, "{error:?}");
    assert!(error[0].starts_with("error: ") && error[0].contains("127.0.0.1:1"), "{error:?}");
    let of_librdkafka = |line: &&str| {
        let event: serde_json::Value = serde_json::from_str(line).expect(line);
        event.to_string().contains("librdkafka")
    };
    assert!(logs.iter().any(of_librdkafka), "{logs:?}");
}

#[test]
fn a_property_that_librdkafka_does_not_know_is_wrong_usage() {
    let home = folder();
    let args =
        ["produce", "--topic", "t", "--simulate", "--brokers", "127.0.0.1:1", "-X", "no.such.property=1"];
    let error = fails(&mut ticklake(home.path(), &args), 2);
    assert!(error.contains("no.such.property"), "{error}");
}

/// A cluster of the test's own with a topic `ticks`, which holds these records.
fn cluster_with(values: &[&str]) -> ticklake::kafka::Cluster {
    let cluster = ticklake::kafka::Cluster::start(&[("ticks", 1)]).expect("a cluster");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let producer = ticklake::kafka::Producer::new(&cluster.connection(), "ticks").expect("a producer");
        for value in values {
            producer.send(None, value.as_bytes()).await.expect("room in the queue");
        }
        producer.flush(std::time::Duration::from_secs(30)).await.expect("delivery");
    });
    cluster
}

#[test]
fn a_pointer_that_matches_nothing_is_warned_of_once() {
    let home = folder();
    let misspelled = DDL.replace("identity(/symbol)", "identity(/symbl)");
    fs::write(home.path().join("ticks.sql"), misspelled).expect("the DDL is written");
    let tick = r#"{"symbol":"AAPL","ts":1732300800123,"price":1}"#;
    let cluster = cluster_with(&[tick, tick]);
    let brokers = cluster.connection().brokers;
    let args = ["ingest", "--brokers", &brokers, "--topic", "ticks", "--table", "ticks.sql", "--until-end"];

    let output = ticklake(home.path(), &args).output().expect("it starts");

    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let warned: Vec<&str> = err(&output).lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains(r#"["symbol"]"#), "{warned:?}");
}

#[test]
fn a_property_that_would_lose_or_double_records_is_refused() {
    let home = folder_with_table();
    for property in
        ["isolation.level=read_uncommitted", "enable.auto.commit=true", "auto.offset.reset=latest"]
    {
        let args = ["ingest", "--topic", "ticks", "--table", "market.ticks", "-X", property];
        let error = fails(&mut ticklake(home.path(), &args), 2);
        assert!(error.contains(property.split('=').next().expect("a name")), "{error}");
    }
}

/// With nothing installed: rows grow while it runs, and the command that it shows at the end finds all that was sent.
#[test]
fn the_demo_shows_rows_growing_and_how_to_query_them() {
    let home = folder();
    let output = ticklake(home.path(), &["demo", "--seconds", "12"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(err(&output), "", "nothing is between the tables");
    let shown = out(&output);
    let aapl: Vec<u64> = shown
        .lines()
        .filter_map(|line| line.strip_prefix(" AAPL   |")?.split('|').next()?.trim().parse().ok())
        .collect();
    assert!(aapl.len() >= 2 && aapl.is_sorted() && aapl.first() < aapl.last(), "{aapl:?} in {shown}");

    let sent = shown.split("at the end: ").nth(1).and_then(|end| end.split(' ').next()).expect("a count");
    assert!(shown.contains(&format!("{sent} ticks sent, {sent} rows in ")), "{shown}");
    assert!(shown.contains("--catalog sqlite:ticklake-demo/catalog.db query \"SELECT count(*)"), "{shown}");
    let query =
        ["--catalog", "sqlite:ticklake-demo/catalog.db", "query", "SELECT count(*) FROM market.ticks"];
    assert_eq!(done(home.path(), &query).lines().last(), Some(sent));
}

#[test]
fn a_log_level_that_is_none_is_refused() {
    let home = folder();
    for level in ["verbose", "info,nonsense"] {
        assert!(
            fails(ticklake(home.path(), &["table", "list"]).args(["--log-level", level]), 2).contains(level)
        );
    }
}

#[test]
fn a_property_without_a_value_is_refused_and_not_repeated() {
    let home = folder();
    let error = fails(&mut ticklake(home.path(), &["config", "-X", "sasl.password geheim"]), 2);
    assert!(error.contains("sasl.password") && !error.contains("geheim"), "{error}");
}

#[test]
fn a_ddl_is_inferred_from_a_file_and_made() {
    let home = folder();
    let lines = [
        r#"{"symbol":"AAPL","ts":1732300800123,"price":229.87,"size":100}"#,
        r#"{"symbol":"MSFT","ts":1732300800124,"price":410.1,"size":null}"#,
        "{",
    ];
    fs::write(home.path().join("feed.ndjson"), lines.join("\n")).expect("the samples are written");
    let infer = ["table", "infer", "--name", "market.feed", "feed.ndjson"];
    let output = ticklake(home.path(), &infer).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(err(&output), "3 messages: 2 rows, 0 skipped, 1 rejected\n  1 malformed\n");
    let ddl = out(&output);
    assert!(ddl.contains("`price` decimal(18,2) COMMENT '229.87 to 410.1'"), "{ddl}");
    // No catalog is needed to look, and what is printed is a table as it is.
    assert!(!home.path().join("ticklake.db").exists());
    fs::write(home.path().join("feed.sql"), ddl).expect("the DDL is written");
    done(home.path(), &["table", "create", "feed.sql", "--location", "lake/feed"]);
    assert_eq!(done(home.path(), &["table", "list"]), "market.feed\n");

    let check = done(home.path(), &[&infer[..], &["--check"]].concat());
    assert_eq!(check, "3 messages: 2 rows, 0 skipped, 1 rejected\n  1 malformed\n");
    let error = fails(&mut ticklake(home.path(), &["table", "infer", "none.ndjson"]), 2);
    assert!(error.contains("none.ndjson"), "{error}");
    fs::write(home.path().join("empty"), "").expect("a file");
    let error = fails(&mut ticklake(home.path(), &["table", "infer", "empty"]), 2);
    assert!(error.contains("no sample is a record"), "{error}");
}

#[test]
fn a_ddl_is_inferred_from_a_topic_whose_group_does_not_notice() {
    let cluster = ticklake::kafka::Cluster::start(&[("feed", 2), ("empty", 1)]).expect("a cluster");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let tick = |seq: i64| format!(r#"{{"symbol":"AAPL","ts":{},"seq":{seq}}}"#, crate::jobs::NOON + seq);
    runtime.block_on(crate::jobs::send(&cluster, "feed", (0..200).map(tick)));
    let brokers = cluster.connection().brokers;
    let home = folder();
    let infer = |topic, sample| {
        ["--brokers", &brokers, "table", "infer", "--topic", topic, "--sample", sample].map(str::to_owned)
    };
    for (sample, said) in [("1000", "200 messages: 200 rows"), ("20", "20 messages: 20 rows")] {
        let all = infer("feed", sample);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let output = ticklake(home.path(), &all).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(err(&output).ends_with(&format!("{said}, 0 skipped, 0 rejected\n")), "{}", err(&output));
        assert!(out(&output).contains("'ticklake.format.ts' = 'epoch_ms'"), "{}", out(&output));
    }
    for (topic, said) in [("empty", "the topic holds no records"), ("nothing", "the topic is not there")] {
        let all = infer(topic, "10");
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let output = ticklake(home.path(), &all).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
        assert!(err(&output).contains(said), "{}", err(&output));
    }
}

#[test]
fn a_check_says_what_a_job_needs_before_it_starts() {
    let cluster = ticklake::kafka::Cluster::start(&[("feed", 2), ("empty", 1)]).expect("a cluster");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let tick = |seq: i64| {
        let price = if seq % 10 == 0 { "\"soon\"" } else { "1.5" };
        format!(r#"{{"symbol":"AAPL","ts":{},"price":{price}}}"#, crate::jobs::NOON + seq)
    };
    runtime.block_on(crate::jobs::send(&cluster, "feed", (0..100).map(tick)));
    let brokers = cluster.connection().brokers;
    let home = folder_with_table();
    let check = |args: &[&str]| {
        let all = [&["--brokers", &brokers, "check", "--table", "ticks.sql"], args].concat();
        ticklake(home.path(), &all).output().expect("it starts")
    };

    let output = check(&["--topic", "feed"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    let said = out(&output);
    for line in [
        "good  topic     feed: 2 partitions, 100 records",
        "good  group     ticklake-market.ticks of feed: nothing is committed yet, 100 records to read",
        "look  records   of the newest, 90 are rows, 0 are skipped, 10 are rejected",
        "10 are not_a_number for column price",
        "can be written, read and listed, and keeps what is there",
        "good  catalog   market.ticks is there, with the DDL's columns",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    // No group was joined, nothing was written but the probe.
    let probe = home.path().join("lake/ticks/_ticklake/probe");
    assert!(
        probe.is_file() && fs::read_dir(home.path().join("lake/ticks")).expect("it is there").count() == 1
    );

    // One thing that is bad does not hide the next.
    fs::write(home.path().join("file"), "no folder").expect("a file");
    let other = DDL.replace("price decimal(18,4)", "price decimal(18,4), size bigint");
    fs::write(home.path().join("ticks.sql"), other).expect("the DDL is written");
    let output = check(&["--topic", "empty", "--topic", "nothing", "--location", "file/lake", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    let findings: Vec<serde_json::Value> = serde_json::from_str(out(&output)).expect("JSON");
    let of = |what: &str, verdict: &str| {
        findings.iter().filter(|f| f["what"] == what && f["verdict"] == verdict).count()
    };
    assert_eq!((of("topic", "good"), of("topic", "bad")), (1, 1), "{findings:?}");
    assert_eq!(
        (of("records", "doubtful"), of("store", "bad"), of("catalog", "bad")),
        (1, 1, 1),
        "{findings:?}"
    );
    assert!(out(&output).contains("the DDL alone has size bigint"), "{}", out(&output));
    assert!(err(&output).contains("the job cannot run as it is"), "{}", err(&output));

    let output = check(&[]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
}
