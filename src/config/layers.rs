//! Turns the layers of settings into one: defaults, file, variables, flags.
//!
//! Each layer is checked against the defaults, which hold every key there is, before any value is read; so a
//! mistyped key is named as the user wrote it, with where it stands and the nearest key that exists.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::Settings;
use crate::error::{Error, Result};

/// Read from the working directory where no other file is named.
const FILE: &str = "ticklake.toml";
const PREFIX: &str = "TICKLAKE_";
/// Names the file itself, so it is no setting.
const FILE_VARIABLE: &str = "TICKLAKE_CONFIG";
/// librdkafka's names for what `kafka.brokers` says.
const BROKER_KEYS: [&str; 2] = ["bootstrap.servers", "metadata.broker.list"];
/// The one property of librdkafka's with an underscore in its name, which a variable's name cannot tell from a dot.
const UNDERSCORED: &str = "log_level";

/// The settings in force and the layers they come from.
#[derive(Clone, Debug)]
pub struct Config {
    pub settings: Settings,
    pub(super) layers: Figment,
}

/// One setting as a flag gave it.
#[derive(Clone, Debug)]
pub struct Flag {
    name: &'static str,
    key: Vec<String>,
    value: Value,
}

impl Flag {
    /// `key` is the setting's, with dots between.
    pub fn new(name: &'static str, key: &str, value: impl Into<Value>) -> Self {
        Self { name, key: key.split('.').map(str::to_owned).collect(), value: value.into() }
    }

    /// A property of librdkafka's, `NAME=VALUE`.
    pub fn property(name: &'static str, text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((property, value)) if !property.is_empty() => {
                Ok(Self { name, key: vec!["kafka".to_owned(), property.to_owned()], value: value.into() })
            }
            _ => Err(Error::usage(format!(
                "{name} takes NAME=VALUE, a property of librdkafka's; what begins with '{}' is not",
                // What follows may be a secret.
                text.split(|c: char| !c.is_ascii_alphanumeric() && !".-_".contains(c))
                    .next()
                    .unwrap_or_default()
            ))),
        }
    }
}

impl Config {
    /// Reads all layers. `file` must be there; without it, `ticklake.toml` of the working directory is read where
    /// there is one. Empty variables count as not set.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        flags: Vec<Flag>,
    ) -> Result<Self> {
        let mut layers = vec![Layer::defaults()?];
        let known = layers[0].dict.clone();
        layers.extend(Layer::file(file)?);
        layers.extend(Layer::variables(variables)?);
        layers
            .extend(flags.into_iter().map(|flag| Layer::new(Origin::Flag(flag.name), &flag.key, flag.value)));
        let mut merged = Figment::new();
        for mut layer in layers {
            flatten_kafka(&mut layer.dict).map_err(|e| e.with("from", &layer.origin))?;
            check(&layer.dict, &known, &known, &mut Vec::new(), &layer.origin)?;
            merged = merged.merge(layer);
        }
        let settings = merged.extract().map_err(|e| invalid(&e))?;
        Ok(Self { settings, layers: merged })
    }

    /// Whether the user has set a key, in any layer.
    pub fn is_set(&self, key: &str) -> bool {
        self.layers.find_metadata(key).is_some_and(|layer| layer.name != Origin::Default.to_string())
    }
}

/// Where a layer comes from, as it is printed.
#[derive(Clone, Debug)]
enum Origin {
    Default,
    File(PathBuf),
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

impl Origin {
    /// A key as it is written in such a layer.
    fn spell(&self, key: &str) -> String {
        match self {
            Self::Variable(_) => format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__")),
            _ => key.to_owned(),
        }
    }
}

#[derive(Clone, Debug)]
struct Layer {
    origin: Origin,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.to_string())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

impl Layer {
    /// A layer of one value.
    fn new(origin: Origin, key: &[String], value: Value) -> Self {
        let (last, sections) = key.split_last().expect("a key has a name");
        let mut dict = Dict::from([(last.clone(), value)]);
        for section in sections.iter().rev() {
            dict = Dict::from([(section.clone(), dict.into())]);
        }
        Self { origin, dict }
    }

    fn defaults() -> Result<Self> {
        let value = Value::serialize(Settings::default()).map_err(|e| invalid(&e))?;
        Ok(Self { origin: Origin::Default, dict: value.into_dict().unwrap_or_default() })
    }

    fn file(named: Option<&Path>) -> Result<Option<Self>> {
        let path = named.unwrap_or(Path::new(FILE));
        if named.is_none() && !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(path).map_err(|e| {
            Error::usage("cannot read the file of settings").with("file", path.display()).because(e)
        })?;
        let mut dict: Dict = Toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            Error::usage(format!("the file of settings is no TOML: {}", e.message().replace('\n', ", ")))
                .with("file", path.display())
                .with("line", line)
        })?;
        dict.values_mut().for_each(plain_times);
        Ok(Some(Self { origin: Origin::File(path.to_owned()), dict }))
    }

    /// One layer for each variable, so that each value knows its variable. `RUST_LOG` is above `TICKLAKE_LOG__LEVEL`.
    fn variables(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Vec<Self>> {
        let mut ours = Vec::new();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|n| *n == "RUST_LOG" || n.starts_with(PREFIX)) else {
                continue;
            };
            if value.is_empty() || name == FILE_VARIABLE {
                continue;
            }
            let Ok(value) = value.into_string() else {
                return Err(Error::usage(format!("the variable {name} is not UTF-8")));
            };
            ours.push((name.to_owned(), value));
        }
        ours.sort_by_key(|(name, _)| (name == "RUST_LOG", name.clone()));
        let layer = |(name, value): (String, String)| {
            let key = variable_key(&name);
            Self::new(Origin::Variable(name), &key, value.into())
        };
        Ok(ours.into_iter().map(layer).collect())
    }
}

