//! The description of the API, followed link by link, and while the database is away.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code)]
mod support;

use std::sync::Arc;

use keelgate_admin::Mode;
use keelgate_entities::Object;
use keelgate_entities::Schemas;
use keelgate_entities::schema::{Field, PluginSchema};
use keelgate_store::{
    Answer as Told, Key, MemoryStore, Page, PageRequest, Position, SqliteStore, Store, StoreError,
    TagPage, Work,
};
use serde_json::{Value, json};
use support::{Answer, request};

/// The API, and what it says of itself.
struct Described {
    address: std::net::SocketAddr,
    document: Value,
    /// Makes names unique.
    made: std::cell::Cell<usize>,
    store: Arc<dyn Store>,
    _directory: tempfile::TempDir,
}

impl Described {
    async fn start() -> Self {
        let directory = tempfile::TempDir::new().unwrap();
        let plugin = PluginSchema::new("request-size-limiting", 10, "1.0.0");
        let plugin = plugin.field(Field::integer("allowed_payload_size").default(128));
        let schemas = Arc::new(Schemas::new(vec![plugin]));
        let path = directory.path().join("keelgate.db");
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path, schemas).unwrap());
        let router = support::admin(Arc::clone(&store), Mode::Database).router();
        let address = support::start(router).await;
        let document = request(address, "GET", "/openapi.json", &[], "").await;
        Self {
            address,
            document: document.expect(200),
            made: std::cell::Cell::new(0),
            store,
            _directory: directory,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let headers = [("content-type", "application/json")];
        match body {
            Some(body) => request(self.address, method, path, &headers, body.to_string()).await,
            None => request(self.address, method, path, &[], "").await,
        }
    }

    /// All operations: method, path, description.
    fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.document["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, item)| {
            let methods = ["get", "post", "put", "patch", "delete"];
            methods
                .into_iter()
                .filter_map(move |method| Some((method, path.as_str(), item.get(method)?)))
        })
    }

    /// The kind that an operation makes.
    fn kind(operation: &Value) -> Option<&str> {
        let answers = &operation["responses"];
        let answer = answers.get("201").or_else(|| answers.get("200"))?;
        let schema = answer["content"]["application/json"]["schema"]["$ref"].as_str()?;
        schema.strip_prefix("#/components/schemas/")
    }

    /// The body that the description gives as an example, with names of its own, and owners where
    /// the path does not tell them.
    async fn example(&self, operation: &Value) -> Option<Value> {
        let body = &operation["requestBody"]["content"]["application/json"];
        let mut example = body["examples"]["least"]["value"].clone();
        let members = example.as_object_mut()?;
        self.made.set(self.made.get() + 1);
        let number = self.made.get();
        for (name, value) in members.iter_mut() {
            if let Value::String(text) = value
                && !["cert", "kid", "jwk"].contains(&name.as_str())
                && !text.starts_with("---")
            {
                *text = text.replace("example", &format!("example{number}"));
            }
        }
        if let Some(target) = members.get_mut("target") {
            *target = json!(format!("192.0.2.1:{}", 1000 + number));
        }
        let owners = [
            ("consumer", "consumers"),
            ("certificate", "certificates"),
            ("upstream", "upstreams"),
            ("credential", "oauth2_credentials"),
        ];
        for (field, kind) in owners {
            if members.contains_key(field) {
                let owner = Box::pin(self.make(kind)).await?;
                members.insert(field.to_owned(), json!({ "id": owner }));
            }
        }
        Some(example)
    }

    /// The least change.
    fn patch(&self, operation: &Value) -> Value {
        let kind = Self::kind(operation).unwrap();
        let known = &self.document["components"]["schemas"][kind]["properties"];
        match known.get("tags") {
            Some(_) => json!({ "tags": ["linked"] }),
            None => json!({}),
        }
    }

    /// Sends an example. What another one like it is in the way of, that goes first.
    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let answer = self.ask(method, path, Some(body)).await;
        if answer.status != 409 {
            return answer;
        }
        for kind in ["ca_certificates", "keys", "plugins"] {
            let held = self.ask("GET", &format!("/{kind}"), None).await.expect(200);
            for entity in held["data"].as_array().unwrap() {
                let path = format!("/{kind}/{}", entity["id"].as_str().unwrap());
                self.ask("DELETE", &path, None).await.expect(204);
            }
        }
        self.ask(method, path, Some(body)).await
    }

    /// Makes one of a kind; its id.
    async fn make(&self, kind: &str) -> Option<String> {
        let mut operations = self.operations();
        let (_, path, operation) = operations.find(|(method, path, operation)| {
            *method == "post" && !path.contains('{') && Self::kind(operation) == Some(kind)
        })?;
        let body = self.example(operation).await?;
        let made = self.send("POST", path, &body).await.expect(201);
        Some(made["id"].as_str().unwrap().to_owned())
    }
}

