//! The producer and its sources, over the in-process cluster, read back by a plain consumer.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tempfile::NamedTempFile;
use ticklake::error::{Kind, chain};
use ticklake::kafka::{Admin, Cluster, Connection, Producer};
use ticklake::produce::{self, Input, Job, MissingTopic, Progress, Repeat, Simulation, Source, Summary};
use tokio::sync::watch;
use tokio::time::Instant;

/// Longer than anything takes here; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A record as it is in the topic: key and value.
type Record = (Option<String>, String);

fn job(connection: Connection, source: Source) -> Job {
    Job {
        connection,
        topic: "ticks".into(),
        missing_topic: MissingTopic::Refuse,
        source,
        key: None,
        rate: None,
        count: None,
        repeat: Repeat::Once,
        drain_deadline: Duration::from_secs(5),
    }
}

async fn run(job: Job) -> ticklake::Result<Summary> {
    let (_stop, stopped) = watch::channel(false);
    produce::run(job, stopped, watch::channel(Progress::default()).0).await
}

fn file(contents: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(contents.as_ref()).unwrap();
    file
}

fn csv(file: &NamedTempFile) -> Source {
    Source::Csv(file.path().to_owned())
}

fn ndjson(file: &NamedTempFile) -> Source {
    Source::Ndjson(Input::File(file.path().to_owned()))
}

/// All records of a partition, in their order.
fn records(connection: &Connection, partition: i32) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &connection.brokers)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let (_, end) = consumer.fetch_watermarks("ticks", partition, PATIENCE).unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset("ticks", partition, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut records = Vec::new();
    while (records.len() as i64) < end {
        let message = consumer.poll(PATIENCE).expect("a record in time").expect("no error");
        records.push((message.key().map(text), text(message.payload().unwrap())));
    }
    records
}

async fn records_sent(cluster: &Cluster) -> Vec<Record> {
    let connection = cluster.connection();
    tokio::task::spawn_blocking(move || records(&connection, 0)).await.unwrap()
}

fn record(key: Option<&str>, value: &str) -> Record {
    (key.map(str::to_owned), value.to_owned())
}

/// A port of this machine on which nobody listens.
fn nobody() -> Connection {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let brokers = listener.local_addr().unwrap().to_string();
    let properties = [("socket.timeout.ms".to_owned(), "1000".to_owned())].into();
    Connection { brokers, properties, ..Connection::default() }
}

#[tokio::test]
async fn csv_lines_become_objects_with_numbers_by_their_own_text() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let file = file(
        "\u{feff}Index,Date,Adj Close,\"Vol\"\"ume\",Note\r\n\
         HSI,1986-12-31,2568.300049,0.0,\r\n\
         000001.SS,007,-0.10,1e3,\"a, \"\"b\"\"\nc\"\r\n\
         ,1.,+5,NaN,true\r\n",
    );
    let summary =
        run(Job { key: Some("Index".into()), ..job(cluster.connection(), csv(&file)) }).await.unwrap();
    let expected = [
        record(
            Some("HSI"),
            r#"{"Index":"HSI","Date":"1986-12-31","Adj Close":2568.300049,"Vol\"ume":0.0,"Note":null}"#,
        ),
        record(
            Some("000001.SS"),
            r#"{"Index":"000001.SS","Date":"007","Adj Close":-0.10,"Vol\"ume":1e3,"Note":"a, \"b\"\nc"}"#,
        ),
        record(None, r#"{"Index":null,"Date":"1.","Adj Close":"+5","Vol\"ume":"NaN","Note":"true"}"#),
    ];
    assert_eq!(records_sent(&cluster).await, expected);
    assert_eq!((summary.sent, summary.delivered, summary.failed), (3, 3, 0));
    assert_eq!(summary.bytes, expected.iter().map(|(_, value)| value.len() as u64).sum::<u64>());
}

#[tokio::test]
async fn the_sample_of_the_reference_csv_is_sent_whole() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let sample = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas/samples/indexProcessed.csv");
    let text = std::fs::read_to_string(&sample).unwrap();
    let job = Job { key: Some("Index".into()), ..job(cluster.connection(), Source::Csv(sample)) };
    run(job).await.unwrap();
    let sent = records_sent(&cluster).await;
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(sent.len(), lines.len());
    assert!(lines.len() >= 2000);
    for ((key, value), line) in sent.iter().zip(lines) {
        let fields: Vec<_> = line.split(',').collect();
        let [index, date, open, high, low, close, adj_close, volume, close_usd] = fields[..] else {
            panic!("{line}");
        };
        assert_eq!(key.as_deref(), Some(index));
        assert_eq!(
            *value,
            format!(
                r#"{{"Index":"{index}","Date":"{date}","Open":{open},"High":{high},"Low":{low},"Close":{close},"Adj Close":{adj_close},"Volume":{volume},"CloseUSD":{close_usd}}}"#
            )
        );
    }
}

