//! `maintenance`: requests are answered with 503 and `Retry-After`; those that bring a word in a header
//! pass.

use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use keelgate::entities::schema::{Field, PluginSchema, typedefs};
use keelgate::plugins::error::Reason;
use keelgate::plugins::{Access, CustomPlugin, Exchange, Flow, Phases, Plugin, Response};
use serde::Deserialize;
use serde_json::Value;

/// The settings. The schema has checked them and filled in what was left out.
#[derive(Deserialize)]
struct Config {
    retry_after: u32,
    message: String,
    pass_header: Option<String>,
    pass_word: Option<String>,
}

/// A compiled configuration: whatever can be made before the first request.
struct Maintenance {
    answer: Response,
    pass: Option<(HeaderName, String)>,
}

/// The plugin, for the build.
pub(crate) fn plugin() -> CustomPlugin {
    // After authentication (priorities above 1,000), before rate limits.
    let schema = PluginSchema::new("maintenance", 960, "1.0.0")
        .http_only()
        .fields([
            Field::integer("retry_after")
                .required()
                .default(60)
                .between(1.0, 86_400.0)
                .description("Seconds after which clients may come again."),
            Field::string("message")
                .required()
                .default("Under maintenance")
                .description("What they are told."),
            typedefs::header_name("pass_header")
                .description("A header whose `pass_word` lets a request pass."),
            Field::string("pass_word")
                .referenceable()
                .description("That word."),
        ]);
    CustomPlugin::new(schema, |plugin, _directory| {
        let config = serde_json::from_value(Value::Object(plugin.config.clone()))?;
        Ok(Arc::new(Maintenance::new(config)?))
    })
}

impl Maintenance {
    fn new(config: Config) -> Result<Self, Reason> {
        let mut answer = Response::error(StatusCode::SERVICE_UNAVAILABLE, config.message);
        answer
            .headers
            .insert(RETRY_AFTER, HeaderValue::from(config.retry_after));
        let pass = match (config.pass_header, config.pass_word) {
            (None, None) => None,
            (Some(name), Some(word)) => {
                let name = HeaderName::try_from(name)
                    .map_err(|error| Reason::setting("pass_header", error))?;
                Some((name, word))
            }
            _ => {
                return Err(Reason::setting(
                    "pass_word",
                    "goes together with pass_header",
                ));
            }
        };
        Ok(Self { answer, pass })
    }
}

impl Plugin for Maintenance {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let passes = self.pass.as_ref().is_some_and(|(name, word)| {
            let given = exchange.headers.get(name);
            given.is_some_and(|given| given.as_bytes() == word.as_bytes())
        });
        Access::Ready(match passes {
            true => Flow::Continue,
            false => Flow::Respond(Box::new(self.answer.clone())),
        })
    }
}
