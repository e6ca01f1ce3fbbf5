//! Owns the catalog of one machine: a SQLite file, shared by every `ticklake` process that names it.
//!
//! A table is the text of its DDL. A partition is a row under its table: its values as a JSON array, the first of
//! them once more in front, so that the primary key finds a table's partitions of one `date` in one place.
//! The file is in WAL mode: readers never wait for a writer, and writers wait for each other. A registered partition
//! is a promise (an offset may be committed on it), so every commit is on the disk before a call returns.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{Catalog, Condition, Partition, Registered, View, is_taken, is_view, no_table, wrong_count};
use crate::error::{Error, Kind, Result};
use crate::table::{Ddl, TableName};

/// The schema's version, kept in SQLite's `user_version`; 0 is a file without a schema, 1 one without views.
const VERSION: i64 = 2;

const SCHEMA: &str = "
    CREATE TABLE tables (
        id       INTEGER PRIMARY KEY,
        database TEXT NOT NULL,
        name     TEXT NOT NULL,
        ddl      TEXT NOT NULL,
        UNIQUE (database, name)
    ) STRICT;
    CREATE TABLE partitions (
        table_id    INTEGER NOT NULL REFERENCES tables (id),
        first_value TEXT NOT NULL,
        all_values  TEXT NOT NULL, -- JSON array
        location    TEXT NOT NULL,
        PRIMARY KEY (table_id, first_value, all_values)
    ) STRICT, WITHOUT ROWID;
";

const VIEWS: &str = "
    CREATE TABLE views (
        database TEXT NOT NULL,
        name     TEXT NOT NULL,
        sql      TEXT NOT NULL,
        UNIQUE (database, name)
    ) STRICT;
    PRAGMA user_version = 2;
";

/// How long a call waits for another process's transaction; the longest is a call of `create_partitions`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Between two tries of what SQLite does not wait for itself.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// A catalog in a SQLite file. Handles on one file, in one process or in several, see each other's changes at once.
///
/// * The file is on a local disk: WAL needs memory shared between its processes (SQLite, "Write-Ahead Logging").
/// * A file that a newer version made, or that another program made, is refused, not changed.
/// * An error that is retryable means that another process kept the file for 30 seconds.
#[derive(Clone)]
pub struct LocalCatalog {
    path: Arc<PathBuf>,
    connection: Arc<Mutex<Connection>>,
}

/// What a unit of work fails with; SQLite's own errors get the file and the purpose where the work was started.
enum Failure {
    Sqlite(rusqlite::Error),
    Other(Error),
}