#[tokio::test]
async fn ndjson_lines_are_sent_as_they_are() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let file = file("{\"s\": \"AAPL\",  \"p\":1.50}\r\n\n   \n{\"p\":2}\nnot json\n{\"s\":7}");
    run(Job { key: Some("s".into()), ..job(cluster.connection(), ndjson(&file)) }).await.unwrap();
    let expected = [
        record(Some("AAPL"), "{\"s\": \"AAPL\",  \"p\":1.50}"),
        record(None, "{\"p\":2}"),
        record(None, "not json"),
        record(Some("7"), "{\"s\":7}"),
    ];
    assert_eq!(records_sent(&cluster).await, expected);
}

#[tokio::test]
async fn simulated_ticks_are_keyed_by_symbol_and_the_seed_decides_them() {
    let one = Cluster::start(&[("ticks", 1)]).unwrap();
    let other = Cluster::start(&[("ticks", 1)]).unwrap();
    for cluster in [&one, &other] {
        let simulated = job(cluster.connection(), Source::Simulate(Simulation::default()));
        let summary = run(Job { count: Some(3000), ..simulated }).await.unwrap();
        assert_eq!((summary.sent, summary.delivered), (3000, 3000));
    }
    let sent = records_sent(&one).await;
    assert_eq!(sent, records_sent(&other).await);
    for (key, value) in sent {
        let tick: serde_json::Value = serde_json::from_str(&value).unwrap();
        assert_eq!(key.as_deref(), tick["symbol"].as_str());
    }
}

#[tokio::test]
async fn a_key_stays_in_its_partition_and_keeps_its_order() {
    let cluster = Cluster::start(&[("ticks", 4)]).unwrap();
    let simulated = job(cluster.connection(), Source::Simulate(Simulation::default()));
    run(Job { count: Some(5000), ..simulated }).await.unwrap();
    let connection = cluster.connection();
    let partitions = tokio::task::spawn_blocking(move || [0, 1, 2, 3].map(|p| records(&connection, p)));
    let mut home = HashMap::new();
    let mut count = 0;
    for (partition, records) in partitions.await.unwrap().into_iter().enumerate() {
        let mut last = 0;
        for (key, value) in records {
            assert_eq!(*home.entry(key).or_insert(partition), partition);
            let tick: serde_json::Value = serde_json::from_str(&value).unwrap();
            let seq = tick["seq"].as_u64().unwrap();
            assert!(last < seq);
            last = seq;
            count += 1;
        }
    }
    assert_eq!(count, 5000);
}

#[tokio::test]
async fn a_repeated_file_stops_at_the_count() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let file = file("a\nb\nc\n");
    let repeated =
        Job { count: Some(7), repeat: Repeat::Forever, ..job(cluster.connection(), ndjson(&file)) };
    assert_eq!(run(repeated).await.unwrap().delivered, 7);
    let values: Vec<_> = records_sent(&cluster).await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["a", "b", "c", "a", "b", "c", "a"]);
}

#[tokio::test]
async fn a_stop_ends_an_endless_feed_with_all_that_was_sent_delivered() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let (stop, stopped) = watch::channel(false);
    let (progress, mut seen) = watch::channel(Progress::default());
    let simulated = job(cluster.connection(), Source::Simulate(Simulation::default()));
    let running = tokio::spawn(produce::run(Job { rate: Some(2000.0), ..simulated }, stopped, progress));
    tokio::time::timeout(PATIENCE, seen.wait_for(|progress| progress.delivered > 10)).await.unwrap().unwrap();
    stop.send(true).unwrap();
    let summary = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(summary.sent, summary.delivered);
    assert_eq!(records_sent(&cluster).await.len() as u64, summary.delivered);
    assert_eq!(seen.borrow().delivered, summary.delivered);
}

/// Starts an endless feed, takes the cluster away once it flows, and waits until records are in flight that nobody
/// will confirm.
async fn cut_off(
    message_timeout_ms: &str,
    drain_deadline: Duration,
) -> (watch::Sender<bool>, tokio::task::JoinHandle<ticklake::Result<Summary>>) {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let mut connection = cluster.connection();
    connection.properties.insert("message.timeout.ms".into(), message_timeout_ms.into());
    let (stop, stopped) = watch::channel(false);
    let (progress, mut seen) = watch::channel(Progress::default());
    let simulated = job(connection, Source::Simulate(Simulation::default()));
    let endless = Job { rate: Some(2000.0), drain_deadline, ..simulated };
    let running = tokio::spawn(produce::run(endless, stopped, progress));
    let flows = seen.wait_for(|progress| progress.delivered > 10);
    tokio::time::timeout(PATIENCE, flows).await.unwrap().unwrap();
    tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
    let cut = seen.wait_for(|progress| progress.sent > progress.delivered + 1000);
    tokio::time::timeout(PATIENCE, cut).await.unwrap().unwrap();
    (stop, running)
}

