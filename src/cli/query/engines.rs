//! Owns the engines of one command: each is opened when it is first asked, and kept.

use clap::{Args, ValueEnum};
use tokio::sync::OnceCell;

use crate::aws::Aws;
use crate::cli::{Lake, open, open_existing, setting};
use crate::config::{CatalogAt, Flag, Settings};
use crate::error::{Error, Result};
use crate::query::{AthenaEngine, Engine, LocalEngine};

#[derive(Debug, Args)]
pub struct EngineArgs {
    /// What runs the query: this process, or AWS Athena over Glue's catalog
    #[arg(long, value_enum, default_value_t = EngineName::Local)]
    engine: EngineName,
    /// Athena's workgroup [default: primary]
    #[arg(long, value_name = "NAME")]
    workgroup: Option<String>,
    /// Athena's database for names without one [default: default]
    #[arg(long, value_name = "DB")]
    database: Option<String>,
    /// Where Athena puts its results, if the workgroup does not say it
    #[arg(long, value_name = "s3://…")]
    output: Option<String>,
    /// Parallel streams of this process's engine [default: as many as there are cores, 8 at least]
    #[arg(long, value_name = "N")]
    streams: Option<String>,
    /// What its sorts, joins and groups hold before they spill to disk [default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    Local,
    Athena,
}

impl EngineArgs {
    /// Those that are settings.
    pub fn flags(&self) -> Vec<Flag> {
        let settings = [
            setting("--workgroup", "athena.workgroup", &self.workgroup),
            setting("--database", "athena.database", &self.database),
            setting("--output", "athena.output", &self.output),
            setting("--streams", "query.streams", &self.streams),
            setting("--memory", "query.memory", &self.memory),
        ];
        settings.into_iter().flatten().collect()
    }

    /// The engine that is asked for.
    pub fn name(&self) -> Result<EngineName> {
        let is_athenas = self.workgroup.is_some() || self.database.is_some() || self.output.is_some();
        let is_ours = self.streams.is_some() || self.memory.is_some();
        match self.engine {
            EngineName::Local if is_athenas => {
                Err(Error::usage("--workgroup, --database and --output are Athena's: add --engine athena"))
            }
            EngineName::Athena if is_ours => Err(Error::usage(
                "--streams and --memory are this process's: leave them out, or --engine athena",
            )),
            name => Ok(name),
        }
    }
}

/// The engines, and what each works on.
#[derive(Debug)]
pub struct Engines {
    settings: Settings,
    local: OnceCell<LocalEngine>,
    athena: OnceCell<AthenaEngine>,
    /// The catalog and the stores that are set.
    lake: OnceCell<Lake>,
    /// Athena's own catalog, whatever is set.
    glue: OnceCell<Lake>,
}

impl Engines {
    pub fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            local: OnceCell::new(),
            athena: OnceCell::new(),
            lake: OnceCell::new(),
            glue: OnceCell::new(),
        }
    }

    pub async fn get(&self, name: EngineName) -> Result<&dyn Engine> {
        Ok(match name {
            EngineName::Local => self.local.get_or_try_init(|| self.planner(name)).await?,
            EngineName::Athena => {
                let open = async || {
                    let aws = Aws::new(self.settings.aws.options());
                    AthenaEngine::open(self.settings.athena.options(), &aws).await
                };
                self.athena.get_or_try_init(open).await?
            }
        })
    }

    /// The tables that an engine sees.
    pub async fn lake(&self, name: EngineName) -> Result<&Lake> {
        match name {
            EngineName::Local => self.lake.get_or_try_init(|| open_existing(&self.settings)).await,
            EngineName::Athena => {
                let settings = Settings { catalog: CatalogAt::Glue, ..self.settings.clone() };
                self.glue.get_or_try_init(async || open(&settings).await).await
            }
        }
    }

    /// What plans and estimates over an engine's tables, in this process.
    pub async fn planner(&self, name: EngineName) -> Result<LocalEngine> {
        let Lake { catalog, stores } = self.lake(name).await?;
        let planner = LocalEngine::new(catalog.clone(), stores.clone(), &self.settings.query.limits())?;
        Ok(match (name, &self.settings.athena.database) {
            (EngineName::Athena, Some(database)) => planner.with_database(database),
            _ => planner,
        })
    }

    /// Ends the queries that would go on without this process.
    pub async fn cancel(&self) -> Result<()> {
        match self.athena.get() {
            Some(athena) => athena.cancel().await,
            None => Ok(()),
        }
    }

    /// The database of a table that is named without one.
    pub fn default_database(&self, name: EngineName) -> &str {
        match (name, &self.settings.athena.database) {
            (EngineName::Athena, Some(database)) => database,
            _ => "default",
        }
    }

    /// What Athena asks for a terabyte.
    pub fn price_per_tb(&self) -> f64 {
        self.settings.athena.price_per_tb
    }
}
