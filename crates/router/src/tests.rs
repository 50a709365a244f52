//! The router as a whole.

mod random;
mod semantics;
mod ties;
mod traditional;

use std::collections::BTreeMap;

use keelgate_entities::RouterFlavor;
use keelgate_entities::kinds::{PathHandling, Protocol, Route};
use uuid::Uuid;

use crate::{Facts, Headers, Match, Router};

/// Headers by lower-case name.
pub(crate) struct Fields<'a>(pub(crate) &'a [(&'a str, &'a str)]);

impl Headers for Fields<'_> {
    fn any(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut own = self.0.iter().filter(|(own, _)| *own == name);
        own.any(|(_, value)| visit(value.as_bytes()))
    }
}

/// A route without attributes.
pub(crate) fn route(id: u128) -> Route {
    Route {
        id: Uuid::from_u128(id),
        name: None,
        protocols: vec![Protocol::Http, Protocol::Https],
        methods: None,
        hosts: None,
        paths: None,
        headers: None,
        snis: None,
        sources: None,
        destinations: None,
        expression: None,
        priority: None,
        regex_priority: 0,
        strip_path: true,
        path_handling: PathHandling::V0,
        preserve_host: false,
        request_buffering: true,
        response_buffering: true,
        https_redirect_status_code: 426,
        service: None,
        tags: None,
        created_at: None,
        updated_at: None,
    }
}

fn list(items: &[&str]) -> Option<Vec<String>> {
    Some(items.iter().map(|item| item.to_string()).collect())
}

fn headers(items: &[(&str, &[&str])]) -> Option<BTreeMap<String, Vec<String>>> {
    Some(
        items
            .iter()
            .map(|(name, values)| {
                let values = values.iter().map(|value| value.to_string());
                (name.to_string(), values.collect())
            })
            .collect(),
    )
}

fn router(routes: &[Route]) -> Router {
    Router::compile(routes, RouterFlavor::TraditionalCompatible).unwrap()
}

/// A request to ask with; change what matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    protocol: Protocol,
    method: &'a str,
    host: &'a str,
    port: u16,
    /// Whether the client names the port.
    explicit_port: bool,
    path: &'a str,
    query: Option<&'a str>,
    headers: &'a [(&'a str, &'a str)],
    sni: Option<&'a str>,
    source: &'a str,
}

impl<'a> Request<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self {
            protocol: Protocol::Http,
            method: "GET",
            host: "a.test",
            port: 8000,
            explicit_port: false,
            path,
            query: None,
            headers: &[],
            sni: None,
            source: "127.0.0.1:50000",
        }
    }

    pub(crate) fn with_query(self, query: &'a str) -> Self {
        let query = Some(query);
        Self { query, ..self }
    }

    pub(crate) fn with_headers(self, headers: &'a [(&'a str, &'a str)]) -> Self {
        Self { headers, ..self }
    }

    pub(crate) fn over(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    pub(crate) fn ask<T>(&self, answer: impl FnOnce(&Facts<'_>) -> T) -> T {
        let authority = match self.explicit_port {
            true => format!("{}:{}", self.host, self.port),
            false => self.host.to_owned(),
        };
        answer(&Facts {
            protocol: self.protocol,
            method: self.method,
            authority: &authority,
            host: self.host,
            port: self.port,
            path: self.path,
            query: self.query,
            headers: &Fields(self.headers),
            sni: self.sni,
            source: self.source.parse().unwrap(),
            destination: "127.0.0.1:8000".parse().unwrap(),
        })
    }

    pub(crate) fn find(&self, router: &Router) -> Option<Match> {
        self.ask(|facts| router.find(facts))
    }

    fn route(&self, router: &Router) -> Option<usize> {
        self.find(router).map(|found| found.route)
    }
}