#[tokio::test]
async fn a_stop_without_a_broker_gives_up_at_its_deadline_and_counts() {
    let (stop, running) = cut_off("300000", Duration::from_millis(100)).await;
    stop.send(true).unwrap();
    let summary = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert!(summary.failed >= 1000, "{summary:?}");
    assert_eq!(summary.sent, summary.delivered + summary.failed);
}

#[tokio::test]
async fn a_broker_that_goes_away_ends_the_run_with_the_counts() {
    let (_stop, running) = cut_off("2000", PATIENCE).await;
    let error = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap_err();
    let text = chain(&error);
    assert!(text.contains("records were not delivered") && text.contains("timed out"), "{text}");
}

#[tokio::test]
async fn a_broken_csv_line_is_named_and_the_lines_before_it_are_delivered() {
    let too_few = ("a,b\n1,2\n3,4\n5\n6,7\n", "has 1 fields where the header has 2");
    let too_many = ("a,b\n1,2\n3,4\n5,6,7\n", "has 3 fields where the header has 2");
    // The reader takes all that follows for one field; a quote that is closed may hold lines.
    let open = ("a,b\n1,2\n3,4\n5,\"6\n7,8\n9,\"\"\n", "is opened and never closed");
    for (text, what) in [too_few, too_many, open] {
        let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
        let file = file(text);
        let error = run(job(cluster.connection(), csv(&file))).await.unwrap_err();
        let text = chain(&error);
        assert!(text.contains(what) && text.contains("line: 4"), "{text}");
        assert!(text.contains("records delivered before it: 2"), "{text}");
        let expected = [record(None, r#"{"a":1,"b":2}"#), record(None, r#"{"a":3,"b":4}"#)];
        assert_eq!(records_sent(&cluster).await, expected);
    }
}

/// A quote within a field that does not begin with one is a character as any, also in the last line.
#[tokio::test]
async fn a_quote_within_a_csv_field_is_kept() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let file = file("a,b\n\"1\n2\",x\n3,5\" pipe");
    run(job(cluster.connection(), csv(&file))).await.unwrap();
    let expected = [record(None, r#"{"a":"1\n2","b":"x"}"#), record(None, r#"{"a":3,"b":"5\" pipe"}"#)];
    assert_eq!(records_sent(&cluster).await, expected);
}

/// As `--csv <(zcat bars.csv.gz)` gives one: it has no length and is read once.
#[tokio::test]
async fn a_csv_file_may_be_a_pipe() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, "a\n1\n2\n").unwrap()
    });
    run(job(cluster.connection(), Source::Csv(pipe))).await.unwrap();
    writer.join().unwrap();
    assert_eq!(records_sent(&cluster).await, [record(None, r#"{"a":1}"#), record(None, r#"{"a":2}"#)]);
}

#[tokio::test]
async fn a_csv_line_that_is_not_utf_8_is_named() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let file = file(b"a,b\n1,caf\xe9\n");
    let error = run(job(cluster.connection(), csv(&file))).await.unwrap_err();
    let text = chain(&error);
    assert!(text.contains("not UTF-8") && text.contains("line: 2"), "{text}");
}

#[tokio::test]
async fn sources_that_cannot_work_are_refused_before_a_broker_is_asked() {
    let empty = file("");
    let twice = file("a,a\n1,2\n");
    let good = file("a,b\n1,2\n");
    let missing = Source::Csv("/no/such/file.csv".into());
    let simulated = Source::Simulate(Simulation::default());
    let cases = [
        (job(nobody(), missing), "cannot be opened"),
        (job(nobody(), csv(&empty)), "is empty"),
        (job(nobody(), csv(&twice)), "column twice"),
        (Job { key: Some("c".into()), ..job(nobody(), csv(&good)) }, "columns: a, b"),
        (Job { key: Some("price".into()), ..job(nobody(), simulated) }, "keyed by 'symbol'"),
        (Job { rate: Some(0.0), ..job(nobody(), csv(&good)) }, "records a second"),
    ];
    for (job, what) in cases {
        let error = run(job).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{error}");
        assert!(chain(&error).contains(what), "{}", chain(&error));
    }
}

#[tokio::test]
async fn an_empty_file_is_not_repeated_for_ever() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let file = file("a,b\n");
    let empty = job(cluster.connection(), csv(&file));
    assert_eq!(run(empty.clone()).await.unwrap().sent, 0);
    let error = run(Job { repeat: Repeat::Forever, ..empty }).await.unwrap_err();
    assert!(chain(&error).contains("has no records"), "{error}");
}