/// The parts of a path that vary.
fn variables(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn filled(path: &str, values: &[(String, String)]) -> String {
    let fill = |path: String, (name, value): &(String, String)| {
        path.replace(&format!("{{{name}}}"), value)
    };
    values.iter().fold(path.to_owned(), fill)
}

/// Whether a refusal is the right answer: entities that refer to nothing have nothing there, what
/// is needed cannot be removed, and this node has neither WebAssembly nor a balancer.
fn is_no(method: &str, path: &str, answer: &Answer) -> bool {
    let is_reference = !path.ends_with('}');
    match answer.status {
        404 => is_reference && method != "put",
        405 => is_reference && method == "delete",
        400 => path.contains("/filter") || path.ends_with("healthy"),
        _ => false,
    }
}

#[tokio::test]
async fn every_link_can_be_followed() {
    let api = Described::start().await;
    let (mut followed, mut unmade, mut lost) = (0, Vec::new(), Vec::new());
    for (method, path, operation) in api.operations() {
        let answers = ["200", "201"];
        let mut links = answers
            .iter()
            .filter_map(|status| operation["responses"][status]["links"].as_object());
        for (name, link) in links.next().into_iter().flatten() {
            // What it starts from is made anew, since the one before may have removed it.
            let mut values = Vec::new();
            for variable in variables(path) {
                let is_own = method == "put" && path.ends_with(&format!("{{{variable}}}"));
                let id = match is_own {
                    true => Some(uuid::Uuid::new_v4().to_string()),
                    false => api.make(variable).await,
                };
                values.extend(id.map(|id| (variable.to_owned(), id)));
            }
            let body = api.example(operation).await;
            let Some(body) = body.filter(|_| values.len() == variables(path).count()) else {
                unmade.push(format!("{method} {path}"));
                break;
            };
            let made = api
                .send(&method.to_uppercase(), &filled(path, &values), &body)
                .await;
            if ![200, 201].contains(&made.status) {
                unmade.push(format!("{method} {path}"));
                break;
            }
            let made = made.json();

            let (target, to, operation) = api
                .operations()
                .find(|(_, _, operation)| operation["operationId"] == link["operationId"])
                .unwrap();
            let given = link["parameters"].as_object();
            let given: Vec<_> = given
                .into_iter()
                .flatten()
                .map(|(name, from)| {
                    let value = match from.as_str().unwrap() {
                        "$response.body#/id" => made["id"].as_str().unwrap().to_owned(),
                        path => {
                            let name = path.strip_prefix("$request.path.").unwrap();
                            values
                                .iter()
                                .find(|(known, _)| known == name)
                                .unwrap()
                                .1
                                .clone()
                        }
                    };
                    (name.clone(), value)
                })
                .collect();
            let mut body = match target {
                "patch" => Some(api.patch(operation)),
                "post" | "put" => api.example(operation).await,
                _ => None,
            };
            let linked = link["requestBody"].as_object();
            for field in linked.into_iter().flatten().map(|(field, _)| field) {
                body.as_mut().unwrap()[field] = json!({ "id": made["id"] });
            }
            let (method_there, there) = (target.to_uppercase(), filled(to, &given));
            let answer = match &body {
                Some(body) => api.send(&method_there, &there, body).await,
                None => api.ask(&method_there, &there, None).await,
            };
            assert!(answer.status < 500, "{name}: {}", answer.text);
            followed += 1;
            if answer.status >= 300 && !is_no(target, to, &answer) {
                lost.push(format!(
                    "{method} {path} -> {target} {to}: {} {}",
                    answer.status, answer.text
                ));
            }
        }
    }
    assert_eq!(lost, [""; 0], "{followed} were followed");
    // Kong makes no target there either.
    assert_eq!(unmade, ["put /upstreams/{upstreams}/targets/{targets}"]);
    assert!(followed > 800, "{followed}");
}

/// What a node has in memory of a database that is away.
struct Away(MemoryStore);

impl Away {
    fn refuse<T: Send + 'static>() -> Told<'static, T> {
        let gone = StoreError::Unavailable("connection refused".to_owned());
        Box::pin(std::future::ready(Err(gone)))
    }
}

impl Store for Away {
    fn schemas(&self) -> &Arc<Schemas> {
        self.0.schemas()
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn get(&self, kind: &str, key: Key) -> Told<'_, Option<Object>> {
        self.0.get(kind, key)
    }

    fn page(&self, kind: &str, request: PageRequest) -> Told<'_, Page> {
        self.0.page(kind, request)
    }

    fn tagged(
        &self,
        tag: Option<String>,
        size: usize,
        offset: Option<String>,
    ) -> Told<'_, TagPage> {
        self.0.tagged(tag, size, offset)
    }

    fn transact(&self, _work: Work) -> Told<'_, u64> {
        Self::refuse()
    }

    fn view(&self, work: Work) -> Told<'_, ()> {
        self.0.view(work)
    }

    fn generation(&self) -> u64 {
        self.0.generation()
    }

    fn export(&self) -> Told<'_, (Position, keelgate_entities::declarative::Table)> {
        self.0.export()
    }

    fn position(&self) -> Told<'_, Position> {
        Self::refuse()
    }

    fn subscribe(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.subscribe()
    }

    fn begin_epoch(&self, _above: u64, _cluster_id: Option<uuid::Uuid>) -> Told<'_, Position> {
        Self::refuse()
    }
}