impl LocalCatalog {
    /// Opens the file, and makes it and its folder where there is none. Blocks for the time of a few file operations.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|e| failed("cannot make the folder of the catalog", path).because(e))?;
        }
        let connection = connect(path).map_err(|e| e.on("cannot open the catalog", path))?;
        Ok(Self { path: Arc::new(path.to_owned()), connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs a piece of work in one transaction, off the async threads.
    async fn transact<T: Send + 'static>(
        &self,
        what: &'static str,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let connection = self.connection.clone();
        let done = tokio::task::spawn_blocking(move || {
            // A panic rolled its transaction back: the connection is good.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(behavior)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        match done.await {
            Ok(done) => done.map_err(|e: Failure| e.on(what, &self.path)),
            Err(e) => Err(failed(what, &self.path).because(e)),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.transact(what, TransactionBehavior::Deferred, work).await
    }

    /// Takes the write lock at once: a read that became a write could not wait for another writer.
    async fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.transact(what, TransactionBehavior::Immediate, work).await
    }
}

#[async_trait]
impl Catalog for LocalCatalog {
    async fn create_table(&self, ddl: &Ddl) -> Result<bool> {
        let (name, text) = (ddl.name.clone(), ddl.to_string());
        self.write("cannot make a table", move |sql| {
            if find_view(sql, &name)?.is_some() {
                return Ok(false);
            }
            let made = sql.execute(
                "INSERT INTO tables (database, name, ddl) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                params![name.database(), name.table(), text],
            )?;
            Ok(made == 1)
        })
        .await
    }

    async fn table(&self, name: &TableName) -> Result<Option<Ddl>> {
        let name = name.clone();
        self.read("cannot read a table", move |sql| match find_table(sql, &name)? {
            Some(table) => Ok(Some(table.ddl)),
            None if find_view(sql, &name)?.is_some() => Err(is_view(&name).into()),
            None => Ok(None),
        })
        .await
    }

    async fn put_view(&self, view: &View) -> Result<()> {
        let View { name, sql: text, .. } = view.clone();
        self.write("cannot make a view", move |sql| {
            if find_id(sql, &name)?.is_some() {
                return Err(is_taken(&name).into());
            }
            sql.execute(
                "INSERT INTO views (database, name, sql) VALUES (?, ?, ?)
                 ON CONFLICT (database, name) DO UPDATE SET sql = excluded.sql",
                params![name.database(), name.table(), text],
            )?;
            Ok(())
        })
        .await
    }

    async fn view(&self, name: &TableName) -> Result<Option<String>> {
        let name = name.clone();
        self.read("cannot read a view", move |sql| Ok(find_view(sql, &name)?)).await
    }

    async fn tables(&self, database: Option<&str>) -> Result<Vec<TableName>> {
        let database = database.map(str::to_owned);
        self.read("cannot list the tables", move |sql| {
            let mut select = sql.prepare(
                "SELECT database, name FROM tables WHERE ?1 IS NULL OR database = ?1
                 UNION ALL SELECT database, name FROM views WHERE ?1 IS NULL OR database = ?1 ORDER BY 1, 2",
            )?;
            let mut rows = select.query(params![database])?;
            let mut names = Vec::new();
            while let Some(row) = rows.next()? {
                names.push(TableName::new(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?)?);
            }
            Ok(names)
        })
        .await
    }

    /// The table is compared in the transaction that changes it.
    async fn alter_table(&self, was: &Ddl, to: &Ddl) -> Result<bool> {
        let (was, to) = (was.clone(), to.clone());
        self.write("cannot change a table", move |sql| {
            let table = find_table(sql, &to.name)?.ok_or_else(|| no_table(&to.name))?;
            if table.ddl.says_the_same_as(&to) {
                return Ok(true);
            }
            if !table.ddl.says_the_same_as(&was) {
                return Ok(false);
            }
            sql.execute("UPDATE tables SET ddl = ? WHERE id = ?", params![to.to_string(), table.id])?;
            Ok(true)
        })
        .await
    }

    async fn renew_partitions(&self, _: &TableName) -> Result<u64> {
        Ok(0)
    }

    async fn drop_table(&self, name: &TableName) -> Result<bool> {
        let name = name.clone();
        self.write("cannot drop a table", move |sql| {
            let Some(id) = find_id(sql, &name)? else {
                let place = params![name.database(), name.table()];
                return Ok(sql.execute("DELETE FROM views WHERE database = ? AND name = ?", place)? == 1);
            };
            sql.execute("DELETE FROM partitions WHERE table_id = ?", params![id])?;
            sql.execute("DELETE FROM tables WHERE id = ?", params![id])?;
            Ok(true)
        })
        .await
    }

    async fn incarnation(&self, _: &TableName) -> Result<Option<String>> {
        Ok(None)
    }

    async fn has_partitions(&self, name: &TableName) -> Result<bool> {
        let name = name.clone();
        self.read("cannot look for partitions", move |sql| {
            let id = find_id(sql, &name)?.ok_or_else(|| no_table(&name))?;
            Ok(sql.query_row(
                "SELECT EXISTS (SELECT 1 FROM partitions WHERE table_id = ?)",
                params![id],
                |row| row.get(0),
            )?)
        })
        .await
    }

    async fn partitions(&self, name: &TableName, conditions: &[Condition]) -> Result<Vec<Partition>> {
        let (name, conditions) = (name.clone(), conditions.to_vec());
        self.read("cannot read the partitions of a table", move |sql| {
            let id = find_id(sql, &name)?.ok_or_else(|| no_table(&name))?;
            let mut text = "SELECT all_values, location FROM partitions WHERE table_id = ?".to_owned();
            let mut values: Vec<&dyn rusqlite::ToSql> = vec![&id];
            for condition in &conditions {
                text.push_str(&clause(condition));
                values.push(&condition.value);
            }
            let mut select = sql.prepare(&text)?;
            let mut rows = select.query(values.as_slice())?;
            let mut partitions = Vec::new();
            while let Some(row) = rows.next()? {
                partitions
                    .push(Partition { values: from_json(row.get_ref(0)?.as_str()?)?, location: row.get(1)? });
            }
            partitions.sort_unstable(); // the order of JSON texts is not that of their values
            Ok(partitions)
        })
        .await
    }

    async fn find_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<Partition>> {
        let (name, values) = (name.clone(), values.to_vec());
        self.read("cannot look up partitions", move |sql| {
            let id = find_id(sql, &name)?.ok_or_else(|| no_table(&name))?;
            let mut select = sql.prepare(
                "SELECT location FROM partitions WHERE table_id = ? AND first_value = ? AND all_values = ?",
            )?;
            let mut found = Vec::new();
            for values in values {
                let location = select
                    .query_row(params![id, first(&values), to_json(&values)], |row| row.get(0))
                    .optional()?;
                if let Some(location) = location {
                    found.push(Partition { values, location });
                }
            }
            Ok(found)
        })
        .await
    }

    /// One transaction: after a crash all partitions of the call that could be created are there, or none.
    async fn create_partitions(&self, name: &TableName, partitions: &[Partition]) -> Result<Vec<Registered>> {
        let (name, partitions) = (name.clone(), partitions.to_vec());
        self.write("cannot register partitions", move |sql| {
            let table = find_table(sql, &name)?.ok_or_else(|| no_table(&name))?;
            let columns = table.ddl.partitioned_by.len();
            let mut insert = sql.prepare(
                "INSERT INTO partitions (table_id, first_value, all_values, location) VALUES (?, ?, ?, ?)
                 ON CONFLICT DO NOTHING",
            )?;
            let mut answers = Vec::with_capacity(partitions.len());
            for Partition { values, location } in &partitions {
                if values.len() != columns {
                    answers.push(Registered::Failed(wrong_count(&name, values, columns)));
                    continue;
                }
                let made = insert.execute(params![table.id, first(values), to_json(values), location])?;
                answers.push(if made == 1 { Registered::Created } else { Registered::AlreadyExists });
            }
            Ok(answers)
        })
        .await
    }

    async fn drop_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<u64> {
        let (name, values) = (name.clone(), values.to_vec());
        self.write("cannot drop partitions", move |sql| {
            let id = find_id(sql, &name)?.ok_or_else(|| no_table(&name))?;
            let mut delete = sql.prepare(
                "DELETE FROM partitions WHERE table_id = ? AND first_value = ? AND all_values = ?",
            )?;
            let mut dropped = 0;
            for values in &values {
                dropped += delete.execute(params![id, first(values), to_json(values)])? as u64;
            }
            Ok(dropped)
        })
        .await
    }
}

impl fmt::Debug for LocalCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite:{}", self.path.display())
    }
}

