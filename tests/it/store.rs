//! What every store does under a `Folder`: one suite, run by each implementation; then what is the local disk's alone.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use ticklake::error::Kind;
use ticklake::store::{Create, Durability, Entry, Folder, Listing, Stores};

use crate::servers::Servers;

/// Each test of the suite takes a folder that is not there yet, as the function of the implementation's name gives it.
macro_rules! suite {
    ($implementation:ident, [$($test:ident),* $(,)?]) => {
        mod $implementation {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    let disk = tempfile::tempdir().unwrap();
                    if let Some(folder) = super::$implementation(disk.path()).await {
                        super::$test(folder).await;
                    }
                }
            )*
        }
    };
    ($($implementation:ident),* $(,)?) => {
        $(suite!($implementation, [
            an_object_is_created_once,
            of_many_creators_one_wins,
            a_tail_is_the_end_of_an_object,
            what_is_not_there_is_none,
            a_listing_is_of_one_folder_and_sorted,
            a_listing_below_is_of_all_folders,
            names_are_taken_literally,
            bad_names_are_refused,
        ]);)*
    };
}

suite!(local, local_without_fsync, memory, memory_at_its_root, s3);

async fn local(disk: &Path) -> Option<Folder> {
    open(Durability::Fsync, disk.join("new/lake").to_str().unwrap()).await
}

async fn local_without_fsync(disk: &Path) -> Option<Folder> {
    open(Durability::NoFsync, disk.join("new/lake").to_str().unwrap()).await
}

async fn memory(_: &Path) -> Option<Folder> {
    open(Durability::Fsync, "memory:///new/lake").await
}

async fn memory_at_its_root(_: &Path) -> Option<Folder> {
    open(Durability::Fsync, "memory:///").await
}

/// On a real server, where one runs.
async fn s3(disk: &Path) -> Option<Folder> {
    let servers = Servers::there()?;
    let folder = format!("{}/new/lake", disk.file_name().unwrap().to_str().unwrap());
    Some(servers.stores().open(&servers.location(&folder)).await.unwrap())
}

async fn open(durability: Durability, location: &str) -> Option<Folder> {
    Some(Stores::new(durability).open(location).await.unwrap())
}

async fn an_object_is_created_once(folder: Folder) {
    assert_eq!(folder.create("a/k.parquet", bytes("first")).await.unwrap(), Create::Created);
    assert_eq!(folder.create("a/k.parquet", bytes("second")).await.unwrap(), Create::AlreadyExists);
    assert_eq!(folder.read("a/k.parquet").await.unwrap(), Some(bytes("first")));
    assert_eq!(folder.size("a/k.parquet").await.unwrap(), Some(5));

    assert_eq!(folder.create("a/empty", Bytes::new()).await.unwrap(), Create::Created);
    assert_eq!(folder.read("a/empty").await.unwrap(), Some(Bytes::new()));
}

async fn of_many_creators_one_wins(folder: Folder) {
    let content = |writer: u8| Bytes::from(vec![writer; 100_000 + usize::from(writer)]);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..32 {
        let folder = folder.clone();
        writers.spawn(async move {
            (writer, folder.create("new/folder/k.parquet", content(writer)).await.unwrap())
        });
    }
    let outcomes = writers.join_all().await;
    let winners: Vec<u8> =
        outcomes.iter().filter(|(_, c)| *c == Create::Created).map(|(writer, _)| *writer).collect();
    let [winner] = winners[..] else { panic!("{winners:?}") };
    assert_eq!(folder.read("new/folder/k.parquet").await.unwrap(), Some(content(winner)));
    let listed = folder.folder("new/folder").unwrap().list().await.unwrap();
    assert_eq!(told(listed), [entry("k.parquet", content(winner).len())]);
}

async fn a_tail_is_the_end_of_an_object(folder: Folder) {
    folder.create("k", bytes("0123456789")).await.unwrap();
    for (length, tail) in
        [(1, "9"), (4, "6789"), (10, "0123456789"), (11, "0123456789"), (1 << 40, "0123456789")]
    {
        assert_eq!(folder.tail("k", length).await.unwrap(), Some(bytes(tail)), "{length}");
    }
}

async fn what_is_not_there_is_none(folder: Folder) {
    for _ in 0..2 {
        assert_eq!(folder.read("no/k").await.unwrap(), None);
        assert_eq!(folder.tail("no/k", 8).await.unwrap(), None);
        assert_eq!(folder.size("no/k").await.unwrap(), None);
        assert_eq!(folder.list().await.unwrap(), []);
        assert_eq!(folder.list_below().await.unwrap(), []);
        assert_eq!(folder.folder("no").unwrap().list().await.unwrap(), []);
    }
    folder.create("no/other", bytes("x")).await.unwrap();
    assert_eq!(folder.read("no/k").await.unwrap(), None);
    assert_eq!(folder.read("no").await.unwrap_or(None), None, "a folder is no object");
}

async fn a_listing_is_of_one_folder_and_sorted(folder: Folder) {
    for name in ["b", "a", "10", "9", "_hidden", ".hidden", "sub/c", "_sub/d", "a b"] {
        folder.create(name, bytes(name)).await.unwrap();
    }
    let expected = [entry("10", 2), entry("9", 1), entry("a", 1), entry("a b", 3), entry("b", 1)];
    assert_eq!(told(folder.list().await.unwrap()), expected);
    let Listing { folders, entries } = folder.look().await.unwrap();
    assert_eq!((folders, told(entries)), (vec!["sub".to_owned()], expected.to_vec()));
    assert_eq!(told(folder.folder("sub").unwrap().list().await.unwrap()), [entry("c", 5)]);
}

