//! Bodies as entities: JSON, forms and multipart.

mod form;
mod infer;
mod multipart;

use keelgate_entities::{Object, Schemas};
use serde_json::Value;

use crate::call::Call;
use crate::failure::Failure;

/// What a client sent as the members of an entity.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    members: Object,
    // Forms carry text only; what it stands for follows from the schema.
    text: bool,
}

impl Arguments {
    /// Reads the body of a request.
    pub(crate) async fn read(call: &Call) -> Result<Self, Failure> {
        let content_type = call.content_type();
        let media_type = content_type.to_ascii_lowercase();
        if media_type.starts_with("application/json") {
            return Ok(Self {
                members: json(&call.body)?,
                text: false,
            });
        }
        let pairs = if media_type.starts_with("multipart/form-data") {
            multipart::pairs(&content_type, call.body.clone()).await
        } else {
            form::pairs(&call.body)
        };
        Ok(Self {
            members: form::nest(pairs),
            text: true,
        })
    }

    /// The members as a kind of entity has them. `plugin` names the plugin whose settings a form
    /// holds when the form itself does not.
    pub(crate) fn of_kind(self, schemas: &Schemas, kind: &str, plugin: Option<&str>) -> Object {
        let mut members = self.members;
        if let Some(schema) = schemas.kind(kind).filter(|_| self.text) {
            infer::members(&mut members, &schema.fields);
            let plugin = match members.get("name") {
                Some(Value::String(name)) => Some(name.clone()),
                _ => plugin.map(str::to_owned),
            };
            if let (Some(name), "plugins") = (plugin, kind)
                && let Some(plugin) = schemas.plugin(&name)
                && let Some(Value::Object(config)) = members.get_mut("config")
            {
                infer::members(config, &plugin.fields);
            }
        }
        members
    }

    /// The members as a change of an entity has them.
    pub(crate) fn for_update(self, schemas: &Schemas, kind: &str, current: &Object) -> Object {
        let plugin = current.get("name").and_then(Value::as_str);
        self.of_kind(schemas, kind, plugin)
    }

    /// The members as they came.
    pub(crate) fn raw(self) -> Object {
        self.members
    }
}

/// The parser stops at 128 levels, which no entity comes near.
fn json(body: &[u8]) -> Result<Object, Failure> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        // To Kong a list is an object whose members are counted from 1: an empty one can stand for
        // an empty object, any other has unknown members.
        Ok(Value::Array(items)) => {
            let numbers = (1..).map(|number: usize| number.to_string());
            Ok(numbers.zip(items).collect())
        }
        Ok(_) => Err(Failure::bad_request("expected a JSON object as body")),
        Err(_) => Err(Failure::bad_request("Cannot parse JSON body")),
    }
}
