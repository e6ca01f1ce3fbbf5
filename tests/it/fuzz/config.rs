//! Settings of any text, in any layer: they are read or refused by name, and what `config` prints reads back.

use std::ffi::OsString;
use std::fs;

use proptest::prelude::*;
use ticklake::config::{Config, Flag};
use ticklake::error::{Kind, Result};

use super::cases;

/// Settings, each with the kind of text that it takes.
const KEYS: [(&str, Takes); 24] = [
    ("athena.workgroup", Takes::Text),
    ("athena.output", Takes::Text),
    ("athena.price_per_tb", Takes::Number),
    ("aws.region", Takes::Text),
    ("catalog", Takes::Catalog),
    ("glue.catalog_id", Takes::Text),
    ("ingest.topics", Takes::Names),
    ("ingest.table", Takes::Text),
    ("ingest.from", Takes::Start),
    ("ingest.source_epoch", Takes::Number),
    ("ingest.flush_rows", Takes::Number),
    ("ingest.flush_bytes", Takes::Bytes),
    ("ingest.flush_age", Takes::Time),
    ("ingest.memory", Takes::Bytes),
    ("ingest.commit_interval", Takes::Time),
    ("kafka.brokers", Takes::Text),
    ("kafka.client.id", Takes::Text),
    ("log.format", Takes::Text),
    ("log.level", Takes::Text),
    ("query.memory", Takes::Bytes),
    ("query.streams", Takes::Number),
    ("s3.addressing_style", Takes::Text),
    ("s3.timeout", Takes::Time),
    ("store.fsync", Takes::Text),
];

#[derive(Clone, Copy, Debug)]
enum Takes {
    Text,
    Number,
    Bytes,
    Time,
    Start,
    Names,
    Catalog,
}

fn value(takes: Takes) -> BoxedStrategy<String> {
    match takes {
        Takes::Text => {
            let words = ["true", "false", "json", "text", "auto", "path", "virtual", "007", "1e3", "", " ", "\u{7f}"];
            prop_oneof![any::<String>(), prop::sample::select(words.to_vec()).prop_map(str::to_owned)].boxed()
        }
        Takes::Number => prop_oneof![any::<u64>().prop_map(|n| n.to_string()), "[0-9_]{1,6}([.][0-9]{1,3})?(e[0-9]{1,3})?"].boxed(),
        Takes::Bytes => {
            let units = "B|kB|KB|KiB|MB|MiB|GiB|GB|TB|TiB|k|m||  ";
            let sized = format!("[0-9]{{1,4}}([.][0-9]{{1,2}})? ?({units})");
            prop_oneof![any::<u64>().prop_map(|n| n.to_string()), proptest::string::string_regex(&sized).expect("a pattern")].boxed()
        }
        Takes::Time => {
            "([0-9]{1,6} ?(ns|us|ms|s|m|min|h|d|day|w|month|y|years) ?){1,4}|[0-9]{1,20}(ns|ms|s|y)?".boxed()
        }
        Takes::Start => {
            "latest|beginning|[0-9]{1,19}|[0-9]{4}-(0[1-9]|1[0-2])-[0-2][0-9]T[0-2][0-9]:[0-5][0-9]:(59|60)([.][0-9]{1,9})?(Z|[+-]23:59)|(0000|9999)-(01-01|12-31)T(00|23):59:59(Z|[+-]01:00)".boxed()
        }
        Takes::Names => "[a-z, \"']{0,8}".boxed(),
        Takes::Catalog => "glue|sqlite:[ -~é\u{7f}]{0,6}|[a-z:]{0,7}".boxed(),
    }
}

fn settings() -> impl Strategy<Value = (&'static str, String)> {
    prop::sample::select(KEYS.to_vec()).prop_flat_map(|(key, takes)| (Just(key), value(takes)))
}

/// Loads a file's text, variables and flags.
fn load(file: &str, variables: &[(String, String)], flags: Vec<Flag>) -> Result<Config> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.toml");
    fs::write(&path, file).expect("the file is written");
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::load(Some(&path), variables, flags)
}

/// What `ticklake config` prints.
fn printed(config: &Config) -> String {
    config.entries().expect("the settings are printed").iter().map(|entry| format!("{entry}\n")).collect()
}