fn connect(path: &Path) -> Result<Connection, Failure> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    enter_wal(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    if connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? == VERSION {
        return Ok(connection); // the usual case waits for no writer
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        VERSION => {}
        0 => {
            let tables: i64 =
                transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            if tables > 0 {
                let message = "the file is another program's database: name a file that is not there yet";
                return Err(failed(message, path).into());
            }
            transaction.execute_batch(SCHEMA)?;
            transaction.execute_batch(VIEWS)?;
        }
        1 => transaction.execute_batch(VIEWS)?,
        _ => {
            let message = "a newer version made the catalog: use that version, or another file";
            return Err(failed(message, path).with("its version", version).with("ours", VERSION).into());
        }
    }
    transaction.commit()?;
    Ok(connection)
}

/// SQLite does not wait for other processes when it changes the journal's mode, as all processes that open a new
/// file at the same time do: so this waits.
#[expect(
    clippy::disallowed_methods,
    reason = "`open` blocks: it is called before there is anything to hold up"
)]
fn enter_wal(connection: &Connection) -> rusqlite::Result<()> {
    for _ in 0..BUSY_TIMEOUT.as_millis() / BUSY_PAUSE.as_millis() {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(e) if is_busy(&e) => thread::sleep(BUSY_PAUSE),
            changed => return changed,
        }
    }
    connection.pragma_update(None, "journal_mode", "WAL")
}