/// `TICKLAKE_INGEST__FLUSH_ROWS` is `ingest.flush_rows`; below `kafka` a single `_` is a dot of librdkafka's name.
fn variable_key(name: &str) -> Vec<String> {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return vec!["log".to_owned(), "level".to_owned()];
    };
    let mut key: Vec<String> = rest.to_ascii_lowercase().split("__").map(str::to_owned).collect();
    if let [section, property] = &mut key[..]
        && section == "kafka"
        && property != UNDERSCORED
    {
        *property = property.replace('_', ".");
    }
    key
}

/// TOML's own times (without quotes) become text, as every other layer gives them.
fn plain_times(value: &mut Value) {
    // How the toml crate hands a datetime to serde.
    const MARK: &str = "$__toml_private_datetime";
    match value {
        Value::Dict(_, dict) if dict.contains_key(MARK) => {
            if let Some(text) = dict.remove(MARK) {
                *value = text;
            }
        }
        Value::Dict(_, dict) => dict.values_mut().for_each(plain_times),
        Value::Array(_, values) => values.iter_mut().for_each(plain_times),
        _ => {}
    }
}

/// Gives librdkafka's properties their own names, whether written with quotes or as tables:
/// `security.protocol = …` is the table `security` to TOML.
fn flatten_kafka(layer: &mut Dict) -> Result<()> {
    let Some(Value::Dict(_, kafka)) = layer.get_mut("kafka") else { return Ok(()) };
    let mut flat = Dict::new();
    let mut open: Vec<(String, Value)> = std::mem::take(kafka).into_iter().collect();
    while let Some((name, value)) = open.pop() {
        if let Value::Dict(_, dict) = value {
            open.extend(dict.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            continue;
        }
        // Said here, where the layer is known: the properties of all layers are read as one.
        if let Value::Array(..) | Value::Empty(..) = value {
            return Err(Error::usage(format!(
                "the Kafka property {name} takes one value: write lists as 'a,b'"
            )));
        }
        let name = if BROKER_KEYS.contains(&name.as_str()) { "brokers".to_owned() } else { name };
        if flat.insert(name.clone(), value).is_some() {
            return Err(Error::usage(format!("kafka.{name} is set twice: keep one")));
        }
    }
    *kafka = flat;
    Ok(())
}

/// Refuses a key that is none of `known`; `all` are the known keys from the top.
fn check(layer: &Dict, known: &Dict, all: &Dict, section: &mut Vec<String>, origin: &Origin) -> Result<()> {
    for (key, value) in layer {
        section.push(key.clone());
        let spelled = origin.spell(&section.join("."));
        let problem = match (known.get(key), value) {
            (Some(Value::Dict(..)), Value::Dict(..)) if section.len() == 1 && key == "kafka" => None,
            (Some(Value::Dict(_, known)), Value::Dict(_, layer)) => {
                check(layer, known, all, section, origin)?;
                None
            }
            (Some(Value::Dict(..)), _) => Some(format!("{spelled} is a section, not a value")),
            (Some(_), Value::Dict(..)) => Some(format!("{spelled} is a value, not a section")),
            (Some(_), _) => None,
            (None, _) => {
                let nearest = origin.spell(&nearest(&section.join("."), all));
                Some(format!("there is no setting {spelled}: did you mean {nearest}?"))
            }
        };
        if let Some(problem) = problem {
            return Err(Error::usage(problem).with("from", origin));
        }
        section.pop();
    }
    Ok(())
}

/// The known key that is most like this one, with or without its section.
fn nearest(key: &str, all: &Dict) -> String {
    let own_name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |known: &str| {
        strsim::jaro_winkler(known, key).max(strsim::jaro_winkler(&own_name(known), &own_name(key)))
    };
    let mut best = (0.0, String::new());
    let mut open: Vec<(String, &Value)> = all.iter().map(|(key, value)| (key.clone(), value)).collect();
    while let Some((known, value)) = open.pop() {
        if let Value::Dict(_, dict) = value {
            open.extend(dict.iter().map(|(key, value)| (format!("{known}.{key}"), value)));
        } else if likeness(&known) > best.0 {
            best = (likeness(&known), known);
        }
    }
    best.1
}

/// A value that cannot be read: its key, its layer and what it should be.
fn invalid(error: &figment::Error) -> Error {
    let from = error.metadata.as_ref().map_or("default", |metadata| &metadata.name);
    Error::usage(format!("the setting {}: {}", error.path.join("."), error.kind)).with("from", from)
}