#[tokio::test]
async fn no_write_is_taken_while_the_database_is_away_and_reads_go_on() {
    let mut api = Described::start().await;
    let mut ids = Vec::new();
    for schema in api.store.schemas().kinds() {
        ids.extend(
            api.make(schema.name)
                .await
                .map(|id| (schema.name.to_owned(), id)),
        );
    }
    assert!(ids.len() > 15, "{ids:?}");
    let (_, table) = api.store.export().await.unwrap();
    let memory = MemoryStore::new(Arc::clone(api.store.schemas()));
    memory.load(&table).unwrap();
    let away: Arc<dyn Store> = Arc::new(Away(memory));
    api.address = support::start(support::admin(away, Mode::Database).router()).await;
    let (mut refused, mut taken, mut read) = (0, Vec::new(), 0);
    for (method, path, operation) in api.operations() {
        let path = filled(path, &ids);
        let collection = path.split('/').nth(1).unwrap_or_default();
        let is_of_entities = api.document["paths"]
            .get(format!("/{collection}"))
            .is_some();
        if path.contains('{') || !is_of_entities || ["cache", "config"].contains(&collection) {
            continue;
        }
        let body = match (method, Described::kind(operation)) {
            ("get", Some(_)) => {
                let answer = api.ask("GET", &path, None).await;
                assert!(
                    [200, 404].contains(&answer.status),
                    "{path}: {}",
                    answer.text
                );
                read += 1;
                continue;
            }
            ("delete", _) => None,
            ("patch", Some(_)) => Some(json!({})),
            // Their examples have owners, who need not be there.
            ("post" | "put", Some(_)) => {
                let body = &operation["requestBody"]["content"]["application/json"];
                Some(body["examples"]["least"]["value"].clone()).filter(|body| !body.is_null())
            }
            _ => continue,
        };
        if method != "delete" && body.is_none() {
            continue;
        }
        let answer = api.ask(&method.to_uppercase(), &path, body.as_ref()).await;
        match answer.status {
            503 => {
                assert!(
                    answer.text.contains("database is not available"),
                    "{}",
                    answer.text
                );
                refused += 1;
            }
            405 | 404 if is_no(method, &path, &answer) => {}
            status => taken.push(format!("{method} {path}: {status} {}", answer.text)),
        }
    }
    assert_eq!(taken, [""; 0], "{refused} were refused");
    assert!(refused > 100 && read > 40, "{refused} {read}");
}
