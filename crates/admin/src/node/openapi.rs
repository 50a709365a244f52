//! `/openapi.json`: the API described in OpenAPI 3.1, from the table of routes and the schemas. An
//! endpoint of Keelgate's own.

use std::sync::Arc;

use http::Method;
use keelgate_entities::{Object, Schemas};
use serde_json::{Value, json};

use crate::admin::State;
use crate::call::Call;
use crate::respond;
use crate::routes::{Bodies, Described, Outcome, Routes};

pub(super) fn add(routes: &mut Routes) {
    routes.on(Method::GET, "/openapi.json", describe);
}

async fn describe(state: Arc<State>, _call: Call) -> Outcome {
    let credentials = state.admin.access.is_asked_for();
    Ok(respond::ok(&document(
        &state.paths,
        state.schemas(),
        credentials,
    )))
}

fn document(paths: &[Described], schemas: &Schemas, credentials: bool) -> Value {
    let shown = paths.iter().filter(|path| !path.methods.is_empty());
    let shown: Object = shown
        .map(|described| (described.path.clone(), path(described, paths)))
        .collect();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keelgate Admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Compatible with the Admin API of Kong 3.9. Rules between fields and the \
                            settings of plugins are told in full by `/schemas/…`.",
        },
        "paths": shown,
        "components": { "schemas": components(schemas) },
    });
    if credentials {
        document["components"]["securitySchemes"] = json!({
            "bearer": { "type": "http", "scheme": "bearer" },
            "basic": { "type": "http", "scheme": "basic" },
        });
        document["security"] = json!([{ "bearer": [] }, { "basic": [] }]);
    }
    document
}

fn components(schemas: &Schemas) -> Object {
    let mut components = Object::new();
    for schema in schemas.kinds().iter().chain(schemas.records()) {
        let name = schema.name;
        components.insert(name.to_owned(), schema.to_json_schema());
        let mut input = schema.input_json_schema();
        input["allOf"] = json!([reference(name)]);
        components.insert(format!("{name}.input"), input);
    }
    for plugin in schemas.plugins() {
        let name = format!("plugins.{}.config", plugin.name);
        components.insert(name, plugin.config_json_schema());
    }
    components.insert(
        "error".to_owned(),
        json!({
            "type": "object",
            "properties": {
                "message": { "type": "string" },
                "name": { "type": "string" },
                "code": { "type": "integer" },
                "fields": { "description": "What is wrong, by field." },
            },
        }),
    );
    components
}

fn reference(component: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{component}") })
}

fn path(described: &Described, all: &[Described]) -> Value {
    let mut item = Object::new();
    let parameters = parameters(&described.path);
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), parameters.into());
    }
    for method in &described.methods {
        let mut operation = operation(described, method);
        match (described.bodies, &**method) {
            (Some(Bodies::Collection(kind)), "POST") => {
                operation["responses"]["201"]["links"] = links(&described.path, kind, all).into();
            }
            (Some(Bodies::Single(kind)), "PUT") => {
                let own = format!("/{{{kind}}}");
                if let Some(collection) = described.path.strip_suffix(&own) {
                    operation["responses"]["200"]["links"] = links(collection, kind, all).into();
                }
            }
            _ => {}
        }
        item.insert(method.to_ascii_lowercase(), operation);
    }
    Value::Object(item)
}

/// What can be done with an entity that was posted to a collection.
fn links(collection: &str, kind: &str, all: &[Described]) -> Object {
    let given: Vec<_> = variables(collection).collect();
    let mut links = Object::new();
    for described in all {
        let needed: Vec<_> = variables(&described.path).collect();
        let known = |name: &&str| *name == kind || given.contains(name);
        if !needed.contains(&kind) || !needed.iter().all(known) {
            continue;
        }
        let values = needed.iter().map(|name| {
            let value = match *name == kind {
                true => "$response.body#/id".to_owned(),
                false => format!("$request.path.{name}"),
            };
            ((*name).to_owned(), value.into())
        });
        let values: Object = values.collect();
        for method in &described.methods {
            let operation = operation_id(method, &described.path);
            let named = operation.replace(['{', '}'], "").replace([' ', '/'], ".");
            let link = json!({ "operationId": operation, "parameters": values });
            links.insert(named, link);
        }
    }
    links
}

fn operation_id(method: &str, path: &str) -> String {
    format!("{} {path}", method.to_ascii_lowercase())
}

/// The names of the parts of a path that vary.
fn variables(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| {
        let inner = part.strip_prefix('{')?;
        inner.strip_suffix('}')
    })
}

/// The parts of a path that vary, described.
fn parameters(path: &str) -> Vec<Value> {
    let described = variables(path).map(|name| {
        json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "minLength": 1 },
        })
    });
    described.collect()
}

fn operation(described: &Described, method: &str) -> Value {
    let id = operation_id(method, &described.path);
    let mut operation = json!({ "operationId": id });
    let mut answers = Object::new();
    let failure = json!({ "description": "An error.", "content": content(&reference("error")) });
    answers.insert("default".to_owned(), failure);
    let (status, answer) = match (described.bodies, method) {
        (_, "DELETE") => ("204", None),
        (Some(Bodies::Collection(kind)), "POST") => {
            operation["requestBody"] = new_entity(kind);
            ("201", Some(reference(kind)))
        }
        (Some(Bodies::Collection(kind)), _) => {
            operation["parameters"] = page_parameters();
            ("200", Some(page(kind)))
        }
        (Some(Bodies::Single(kind)), "PUT") => {
            operation["requestBody"] = new_entity(kind);
            ("200", Some(reference(kind)))
        }
        (Some(Bodies::Single(kind)), "PATCH") => {
            operation["requestBody"] = body(&reference(kind));
            ("200", Some(reference(kind)))
        }
        (Some(Bodies::Single(kind)), _) => ("200", Some(reference(kind))),
        (None, "POST" | "PUT" | "PATCH") => {
            operation["requestBody"] = body(&json!({ "type": "object" }));
            ("2XX", None)
        }
        (None, _) => ("200", None),
    };
    let mut success = json!({ "description": "Done." });
    if let Some(answer) = answer {
        success["content"] = content(&answer);
    }
    answers.insert(status.to_owned(), success);
    operation["responses"] = answers.into();
    operation
}

