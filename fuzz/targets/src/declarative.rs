//! A configuration that is accepted is accepted again as it is dumped, as it is sent to data planes
//! and as YAML, and means the same each time.

use std::sync::{LazyLock, Once};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keelgate_entities::{Schemas, declarative};
use keelgate_plugins::Registry;
use serde_json::Value;

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| Schemas::new(Registry::schemas()));

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// The YAML scanner panics at some texts, and the reader makes an error of that: no finding.
fn expect_panics_of_the_scanner() {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let scanner = panic
            .location()
            .is_some_and(|place| place.file().contains("libyaml-safer"));
        if !scanner {
            abort(panic);
        }
    }));
}

pub(crate) fn run(text: &str) {
    static QUIET: Once = Once::new();
    QUIET.call_once(expect_panics_of_the_scanner);
    let Ok(document) = declarative::parse_text(text) else {
        return;
    };
    let yaml = declarative::to_yaml(&document);
    let again = declarative::parse_text(&yaml).expect("what was written as YAML can be read");
    assert_eq!(again, document, "{yaml}");
    let Ok(table) = declarative::parse(document, &SCHEMAS, now()) else {
        return;
    };
    // A plugin that cannot be bound to consumers may stand inside one, as in Kong, but not in flat form.
    if table
        .get("plugins")
        .iter()
        .any(|plugin| plugin.get("consumer").is_some_and(|id| !id.is_null()))
    {
        return;
    }
    let sent = table.clone().into_config_table();
    let received = declarative::parse_config_table(Value::Object(sent.clone()), &SCHEMAS, now())
        .expect("data planes accept what is sent to them");
    assert_eq!(received.into_config_table(), sent);
    let dumped = declarative::dump(&table);
    let restored =
        declarative::parse(dumped.clone(), &SCHEMAS, now()).expect("a dump can be loaded");
    assert_eq!(declarative::dump(&restored), dumped);
}