#[tokio::test]
async fn a_broker_that_is_away_is_told_within_the_time_limit() {
    let connection = nobody();
    let begin = Instant::now();
    let simulated = job(connection.clone(), Source::Simulate(Simulation::default()));
    let error = run(simulated).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    assert!(error.is_retryable());
    let text = chain(&error);
    for part in ["no Kafka broker answered", &connection.brokers, "waited: 1 s", "refused"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn what_a_broker_that_went_away_did_not_confirm_is_counted() {
    let mut connection = nobody();
    connection.properties.insert("message.timeout.ms".into(), "1500".into());
    let producer = Producer::new(&connection, "ticks").unwrap();
    for i in 0..100 {
        producer.send(None, format!("{{\"i\":{i}}}").as_bytes()).await.unwrap();
    }
    let error = producer.flush(producer.flush_limit()).await.unwrap_err();
    let text = chain(&error);
    for part in
        ["100 of 100 records were not delivered", &connection.brokers, "timed out", "× 100", "refused"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let counts = producer.counts();
    assert_eq!((counts.sent, counts.delivered, counts.failed), (100, 0, 100));
    assert!(producer.send(None, b"one more").await.is_err());
}

#[tokio::test]
async fn what_is_not_confirmed_at_the_flushs_limit_is_given_up_and_counted() {
    let producer = Producer::new(&nobody(), "ticks").unwrap();
    producer.send(Some(b"k"), b"v").await.unwrap();
    let begin = Instant::now();
    let error = producer.flush(Duration::from_millis(50)).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(chain(&error).contains("1 of 1 records were not delivered"), "{}", chain(&error));
}

#[tokio::test]
async fn a_full_queue_holds_back_and_drops_nothing() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let mut connection = cluster.connection();
    connection.properties.insert("queue.buffering.max.messages".into(), "50".into());
    let simulated = job(connection, Source::Simulate(Simulation::default()));
    let summary = run(Job { count: Some(2000), ..simulated }).await.unwrap();
    assert_eq!((summary.sent, summary.delivered, summary.failed), (2000, 2000, 0));
    assert_eq!(records_sent(&cluster).await.len(), 2000);
}

#[tokio::test]
async fn a_record_that_is_too_large_is_an_error() {
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let file = file(format!("small\n{}\n", "x".repeat(2_000_000)));
    let error = run(job(cluster.connection(), ndjson(&file))).await.unwrap_err();
    let text = chain(&error);
    for part in ["message.max.bytes", "record bytes: 2000000", "records delivered before it: 1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn settings_that_give_up_delivery_are_refused_under_each_of_their_names() {
    let simulated = || Source::Simulate(Simulation::default());
    let cluster = Cluster::start(&[("ticks", 1)]).unwrap();
    let settings = [
        ("acks", "1"),
        ("request.required.acks", "0"),
        ("enable.idempotence", "false"),
        ("delivery.timeout.ms", "0"),
    ];
    for (name, value) in settings {
        let mut connection = cluster.connection();
        connection.properties.insert(name.into(), value.into());
        let error = run(job(connection, simulated())).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{name}: {}", chain(&error));
    }
}

#[tokio::test]
async fn admin_tells_topics_and_never_makes_one_by_asking() {
    let cluster = Cluster::start(&[("ticks", 3)]).unwrap();
    let admin = Admin::connect(&cluster.connection()).await.unwrap();
    assert_eq!(admin.topic_partitions("ticks").await.unwrap(), Some(3));
    assert_eq!(admin.topic_partitions("absent").await.unwrap(), None);
    assert_eq!(admin.topic_partitions("absent").await.unwrap(), None);
    cluster.create_topic("absent", 2).unwrap();
    assert_eq!(admin.topic_partitions("absent").await.unwrap(), Some(2));
    let id = admin.cluster_id().await.unwrap();
    assert!(!id.is_empty());
    assert_eq!(Admin::connect(&cluster.connection()).await.unwrap().cluster_id().await.unwrap(), id);
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_refused() {
    let cluster = Cluster::start(&[]).unwrap();
    let error = run(job(cluster.connection(), Source::Simulate(Simulation::default()))).await.unwrap_err();
    assert!(chain(&error).contains("the topic is not there"), "{}", chain(&error));
}

#[tokio::test]
async fn brokers_that_do_not_make_topics_are_told_from_brokers_that_are_away() {
    // The in-process cluster does not answer the call.
    let cluster = Cluster::start(&[]).unwrap();
    let mut connection = cluster.connection();
    connection.properties.insert("socket.timeout.ms".into(), "1000".into());
    let missing_topic = MissingTopic::Create { partitions: 2, replication: -1 };
    let simulated = job(connection, Source::Simulate(Simulation::default()));
    let error = run(Job { missing_topic, ..simulated }).await.unwrap_err();
    assert!(chain(&error).contains("did not make the topic in time"), "{}", chain(&error));
}
