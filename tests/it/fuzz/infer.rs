//! A DDL that was inferred takes every sample: whatever they hold, none is rejected.

use proptest::prelude::*;
use ticklake::infer::{Inferred, Wish, infer};
use ticklake::table::{Ddl, Spec};

use super::cases;
use super::json::{Json, records, styles, values};

/// Fields that mean something by their names, that differ in case only, and that are no names of columns.
const NAMES: [&str; 22] = [
    "symbol",
    "s",
    "S",
    "ts",
    "time",
    "t",
    "T",
    "date",
    "price",
    "Price",
    "adjClose",
    "adj_close",
    "data",
    "a/b",
    "m~n",
    "0",
    "é",
    "\"q\\",
    "\u{0}",
    "",
    " ",
    "'x'",
];

fn messages() -> impl Strategy<Value = Vec<Json>> {
    let feed = || records(&NAMES);
    let many = prop::collection::vec(feed(), 0..4).prop_map(Json::Array);
    let within = prop::collection::vec(feed(), 1..4)
        .prop_map(|records| Json::Object(vec![("data".to_owned(), Json::Array(records))]));
    let message = prop_oneof![8 => feed(), 2 => many, 2 => within, 1 => values(&NAMES)];
    prop::collection::vec(message, 1..12)
}

fn wish(structs: bool) -> Wish {
    let name = "m.t".parse().expect("a name");
    Wish { name, structs, messages: None, only: None, records: None, symbol: None, time: None }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn what_was_inferred_takes_every_sample(messages in messages(), style in styles(), structs in any::<bool>()) {
        let messages: Vec<Vec<u8>> = messages.iter().map(|message| message.print(&style).into_bytes()).collect();
        let text = || messages.iter().map(|message| String::from_utf8_lossy(message)).collect::<Vec<_>>().join("\n");
        let Ok(Inferred { ddl, tally, .. }) = infer(&messages, &wish(structs)) else {
            // None of them is a record then.
            return Ok(());
        };
        prop_assert_eq!(&Ddl::parse(&ddl.to_string()).unwrap(), &ddl);
        Spec::from_ddl(&ddl).unwrap();
        // A message that is no record is none by any DDL.
        let no_record = ["not_an_object", "no_records"];
        let rejected: Vec<_> = tally.rejected.keys().filter(|(reason, _)| !no_record.contains(reason)).collect();
        prop_assert!(rejected.is_empty(), "{:?}\n{}\n{}", tally, ddl, text());
        prop_assert!(tally.rows > 0, "{:?}\n{}\n{}", tally, ddl, text());
        prop_assert_eq!(infer(&messages, &wish(structs)).unwrap().ddl, ddl);
    }
}
