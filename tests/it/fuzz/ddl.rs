//! DDL as other tools print it, damaged DDL, and the properties in it.

use proptest::prelude::*;
use ticklake::table::ddl::{PARQUET_INPUT, PARQUET_OUTPUT, PARQUET_SERDE, read_type};
use ticklake::table::{Ddl, Spec};

use super::cases;
use super::json::{changed, changes};
use crate::ddl::{column_types, ddls, texts};

/// Prints a statement as other tools do: `style` says, byte by byte and again from its start, in which case a word
/// is, which space and which comment follows, and which of two spellings is taken.
struct Printer<I> {
    style: I,
    text: String,
}

impl<I: Iterator<Item = u8>> Printer<I> {
    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::from(self.style.next().unwrap_or(0)) % of.len()]
    }

    fn space(&mut self, must: bool) {
        let none = if must { " " } else { "" };
        let space =
            self.pick(&[none, " ", none, "\n", "\t", "\r\n  ", " -- it's `a` comment\n", " /* ' \" */ "]);
        self.text.push_str(space);
    }

    /// Keywords and types, of which case is no part.
    fn words(&mut self, words: &str) {
        for word in words.split(' ') {
            let (upper, lower) = (word.to_uppercase(), word.to_lowercase());
            let word = self.pick(&[word, &upper, &lower]).to_owned();
            self.text.push_str(&word);
            self.space(true);
        }
    }

    fn sign(&mut self, sign: &str) {
        self.text.push_str(sign);
        self.space(false);
    }

    fn name(&mut self, name: &str) {
        let upper = name.to_uppercase();
        // Without back-ticks a name of digits would be a number.
        let plain = if name.starts_with(|c: char| c.is_ascii_lowercase()) { name } else { "" };
        match self.pick(&["`", "", "U"]) {
            "" if !plain.is_empty() => self.text.push_str(plain),
            "U" => self.text.push_str(&format!("`{upper}`")),
            _ => self.text.push_str(&format!("`{name}`")),
        }
        self.space(true);
    }

    fn literal(&mut self, text: &str) {
        let quote = self.pick(&["'", "'", "\""]).to_owned();
        self.text.push_str(&quote);
        for c in text.chars() {
            match c {
                '\\' => self.text.push_str("\\\\"),
                c if quote.starts_with(c) => {
                    let twice = format!("{c}{c}");
                    let escaped = format!("\\{c}");
                    let spelled = self.pick(&[&twice, &escaped]).to_owned();
                    self.text.push_str(&spelled);
                }
                '\n' => {
                    let spelled = self.pick(&["\n", "\\n", "\\u000a", "\\012"]);
                    self.text.push_str(spelled);
                }
                c if self.style.next().unwrap_or(0) > 250 => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.text.push_str(&format!("\\u{unit:04X}"));
                    }
                }
                c => self.text.push(c),
            }
        }
        self.text.push_str(&quote);
        self.space(true);
    }

    fn columns(&mut self, columns: &[ticklake::table::Column]) {
        self.sign("(");
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                self.sign(",");
            }
            self.name(&column.name);
            // A type's own text: its words in any case, with space between its signs.
            let text = column.column_type.to_string();
            let mut word = String::new();
            for c in text.chars() {
                if c.is_ascii_alphanumeric() || c == '_' {
                    word.push(c);
                } else {
                    self.type_word(&std::mem::take(&mut word), c == ':');
                    self.sign(&c.to_string());
                }
            }
            self.type_word(&word, false);
            self.space(true);
            if let Some(comment) = &column.comment {
                self.words("comment");
                self.literal(comment);
            }
        }
        self.sign(")");
    }

    fn type_word(&mut self, word: &str, is_field: bool) {
        let (upper, quoted) = (word.to_uppercase(), format!("`{word}`"));
        let starts_as_name = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let word = match is_field {
            true if starts_as_name => self.pick(&[&quoted, word, &upper]).to_owned(),
            true => quoted,
            false => self.pick(&[word, &upper]).to_owned(),
        };
        self.text.push_str(&word);
        self.space(false);
    }

    fn statement(&mut self, ddl: &Ddl) {
        self.words("create external table");
        if self.pick(&["", "if"]) == "if" {
            self.words("if not exists");
        }
        let (database, table) = (ddl.name.database(), ddl.name.table());
        let [apart, as_one] = [format!("`{database}` . `{table}`"), format!("`{database}.{table}`")];
        let name = self.pick(&[&apart, &as_one]).to_owned();
        self.text.push_str(&name);
        self.space(false);
        self.columns(&ddl.columns);
        if let Some(comment) = &ddl.comment {
            self.words("comment");
            self.literal(comment);
        }
        if !ddl.partitioned_by.is_empty() {
            self.words("partitioned by");
            self.columns(&ddl.partitioned_by);
        }
        if self.pick(&["", "serde"]) == "serde" {
            self.words("row format serde");
            self.text.push_str(&format!("'{PARQUET_SERDE}'"));
            self.words(" with serdeproperties");
            self.sign("(");
            self.text.push_str("'serialization.format'='1'");
            self.sign(")");
        }
        if self.pick(&["", "long"]) == "long" {
            self.words("stored as inputformat");
            self.text.push_str(&format!("'{PARQUET_INPUT}' "));
            self.words("outputformat");
            self.text.push_str(&format!("'{PARQUET_OUTPUT}'"));
        } else {
            self.words("stored as parquet");
        }
        self.space(true);
        if let Some(location) = &ddl.location {
            self.words("location");
            // Athena prints it without the slash at the end.
            let bare = location.trim_end_matches('/');
            let bare = if bare.is_empty() || bare.ends_with(':') { location } else { bare };
            self.literal(bare);
        }
        if !ddl.properties.is_empty() {
            self.words("tblproperties");
            self.sign("(");
            for (i, property) in ddl.properties.iter().enumerate() {
                if i > 0 {
                    self.sign(",");
                }
                self.literal(&property.key);
                self.sign("=");
                self.literal(&property.value);
            }
            self.sign(")");
        }
        let end = self.pick(&["", ";", " ;\n"]);
        self.text.push_str(end);
    }
}