fn content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

/// The body that makes an entity, with the least that it may be.
fn new_entity(kind: &str) -> Value {
    let mut body = body(&reference(&format!("{kind}.input")));
    let example = match kind {
        "services" => json!({ "host": "example.test" }),
        "routes" => json!({ "paths": ["/example"] }),
        "consumers" => json!({ "username": "example" }),
        "upstreams" => json!({ "name": "upstream.example" }),
        "targets" => json!({ "target": "192.0.2.1:8080" }),
        "plugins" => json!({ "name": "cors" }),
        "snis" => json!({ "name": "example.test" }),
        "vaults" => json!({ "prefix": "example", "name": "env" }),
        "key_sets" => json!({ "name": "example" }),
        "acls" => json!({ "group": "example" }),
        "basicauth_credentials" => json!({ "username": "example", "password": "a secret" }),
        "hmacauth_credentials" => json!({ "username": "example" }),
        "oauth2_credentials" => {
            json!({ "name": "example", "redirect_uris": ["https://example.test/"] })
        }
        "jwt_secrets" | "keyauth_credentials" => json!({}),
        // Certificates and keys cannot be made up.
        _ => return body,
    };
    body["content"]["application/json"]["examples"] = json!({ "least": { "value": example } });
    body
}

fn body(schema: &Value) -> Value {
    json!({ "content": content(schema) })
}

fn page(kind: &str) -> Value {
    json!({
        "type": "object",
        "properties": {
            "data": { "type": "array", "items": reference(kind) },
            "next": { "type": ["string", "null"] },
            "offset": { "type": "string" },
        },
        "required": ["data", "next"],
    })
}

fn page_parameters() -> Value {
    let query = |name: &str, schema: Value, description: &str| json!({ "name": name, "in": "query", "schema": schema, "description": description });
    let text = || json!({ "type": "string" });
    json!([
        query(
            "size",
            json!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
            "Entities per page.",
        ),
        query("offset", text(), "From the page before."),
        query("tags", text(), "`a,b`: all of them; `a/b`: any of them."),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let schemas = Schemas::new(Vec::new());
        let mut routes = Routes::default();
        crate::entity::add(&mut routes, &schemas);
        let document = document(&routes.describe(), &schemas, true);
        let text = document.to_string();
        let references = text.split("\"$ref\":\"#/components/schemas/").skip(1);
        let mut count = 0;
        for reference in references {
            let name = reference.split('"').next().unwrap();
            assert!(
                document["components"]["schemas"].get(name).is_some(),
                "{name}"
            );
            count += 1;
        }
        assert!(count > 100, "{count}");
    }

    #[test]
    fn what_can_be_done_with_a_new_entity_is_linked() {
        let schemas = Schemas::new(Vec::new());
        let mut routes = Routes::default();
        crate::entity::add(&mut routes, &schemas);
        let document = document(&routes.describe(), &schemas, false);
        let links = |path: &str| &document["paths"][path]["post"]["responses"]["201"]["links"];
        assert_eq!(
            links("/services")["patch..services.services"],
            json!({
                "operationId": "patch /services/{services}",
                "parameters": { "services": "$response.body#/id" },
            })
        );
        assert_eq!(
            links("/services/{services}/routes")["get..services.services.routes.routes"]["parameters"],
            json!({ "services": "$request.path.services", "routes": "$response.body#/id" })
        );
        assert_eq!(links("/services").get("get..routes.routes"), None);
        let put = &document["paths"]["/services/{services}"]["put"]["responses"]["200"]["links"];
        assert_eq!(
            put["delete..services.services"]["parameters"],
            json!({ "services": "$response.body#/id" })
        );
    }

    #[test]
    fn examples_of_new_entities_are_accepted() {
        let schemas = Schemas::new(Vec::new());
        let mut tried = 0;
        for schema in schemas.kinds() {
            let body = new_entity(schema.name);
            let example = &body["content"]["application/json"]["examples"]["least"]["value"];
            let Value::Object(mut example) = example.clone() else {
                continue;
            };
            // The owner follows from the path.
            for foreign in schema.foreign_keys() {
                if ["certificate", "consumer", "upstream"].contains(&foreign.field) {
                    let id = json!({ "id": "a0000001-0000-4000-8000-000000000001" });
                    example.insert(foreign.field.to_owned(), id);
                }
            }
            // No plugin is known here.
            if schema.name != "plugins" {
                let made = schemas.insert(schema.name, example, std::time::SystemTime::now());
                made.unwrap_or_else(|error| panic!("{}: {error}", schema.name));
                tried += 1;
            }
        }
        assert_eq!(tried, 14);
    }

    #[test]
    fn disabled_paths_are_not_described() {
        let schemas = Schemas::new(Vec::new());
        let mut routes = Routes::default();
        crate::entity::add(&mut routes, &schemas);
        let document = document(&routes.describe(), &schemas, false);
        assert_eq!(document["paths"].get("/targets"), None);
        let route = &document["paths"]["/services/{services}/routes/{routes}"];
        assert_eq!(route["parameters"].as_array().unwrap().len(), 2);
        assert!(route.get("patch").is_some() && route.get("options").is_none());
        assert_eq!(document.get("security"), None);
    }
}
