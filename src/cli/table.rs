//! `ticklake table …`: tables by their DDL, in the catalog.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::alter::{AlterArgs, alter};
use super::expire::{ExpireArgs, expire};
use super::holdings::{self, FilesArgs, PartitionsArgs};
use super::infer::{self, InferArgs};
use super::terminal::{Stdout, unwritable};
use super::{Lake, block_on, open, open_existing, signals, verify};
use crate::catalog::Catalog;
use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::table::{Ddl, Spec, TableName};
use crate::verify::{RegisteredLine, Repaired, repair as repair_table};

#[derive(Debug, Subcommand)]
pub enum TableCommand {
    /// Print a DDL that fits samples of a feed, from a file or a topic
    Infer(Box<InferArgs>),
    #[command(flatten)]
    InCatalog(CatalogCommand),
}

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Name a table in the catalog, by a file with its CREATE EXTERNAL TABLE
    Create(CreateArgs),
    /// Print a table's DDL
    Show(NameArgs),
    /// Print the names of the tables
    List(ListArgs),
    /// Print a table's partitions: where each is, and with --stats what it holds
    Partitions(PartitionsArgs),
    /// Print the data files of a table, for engines that read by path
    Files(FilesArgs),
    /// Make a table what a DDL says, as far as its files can be read so; the change is printed first
    Alter(AlterArgs),
    /// Take old partitions out of the table: out of the catalog, and their files after a grace time
    Expire(ExpireArgs),
    /// Register what the catalog lacks: partitions with files, and the table of rejected records
    Repair(RepairArgs),
    /// Forget a table and its partitions; the files stay
    Drop(NameArgs),
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    #[arg(value_name = "DDL.sql")]
    file: PathBuf,
    /// Where the table's files are, above the DDL's LOCATION
    #[arg(long, value_name = "DIR|s3://…")]
    location: Option<String>,
}

#[derive(Debug, Args)]
pub struct NameArgs {
    #[arg(value_name = "DB.NAME")]
    name: TableName,
}

#[derive(Debug, Args)]
pub struct RepairArgs {
    #[arg(value_name = "DB.NAME")]
    name: TableName,
    /// One JSON document in place of lines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// The tables of one database only
    #[arg(value_name = "DB")]
    database: Option<String>,
}

pub fn run(command: &TableCommand, settings: &Settings) -> Result<()> {
    match command {
        TableCommand::Infer(args) => infer::run(args, settings),
        TableCommand::InCatalog(command) => in_catalog(command, settings),
    }
}

fn in_catalog(command: &CatalogCommand, settings: &Settings) -> Result<()> {
    block_on(async {
        signals::end_at_first()?;
        let lake = match command {
            CatalogCommand::Create(_) => open(settings).await?,
            _ => open_existing(settings).await?,
        };
        let catalog = &*lake.catalog;
        let mut ended = Ok(());
        let text = match command {
            CatalogCommand::Create(args) => create(args, &lake, settings).await?,
            CatalogCommand::Show(args) => format!("{}\n", find(&args.name, catalog, settings).await?),
            CatalogCommand::List(args) => list(args, catalog).await?,
            CatalogCommand::Partitions(args) => {
                holdings::partitions(args, &lake, settings).await?;
                String::new()
            }
            CatalogCommand::Files(args) => {
                holdings::list_files(args, &lake, settings).await?;
                String::new()
            }
            CatalogCommand::Alter(args) => alter(args, &lake, settings).await?,
            CatalogCommand::Expire(args) => {
                let (text, problems) = expire(args, &lake, settings).await?;
                ended = verify::end(&args.name, problems);
                text
            }
            CatalogCommand::Repair(args) => {
                let (text, problems) = repair(args, &lake).await?;
                ended = verify::end(&args.name, problems);
                text
            }
            CatalogCommand::Drop(args) => drop(&args.name, catalog, settings).await?,
        };
        let mut out = Stdout::buffered();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(unwritable)?;
        ended
    })
}

/// Reads a file with one `CREATE EXTERNAL TABLE`.
pub fn read_ddl(file: &Path) -> Result<Ddl> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::usage("cannot read the DDL").with("file", file.display()).because(e))?;
    Ddl::parse(&text).map_err(|e| e.with("file", file.display()))
}

async fn create(args: &CreateArgs, lake: &Lake, settings: &Settings) -> Result<String> {
    let mut ddl = read_ddl(&args.file)?;
    Spec::from_ddl(&ddl).map_err(|e| e.with("file", args.file.display()))?;
    let location = args.location.as_ref().or(ddl.location.as_ref()).ok_or_else(|| {
        Error::usage("the DDL has no LOCATION: add one, or give --location").with("file", args.file.display())
    })?;
    let location = lake.stores.open(location).await?.location().to_owned();
    ddl.location = Some(location.clone());
    if !lake.catalog.create_table(&ddl).await? {
        return Err(Error::new(Kind::Catalog, "there is a table of that name, and it is untouched")
            .with("table", &ddl.name)
            .with("catalog", &settings.catalog));
    }
    Ok(format!("{} is made, at {location}\n", ddl.name))
}

async fn list(args: &ListArgs, catalog: &dyn Catalog) -> Result<String> {
    let tables = catalog.tables(args.database.as_deref()).await?;
    Ok(tables.iter().map(|name| format!("{name}\n")).collect())
}

/// What was done, a line each, and how many problems it leaves to the user.
async fn repair(args: &RepairArgs, lake: &Lake) -> Result<(String, usize)> {
    let check = lake.check(&args.name);
    let repaired = repair_table(&check).await?;
    let problems = repaired.problems.len();
    if args.json {
        let text = serde_json::to_string_pretty(&repaired)
            .map_err(|e| Error::new(Kind::System, "cannot write what was done as JSON").because(e))?;
        return Ok((format!("{text}\n"), problems));
    }
    let mut text = Vec::new();
    print_repaired(&repaired, &mut text).map_err(unwritable)?;
    Ok((String::from_utf8_lossy(&text).into_owned(), problems))
}

fn print_repaired(repaired: &Repaired, out: &mut impl Write) -> io::Result<()> {
    for table in &repaired.made {
        writeln!(out, "{table} is made")?;
    }
    for RegisteredLine { table, partition, location } in &repaired.registered {
        writeln!(out, "{table}: {partition} is registered, at {location}")?;
    }
    if repaired.made.is_empty() && repaired.registered.is_empty() {
        writeln!(out, "{}: the catalog lacks nothing that is there", repaired.table)?;
    }
    verify::print_problems(&repaired.problems, out)
}

async fn drop(name: &TableName, catalog: &dyn Catalog, settings: &Settings) -> Result<String> {
    match catalog.drop_table(name).await? {
        true => Ok(format!("{name} is forgotten; its files stay\n")),
        false => Err(absent(name, settings)),
    }
}

pub async fn find(name: &TableName, catalog: &dyn Catalog, settings: &Settings) -> Result<Ddl> {
    catalog.table(name).await?.ok_or_else(|| absent(name, settings))
}

fn absent(name: &TableName, settings: &Settings) -> Error {
    Error::new(Kind::Catalog, "there is no such table").with("table", name).with("catalog", &settings.catalog)
}
