//! A web page in place of S3 is an error, as a user meets it; no answer of it is taken for an empty list.

use std::process::{Command, Stdio};

use axum::Router;
use axum::response::Html;
use ticklake::catalog::{Catalog, LocalCatalog, Partition};
use ticklake::table::Ddl;
use tokio::net::TcpListener;

const TICKS: &str = "CREATE EXTERNAL TABLE `market`.`ticks` (`price` decimal(18,4))
    PARTITIONED BY (`date` string) STORED AS PARQUET LOCATION 's3://lake/ticks/'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_no_empty_list() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let site = Router::new().fallback(|| async { Html("<html><body>Welcome</body></html>") });
    tokio::spawn(async move { axum::serve(listener, site).await.unwrap() });
    let home = tempfile::tempdir().unwrap();
    let catalog = LocalCatalog::open(home.path().join("ticklake.db")).unwrap();
    let ddl = Ddl::parse(TICKS).unwrap();
    catalog.create_table(&ddl).await.unwrap();
    let partition =
        Partition { values: vec!["2026-11-22".into()], location: "s3://lake/ticks/date=2026-11-22/".into() };
    catalog.create_partitions(&ddl.name, &[partition]).await.unwrap();

    let mut command = Command::new(env!("CARGO_BIN_EXE_ticklake"));
    command
        .args(["query", "SELECT count(*) FROM market.ticks"])
        .env_clear()
        .envs([("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_REGION", "us-east-1")])
        .env("TICKLAKE_S3__ENDPOINT", endpoint)
        .current_dir(home.path())
        .stdin(Stdio::null());
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{error}");
    assert!(error.contains("a web page came in place of a list"), "{error}");
}