async fn a_listing_below_is_of_all_folders(folder: Folder) {
    for name in ["a", "_hidden", "sub/c", "sub/.hidden", "_sub/d", "sub/sub/e", "subway/f"] {
        folder.create(name, bytes(name)).await.unwrap();
    }
    assert_eq!(names(&folder).await, ["a", "sub/c", "sub/sub/e", "subway/f"]);
    assert_eq!(names(&folder.folder("sub").unwrap()).await, ["c", "sub/e"], "not what only begins like it");
}

async fn names_are_taken_literally(folder: Folder) {
    for name in NAMES {
        let inside = folder.folder(&format!("symbol={name}")).unwrap();
        assert_eq!(inside.create(name, bytes(name)).await.unwrap(), Create::Created, "{name}");
        assert_eq!(inside.location(), format!("{}symbol={name}/", folder.location()));
        assert_eq!(told(inside.list().await.unwrap()), [entry(name, name.len())]);
        assert_eq!(inside.tail(name, 1 << 10).await.unwrap(), Some(bytes(name)));
    }
    let expected: BTreeSet<String> = NAMES.iter().map(|name| format!("symbol={name}")).collect();
    assert_eq!(folder.look().await.unwrap().folders, Vec::from_iter(expected));
    let expected: BTreeSet<String> = NAMES.iter().map(|name| format!("symbol={name}/{name}")).collect();
    assert_eq!(names(&folder).await, Vec::from_iter(expected));
}

async fn bad_names_are_refused(folder: Folder) {
    for name in ["", "/a", "a/", "a//b", "..", "../a", "a/./b", "a\0b"] {
        let refused = folder.create(name, bytes("x")).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Store, "{name:?}");
        assert!(!refused.is_retryable(), "{name:?}: {refused}");
        assert!(folder.folder(name).is_err(), "{name:?}");
    }
}

#[tokio::test]
async fn local_files_are_where_the_location_says() {
    for durability in [Durability::Fsync, Durability::NoFsync] {
        let disk = tempfile::tempdir().unwrap();
        let folder = Stores::new(durability).open(disk.path().join("lake").to_str().unwrap()).await.unwrap();
        assert_eq!(folder.location(), format!("file://{}/lake/", disk.path().display()));
        for name in NAMES {
            let relative = format!("date=2026-11-22/symbol={name}/{name}");
            folder.create(&relative, bytes(name)).await.unwrap();
            folder.create(&relative, bytes("the loser")).await.unwrap();
            let file = disk.path().join("lake").join(&relative);
            assert_eq!(std::fs::read(&file).unwrap(), name.as_bytes());
            assert_eq!(files_in(file.parent().unwrap()), [*name], "no temporary file stays");
        }
    }
}

#[tokio::test]
async fn a_failed_local_create_leaves_nothing() {
    let disk = tempfile::tempdir().unwrap();
    let folder = Stores::new(Durability::Fsync).open(disk.path().to_str().unwrap()).await.unwrap();
    std::fs::write(disk.path().join("file"), "").unwrap();
    let error = folder.create("file/k", bytes("x")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert!(!error.is_retryable(), "a file does not become a folder");
    assert_eq!(files_in(disk.path()), ["file"]);
}

#[tokio::test]
async fn a_location_is_the_same_place_however_it_is_written() {
    let disk = tempfile::tempdir().unwrap();
    let stores = Stores::new(Durability::Fsync);
    let path = disk.path().to_str().unwrap();
    stores.open(path).await.unwrap().create("k", bytes("x")).await.unwrap();
    for location in [format!("{path}/"), format!("file://{path}"), format!("file://{path}/")] {
        let folder = stores.open(&location).await.unwrap();
        assert_eq!(folder.location(), format!("file://{path}/"));
        assert_eq!(told(folder.list().await.unwrap()), [entry("k", 1)]);
    }
    let relative = stores.open("some/folder").await.unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(relative.location(), format!("file://{}/some/folder/", here.display()));

    let above = stores.open("src/../tests/../some/folder").await.unwrap();
    assert_eq!(above.location(), relative.location());

    let typos = ["s3:/lake/t", "s3//lake/t", "s3:///t", "s3://bu cket/t", "~/lake", "$BUCKET/t"];
    for location in ["gopher://host/dir", "file://host/dir", "no-such-folder/../b"].into_iter().chain(typos) {
        assert_eq!(stores.open(location).await.unwrap_err().kind(), Kind::Usage, "{location}");
    }
}

/// File names that a store might be tempted to change.
const NAMES: &[&str] = &[
    "BRK%2FB",
    "BRK%252FB",
    "%5EGSPC",
    "^GSPC",
    "ES=F",
    "a b",
    "a+b",
    "a&b?c=d",
    "a;b,c",
    "~",
    "{x}[y]<z>",
    "a'b\"c`d",
    "a\\b",
    "é",
    "e\u{301}",
    "日経",
    "🦀",
];

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// What is listed but when it was put, which is the store's to say.
fn told(entries: Vec<Entry>) -> Vec<(String, usize)> {
    entries.into_iter().map(|entry| (entry.name, entry.size_bytes as usize)).collect()
}

fn entry(name: &str, size: usize) -> (String, usize) {
    (name.to_owned(), size)
}

async fn names(folder: &Folder) -> Vec<String> {
    let mut names: Vec<String> = folder.list_below().await.unwrap().into_iter().map(|e| e.name).collect();
    names.sort();
    names
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