struct Table {
    id: i64,
    ddl: Ddl,
}

fn find_table(sql: &Transaction<'_>, name: &TableName) -> Result<Option<Table>, Failure> {
    let row: Option<(i64, String)> = sql
        .query_row(
            "SELECT id, ddl FROM tables WHERE database = ? AND name = ?",
            params![name.database(), name.table()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(match row {
        Some((id, ddl)) => {
            let ddl = Ddl::parse(&ddl).map_err(|e| {
                Error::new(
                    Kind::Catalog,
                    "the catalog's DDL of a table cannot be read: drop the table (its files stay), and make it again",
                )
                .with("table", name)
                .because(e)
            })?;
            Some(Table { id, ddl })
        }
        None => None,
    })
}

fn find_id(sql: &Transaction<'_>, name: &TableName) -> rusqlite::Result<Option<i64>> {
    sql.query_row(
        "SELECT id FROM tables WHERE database = ? AND name = ?",
        params![name.database(), name.table()],
        |row| row.get(0),
    )
    .optional()
}

fn find_view(sql: &Transaction<'_>, name: &TableName) -> rusqlite::Result<Option<String>> {
    sql.query_row(
        "SELECT sql FROM views WHERE database = ? AND name = ?",
        params![name.database(), name.table()],
        |row| row.get(0),
    )
    .optional()
}

/// SQLite compares texts by their bytes (the BINARY collation over UTF-8), as `Condition` does.
fn clause(condition: &Condition) -> String {
    let op = condition.op.sql();
    match condition.column {
        0 => format!(" AND first_value {op} ?"),
        column => format!(" AND json_extract(all_values, '$[{column}]') {op} ?"),
    }
}

/// A table without partition columns has at most the one partition `[]`.
fn first(values: &[String]) -> &str {
    values.first().map_or("", String::as_str)
}

fn to_json(values: &[String]) -> String {
    serde_json::Value::from(values).to_string()
}

fn from_json(text: &str) -> Result<Vec<String>> {
    serde_json::from_str(text).map_err(|e| {
        Error::new(
            Kind::Catalog,
            "a partition's values are no JSON array of strings: the file was changed by hand",
        )
        .with("values", text)
        .because(e)
    })
}

fn failed(what: &str, path: &Path) -> Error {
    Error::new(Kind::Catalog, what).with("catalog", path.display())
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

impl Failure {
    fn on(self, what: &str, path: &Path) -> Error {
        match self {
            Self::Sqlite(e) if is_busy(&e) => failed(what, path).because(e).retryable(),
            Self::Sqlite(e) => failed(what, path).because(e),
            Self::Other(e) => e,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}

impl From<rusqlite::types::FromSqlError> for Failure {
    fn from(e: rusqlite::types::FromSqlError) -> Self {
        Self::Sqlite(e.into())
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Other(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_file_is_worth_another_try() {
        let error = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        let retryable = |code| {
            let error =
                Failure::Sqlite(error(code)).on("cannot register partitions", Path::new("lake/catalog"));
            assert!(error.to_string().contains("lake/catalog"), "{error}");
            error.is_retryable()
        };
        assert!(retryable(rusqlite::ffi::SQLITE_BUSY) && retryable(rusqlite::ffi::SQLITE_BUSY_SNAPSHOT));
        assert!(!retryable(rusqlite::ffi::SQLITE_CORRUPT) && !retryable(rusqlite::ffi::SQLITE_FULL));
    }
}
