//! What the plugins share that tell others about every request.
//!
//! | module | its one reason |
//! |---|---|
//! | `record` | the record about a request, in JSON |
//! | `session` | the record about a TCP, TLS or UDP session |
//! | `parts` | what records about requests and about sessions have in common |
//! | `json` | texts and numbers in JSON |
//! | `fields` | what a configuration changes in it |
//! | `severity` | how grave a request is |
//! | `stamp` | times in messages of syslog |
//! | `stat` | what the plugins that send numbers share |
//! | `figures` | sizes and times of a request |
//! | `logger` | the plugin that puts records into a queue |
//! | `page`, `batch` | records one after another in memory |
//! | `queue` | between requests and whoever is told |
//! | `delivery` | the thread that queues are emptied on |
//! | `endpoint` | an HTTP server that is told |
//! | `network` | connections towards whoever is told lines |
//! | `datagrams` | datagrams towards whoever is told |

pub(crate) mod batch;
pub(crate) mod datagrams;
pub(crate) mod delivery;
pub(crate) mod endpoint;
pub(crate) mod fields;
pub(crate) mod figures;
pub(crate) mod json;
pub(crate) mod logger;
pub(crate) mod network;
mod page;
mod parts;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod session;
pub(crate) mod severity;
pub(crate) mod stamp;
pub(crate) mod stat;

/// The protocols whose requests are told of, where a configuration does not say.
pub(crate) const HTTP: &[&str] = &["grpc", "grpcs", "http", "https"];

/// The id of the only workspace, as Kong has it without a database.
pub(crate) const WORKSPACE_ID: &str = "0dc6f45b-8f8d-40d2-a504-473544ee190b";

/// The name of the only workspace.
pub(crate) const WORKSPACE_NAME: &str = "default";
