//! `/openapi.json`: the API described in OpenAPI 3.1, from the table of routes and the schemas. An
//! endpoint of Keelgate's own.

mod least;

use std::sync::Arc;

use http::Method;
use keelgate_entities::schema::{ForeignKey, Schema};
use keelgate_entities::{Object, Schemas};
use serde_json::{Value, json};

use crate::admin::State;
use crate::call::Call;
use crate::respond;
use crate::routes::{Bodies, Described, Outcome, Routes};
use least::least;

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
        .map(|described| (described.path.clone(), path(described, paths, schemas)))
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

fn path(described: &Described, all: &[Described], schemas: &Schemas) -> Value {
    let mut item = Object::new();
    let parameters = parameters(&described.path);
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), parameters.into());
    }
    for method in &described.methods {
        let mut operation = operation(described, method, schemas);
        match (described.bodies, &**method) {
            (Some(Bodies::Collection(kind)), "POST") => {
                operation["responses"]["201"]["links"] =
                    links(&described.path, kind, all, schemas).into();
            }
            (Some(Bodies::Single(kind)), "PUT") => {
                let own = format!("/{{{kind}}}");
                if let Some(collection) = described.path.strip_suffix(&own) {
                    operation["responses"]["200"]["links"] =
                        links(collection, kind, all, schemas).into();
                }
            }
            _ => {}
        }
        item.insert(method.to_ascii_lowercase(), operation);
    }
    Value::Object(item)
}

/// What can be done with an entity that was posted to a collection.
fn links(collection: &str, kind: &str, all: &[Described], schemas: &Schemas) -> Object {
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
    // What may belong to it.
    for described in all {
        let Some(Bodies::Collection(other)) = described.bodies else {
            continue;
        };
        let Some(schema) = schemas.kind(other) else {
            continue;
        };
        let owners: Vec<_> = owners(schema, &described.path).collect();
        if let [owner] = &owners[..]
            && owner.kind == kind
            && variables(&described.path).next().is_none()
            && described.methods.iter().any(|method| method == "POST")
        {
            let owner = owner.field;
            let link = json!({
                "operationId": operation_id("POST", &described.path),
                "requestBody": { (owner): { "id": "$response.body#/id" } },
            });
            links.insert(format!("post.{}", &described.path[1..]), link);
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

fn operation(described: &Described, method: &str, schemas: &Schemas) -> Value {
    let id = operation_id(method, &described.path);
    let mut operation = json!({ "operationId": id });
    let mut answers = Object::new();
    let failure = json!({ "description": "An error.", "content": content(&reference("error")) });
    answers.insert("default".to_owned(), failure);
    let (status, answer) = match (described.bodies, method) {
        (_, "DELETE") => ("204", None),
        (Some(Bodies::Collection(kind)), "POST") => {
            operation["requestBody"] = new_entity(kind, &described.path, schemas);
            ("201", Some(reference(kind)))
        }
        (Some(Bodies::Collection(kind)), _) => {
            operation["parameters"] = page_parameters();
            ("200", Some(page(kind)))
        }
        (Some(Bodies::Single(kind)), "PUT") => {
            operation["requestBody"] = new_entity(kind, &described.path, schemas);
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

/// The body that makes an entity of a kind at a path.
fn new_entity(kind: &str, path: &str, schemas: &Schemas) -> Value {
    let any = reference(&format!("{kind}.input"));
    let Some(schema) = schemas.kind(kind) else {
        return body(&any);
    };
    let owners: Vec<_> = owners(schema, path).map(|owner| owner.field).collect();
    let any = match owners.is_empty() {
        true => any,
        false => {
            let properties: Object = owners
                .iter()
                .map(|name| ((*name).to_owned(), owner()))
                .collect();
            json!({ "allOf": [any], "required": owners, "properties": properties })
        }
    };
    let Some((least, example)) = least(schema, &owners) else {
        return body(&any);
    };
    let mut body = body(&json!({ "anyOf": [least, any] }));
    body["content"]["application/json"]["examples"] = json!({ "least": { "value": example } });
    body
}

/// What an entity must refer to that its path does not tell.
fn owners<'s>(schema: &'s Schema, path: &str) -> impl Iterator<Item = ForeignKey<'s>> {
    let is_required = |name: &str| {
        let mut fields = schema.fields.iter();
        fields.any(|field| field.name == name && field.required)
    };
    let keys = schema.foreign_keys();
    keys.filter(move |key| is_required(key.field) && variables(path).all(|given| given != key.kind))
}

/// A reference to what an entity belongs to.
fn owner() -> Value {
    let id = json!({ "type": "string", "format": "uuid" });
    json!({ "type": "object", "properties": { "id": id }, "required": ["id"] })
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