fn comes_back(config: &Config) -> std::result::Result<(), TestCaseError> {
    let text = printed(config);
    match load(&text, &[], Vec::new()) {
        Ok(again) => prop_assert_eq!(&again.settings, &config.settings, "{}", text),
        Err(e) => prop_assert!(false, "{}\n{}", e, text),
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn what_is_printed_reads_back(settings in prop::collection::vec(settings(), 0..6)) {
        let flags = settings.iter().map(|(key, value)| {
            // A property of librdkafka's has dots in its name.
            match key.strip_prefix("kafka.").filter(|name| name.contains('.')) {
                Some(property) => Flag::property("-X", &format!("{property}={value}")).expect("NAME=VALUE"),
                None => Flag::new("--flag", key, value.as_str()),
            }
        });
        match load("", &[], flags.collect()) {
            Ok(config) => comes_back(&config)?,
            Err(e) => {
                prop_assert!(matches!(e.kind(), Kind::Usage), "{}", e);
                prop_assert!(settings.iter().any(|(key, _)| e.to_string().contains(key)), "{}", e);
            }
        }
    }

    /// Any name passes through to librdkafka, which knows its own.
    #[test]
    fn a_property_of_any_name_reads_back(name in "[a-z]{1,4}([.][a-z ]{1,4})?|[^=]{1,6}", value in any::<String>()) {
        // What may be a secret is printed as stars.
        prop_assume!(!["token", "oauth", "secret"].iter().any(|word| name.to_lowercase().contains(word)));
        let flag = Flag::property("-X", &format!("{name}={value}")).expect("NAME=VALUE");
        comes_back(&load("", &[], vec![flag]).map_err(|e| TestCaseError::fail(e.to_string()))?)?;
    }

    #[test]
    fn a_file_of_any_text_is_read_or_refused(
        text in prop_oneof![
            any::<String>(),
            r#"(\[(ingest|kafka|s3|log|x)\]\n|(flush_rows|from|topics|brokers|a.b|"a.b"|fsync|ingest.from|kafka.a.b) ?= ?(1|-1|1e9|nan|0x1f|"x"|'''\n'''|true|\[1,"a"\]|\{a=1\}|1979-05-27T07:32:00Z|07:32:00)( ?#.*)?\n){0,6}"#,
        ],
    ) {
        match load(&text, &[], Vec::new()) {
            Ok(config) => comes_back(&config)?,
            Err(e) => prop_assert!(matches!(e.kind(), Kind::Usage), "{}", e),
        }
    }

    #[test]
    fn a_variable_of_any_name_is_read_or_refused_by_it(name in "[A-Z_]{0,12}|INGEST__[A-Z_]{0,8}|KAFKA(__|_)[A-Z_]{0,8}", value in "[ -~é]{1,8}") {
        let name = format!("TICKLAKE_{name}");
        match load("", &[(name.clone(), value)], Vec::new()) {
            Ok(config) => {
                let printed = printed(&config);
                prop_assert!(name == "TICKLAKE_CONFIG" || printed.contains(&format!("# variable {name}")), "{}\n{}", name, printed);
            }
            Err(e) => {
                prop_assert!(matches!(e.kind(), Kind::Usage), "{}", e);
                prop_assert!(e.to_string().contains(&name), "{}", e);
            }
        }
    }

    #[test]
    fn an_unknown_key_is_named(section in prop::sample::select(vec!["ingest", "s3", "log", "store", "zzz"]), key in "[a-z]{1,8}_q") {
        for text in [format!("[{section}]\n{key} = 1\n"), format!("{section}.{key} = \"x\"\n")] {
            let e = load(&text, &[], Vec::new()).expect_err("no setting has such a name").to_string();
            let unknown = if section == "zzz" { section.to_owned() } else { format!("{section}.{key}") };
            prop_assert!(e.contains(&format!("there is no setting {unknown}")), "{}", e);
        }
    }
}

/// What long runs found.
#[test]
fn names_and_values_that_toml_cannot_say_plainly_read_back() {
    for (key, value) in [("aws.region", "\u{7f}"), ("ingest.flush_rows", "9223372036854775808")] {
        comes_back(&load("", &[], vec![Flag::new("--flag", key, value)]).unwrap()).unwrap();
    }
    for property in ["¡=", "a b=1", "\"\\=#", "a.\u{7f}=\n"] {
        comes_back(&load("", &[], vec![Flag::property("-X", property).unwrap()]).unwrap()).unwrap();
    }
    for beyond in ["0000-01-01T00:59:59+01:00", "9999-12-31T23:59:59-01:00"] {
        assert!(load("", &[], vec![Flag::new("--flag", "ingest.from", beyond)]).is_err(), "{beyond}");
    }
}