/// An error says where: `line 3, column 7: …`.
fn says_where(error: &str) -> bool {
    let numbers = error.strip_prefix("line ").and_then(|rest| rest.split_once(", column "));
    numbers.is_some_and(|(line, rest)| {
        let column = rest.split(':').next().unwrap_or_default();
        [line, column].iter().all(|n| n.parse::<u64>().is_ok_and(|n| n > 0))
    })
}

/// Properties of ours, nearly: the keys, and values of their grammars and beyond.
fn properties() -> impl Strategy<Value = String> {
    let key = "ticklake[.](partition[.](a|b|date|symbol)|source[.](a|b|date)|format[.](a|b|date)|timezone|records|messages|only|sort|null_partition|Sort|[a-z.]{0,8})|parquet.compression|x";
    let value = prop_oneof![
        2 => "(identity|day|hour|year|month| day|Day|bucket)[(](a|b|/s|/x~1|/~2|@key|@timestamp|@headers[.]x|@|)[)]?",
        2 => "(/|~|~0|~1|[a-z]| |=|\"t\"|1|null|true|[|]|e400){0,8}",
        1 => "(epoch_(s|ms|us|ns)|rfc3339|%[a-zA-Z%:+.-]{1,3}){1,4}",
        1 => "UTC|America/New_York|Europe|utc|ZSTD|zstd|SNAPPY|NONE|LZO|default|reject|a|a,b|b, a,|a,a",
        1 => texts(),
    ];
    let quote = |text: String| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let property = (key, value).prop_map(move |(key, value)| format!("{} = {}", quote(key), quote(value)));
    prop::collection::vec(property, 1..6).prop_map(|all| all.join(",\n"))
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_statement_is_read_however_it_is_printed(ddl in ddls(), style in prop::collection::vec(any::<u8>(), 1..60)) {
        let mut printer = Printer { style: style.into_iter().cycle(), text: String::new() };
        printer.statement(&ddl);
        match Ddl::parse(&printer.text) {
            Ok(read) => prop_assert_eq!(read, ddl, "{}", printer.text),
            Err(e) => prop_assert!(false, "{}\n{}", e, printer.text),
        }
    }

    #[test]
    fn a_damaged_statement_is_read_or_refused_with_its_place(
        ddl in ddls(), style in prop::collection::vec(any::<u8>(), 1..60), changes in changes(), piece in "[`'\"(),;<>=:.\\\\*/-]|N'|\\$\\$|>>|1e5|\u{0}",
    ) {
        let mut printer = Printer { style: style.into_iter().cycle(), text: String::new() };
        printer.statement(&ddl);
        let damaged = changed(printer.text.as_bytes(), &changes);
        let damaged = String::from_utf8_lossy(&damaged);
        for text in [damaged.to_string(), format!("{damaged}{piece}"), damaged.replacen(' ', &piece, 3)] {
            match Ddl::parse(&text) {
                // What was read is printed and read as the same.
                Ok(read) => prop_assert_eq!(Ddl::parse(&read.to_string()).map_err(|e| e.to_string()), Ok(read)),
                Err(e) => prop_assert!(says_where(&e.to_string()), "{}\n{}", e, text),
            }
        }
    }

    #[test]
    fn any_text_is_refused_with_its_place(text in any::<String>()) {
        if let Err(e) = Ddl::parse(&text) {
            prop_assert!(says_where(&e.to_string()), "{}\n{}", e, text);
        }
        let _ = read_type(&text);
    }

    #[test]
    fn a_type_comes_back(column_type in column_types()) {
        prop_assert_eq!(read_type(&column_type.to_string()).map_err(|e| e.to_string()), Ok(column_type));
    }

    /// Properties make a spec, which is the same after the DDL went through a catalog, or are refused by name.
    #[test]
    fn properties_are_read_or_refused_by_name(properties in properties()) {
        let text = format!(
            "CREATE EXTERNAL TABLE d.t (a timestamp, b string) PARTITIONED BY (`date` string)\nSTORED AS PARQUET TBLPROPERTIES (\n\
             'ticklake.partition.date' = 'day(a)',\n{properties})"
        );
        let Ok(ddl) = Ddl::parse(&text) else { return Ok(()) };
        match Spec::from_ddl(&ddl) {
            Ok(spec) => {
                let again = Ddl::parse(&ddl.to_string()).and_then(|ddl| Spec::from_ddl(&ddl));
                prop_assert_eq!(again.map_err(|e| e.to_string()), Ok(spec));
            }
            Err(e) => {
                let e = e.to_string();
                let named = ddl.properties.iter().any(|p| e.starts_with(&format!("line {}: '{}': ", p.line, p.key)));
                prop_assert!(named, "{}\n{}", e, text);
            }
        }
    }
}
