//! From a configuration to what serves.

use std::sync::Arc;

use keelgate_entities::kinds::Route;
use keelgate_entities::{Config, List, Pick, RouterFlavor};
use keelgate_plugins::Written;
use keelgate_router::{Router, StreamRouter};
use rustc_hash::FxHashMap;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use uuid::Uuid;

use crate::certificates::Certificates;
use crate::people::People;
use crate::plugins::PluginCompiler;
use crate::runtime::RouteEntry;
use crate::secrets::References;
use crate::service::{ServiceEntry, Services, read_authorities};
use crate::streams::{self, is_stream, is_stream_route};
use crate::upstream_tls::Profiles;
use crate::{CompileError, Plugins, Runtime, Secrets, upstream};

/// What a node brings to every snapshot that it compiles.
pub struct Env {
    /// The plugins of this node.
    pub plugins: Arc<dyn Plugins>,
    /// `router_flavor`.
    pub flavor: RouterFlavor,
    /// Answers for server names that no certificate of the snapshot has.
    pub default_certificate: Arc<CertifiedKey>,
    /// Authorities that upstreams are verified against, unless their service names its own.
    pub trusted: Arc<RootCertStore>,
    /// Whether upstreams are verified when their service does not say.
    pub verify_upstreams: bool,
    /// Certificate shown to upstreams whose service has none of its own.
    pub client_certificate: Option<Arc<CertifiedKey>>,
    /// What entities refer to by `{vault://…}`. Without it references stay what they are, as on a
    /// node that only looks at configurations for others, which alone have the secrets.
    pub secrets: Option<Arc<dyn Secrets>>,
}

impl Runtime {
    /// Compiles a whole configuration.
    ///
    /// `label` names it in logs; `previous` is what serves now, from which unchanged certificates,
    /// TLS sessions and the health of targets are taken over.
    ///
    /// Certificates and secrets that are missing or cannot be used harm only what leans on them:
    /// they are told by [`Self::flaws`], and everything else serves.
    ///
    /// # Errors
    /// The first other entity that does not compile, and how to mend it.
    pub fn compile(
        config: Config,
        label: String,
        env: &Env,
        previous: Option<&Self>,
    ) -> Result<Self, CompileError> {
        let Config {
            services,
            routes,
            consumers,
            plugins,
            upstreams,
            targets,
            certificates,
            snis,
            ca_certificates,
            vaults,
            keyauth_credentials,
            basicauth_credentials,
            jwt_secrets,
            hmacauth_credentials,
            oauth2_credentials,
            acls,
        } = config;
        let people = People {
            consumers,
            keys: keyauth_credentials,
            passwords: basicauth_credentials,
            tokens: jwt_secrets,
            signers: hmacauth_credentials,
            applications: oauth2_credentials,
            groups: acls,
        };
        let directory =
            people.directory(previous.map(|previous| (&previous.people, &previous.directory)));
        let references = References::new(env.secrets.as_ref(), &vaults);
        let mut flaws = Vec::new();
        let certificates = Certificates::compile(
            &certificates,
            references,
            &snis,
            Arc::clone(&env.default_certificate),
            previous.map(|previous| &previous.certificates),
            &mut flaws,
        )?;
        let mut upstreams =
            upstream::compile(upstreams, &targets, previous.map_or(&[], Self::upstreams))?;
        let mut profiles = Profiles::default();
        let authorities = read_authorities(&ca_certificates, &mut flaws);
        let compiler = Services {
            env,
            certificates: &certificates,
            authorities: &authorities,
            upstreams: &upstreams,
            previous: previous.map(|previous| &previous.profiles),
        };
        let services = compiler.compile(services.to_vec(), &mut profiles, &mut flaws);
        let probes = compiler.probes(&mut profiles, &mut flaws);
        for (entry, tls) in upstreams.iter_mut().zip(probes) {
            entry.probe_tls = tls;
        }

        let by_id: FxHashMap<Uuid, u32> = (0..)
            .zip(&services)
            .map(|(index, entry)| (entry.service.id, index))
            .collect();
        let routes = served(&routes, &services, &by_id)?;
        let router = Router::compile(&routes, env.flavor)?;

        let stream_router = StreamRouter::compile(&routes, env.flavor)?;

        let compiler = PluginCompiler {
            env,
            references,
            directory: &directory,
            has_streams: !stream_router.is_empty(),
        };
        let scopes = compiler.compile(plugins, &mut flaws)?;
        let mut chains = scopes.http.finish();
        let mut stream_chains = scopes.stream.finish();
        let entries = routes
            .iter()
            .map(|route| {
                let service = route
                    .service
                    .and_then(|service| by_id.get(&service.0).copied());
                let of_service = route.service.map(|service| service.0);
                if is_stream_route(route) {
                    let chain = stream_chains.draw(Some(route.id), of_service);
                    let checked = service.map_or(Ok(()), |index| {
                        streams::check_service(route, &services[index as usize])
                    });
                    return RouteEntry {
                        service: service.filter(|_| checked.is_ok()),
                        closed: streams::is_closed(&chain),
                        chain: {
                            flaws.extend(checked.err());
                            chain
                        },
                        written: Written::default(),
                    };
                }
                // Services of streams have no part in HTTP; their routes are left without one.
                let of_http = |index: &u32| !is_stream(services[*index as usize].service.protocol);
                RouteEntry {
                    service: service.filter(of_http),
                    chain: chains.draw(Some(route.id), of_service),
                    closed: false,
                    written: Written::default(),
                }
            })
            .collect();
        Ok(Self {
            label,
            router,
            stream_router,
            routes,
            entries,
            services,
            upstreams: upstreams.into_iter().map(Arc::new).collect(),
            unrouted: chains.draw(None, None),
            certificates,
            profiles,
            people,
            directory,
            flaws,
        })
    }
}

/// The routes that can match: without a service, or with an enabled one.
fn served(
    routes: &List<Route>,
    services: &[ServiceEntry],
    by_id: &FxHashMap<Uuid, u32>,
) -> Result<Vec<Pick<Route>>, CompileError> {
    let mut served = Vec::with_capacity(routes.len());
    for route in routes.picks() {
        let enabled = match route.service {
            None => true,
            Some(service) => match by_id.get(&service.0) {
                Some(index) => services[*index as usize].service.enabled,
                None => {
                    return Err(CompileError {
                        kind: "routes",
                        id: route.id,
                        name: route.name.clone(),
                        what: format!("its service {} does not exist", service.0),
                        mend: "create the service, or take it off the route",
                    });
                }
            },
        };
        if enabled {
            served.push(route);
        }
    }
    Ok(served)
}

#[cfg(test)]
mod tests {
    use keelgate_entities::kinds;
    use keelgate_plugins::Directory;
    use serde_json::{Value, json};

    use super::*;
    use crate::{Origin, UpstreamTls};

    struct None;

    impl Plugins for None {
        fn compile(
            &self,
            _plugin: &kinds::Plugin,
            _directory: &Arc<Directory>,
        ) -> Result<Arc<dyn keelgate_plugins::Plugin>, String> {
            Err("config.x: must be a number".to_owned())
        }

        fn priority(&self, name: &str) -> Option<i32> {
            (name == "known").then_some(1)
        }
    }

    fn env() -> Env {
        let made = rcgen::generate_simple_self_signed(vec!["default".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        Env {
            plugins: Arc::new(None),
            flavor: RouterFlavor::default(),
            default_certificate: Arc::new(crate::certificates::certified_key(&cert, &key).unwrap()),
            trusted: Arc::new(RootCertStore::empty()),
            verify_upstreams: true,
            client_certificate: Option::None,
            secrets: Option::None,
        }
    }

    fn compile(config: Value) -> Result<Runtime, CompileError> {
        compile_after(config, Option::None)
    }

    fn compile_after(config: Value, previous: Option<&Runtime>) -> Result<Runtime, CompileError> {
        let config = serde_json::from_value(config).unwrap();
        Runtime::compile(config, "test".to_owned(), &env(), previous)
    }

    fn id(n: u32) -> String {
        Uuid::from_u128(n.into()).to_string()
    }

    fn service(n: u32) -> Value {
        json!({"id": id(n), "protocol": "https", "host": "h", "port": 443})
    }

    fn route(n: u32, service: u32) -> Value {
        json!({
            "id": id(n), "protocols": ["http"], "paths": [format!("/{n}")],
            "service": id(service),
        })
    }

    #[test]
    fn routes_of_disabled_services_do_not_serve() {
        let mut disabled = service(1);
        disabled["enabled"] = false.into();
        let config = json!({
            "services": [disabled, service(2)], "routes": [route(3, 1), route(4, 2)],
        });
        let runtime = compile(config).unwrap();
        assert_eq!(runtime.route_count(), 1);
        assert_eq!(runtime.routed(0).unwrap().route.id.to_string(), id(4));
    }

    #[test]
    fn the_entity_that_does_not_compile_is_named() {
        let plugin = |name| json!({"plugins": [{"id": id(5), "name": name}]});
        for (config, kind, n) in [
            (json!({"routes": [route(3, 1)]}), "routes", 3),
            (plugin("unknown"), "plugins", 5),
            (plugin("known"), "plugins", 5),
            (
                json!({"snis": [{"id": id(7), "name": "a", "certificate": id(8)}]}),
                "snis",
                7,
            ),
            (
                json!({
                    "upstreams": [{"id": id(9), "name": "u"}],
                    "targets": [{"id": id(10), "upstream": id(9), "target": "a b"}],
                }),
                "targets",
                10,
            ),
        ] {
            let error = compile(config).unwrap_err();
            assert_eq!((error.kind, error.id.to_string()), (kind, id(n)), "{error}");
        }
    }

    #[test]
    fn a_certificate_that_cannot_be_used_harms_only_what_leans_on_it() {
        let naming = |n, field: &str, value: Value| {
            let mut service = service(n);
            service[field] = value;
            service
        };
        let config = json!({
            "services": [
                service(1),
                naming(2, "ca_certificates", json!([id(20)])),
                naming(3, "ca_certificates", json!([id(6)])),
                naming(4, "client_certificate", json!(id(7))),
                naming(5, "client_certificate", json!(id(21))),
            ],
            "ca_certificates": [{"id": id(6), "cert": "x"}],
            "certificates": [{"id": id(7), "cert": "x", "key": "y"}],
            "snis": [{"id": id(8), "name": "a.test", "certificate": id(7)}],
            "routes": (1..=5).map(|n| route(10 + n, n)).collect::<Vec<_>>(),
        });
        let runtime = compile(config).unwrap();
        assert_eq!(runtime.route_count(), 5);
        let usable: Vec<bool> = runtime
            .services
            .iter()
            .map(|entry| matches!(entry.tls, UpstreamTls::Profile(_)))
            .collect();
        assert_eq!(usable, [true, false, false, false, false]);
        let mut flaws: Vec<_> = runtime
            .flaws()
            .iter()
            .map(|flaw| (flaw.kind, flaw.id.to_string()))
            .collect();
        flaws.sort_unstable();
        let mut expected = vec![("ca_certificates", id(6)), ("certificates", id(7))];
        expected.extend((2..=5).map(|n| ("services", id(n))));
        assert_eq!(flaws, expected);
    }

    #[test]
    fn disabled_plugins_are_not_looked_at() {
        let config = json!({"plugins": [{"id": id(5), "name": "unknown", "enabled": false}]});
        assert!(compile(config).unwrap().unrouted().links().is_empty());
    }

    #[test]
    fn a_host_is_an_address_an_upstream_or_a_name() {
        let mut services = [service(1), service(2), service(3), service(4)];
        services[0]["host"] = "10.0.0.1".into();
        services[1]["host"] = "[::1]".into();
        services[2]["host"] = "Pool".into();
        let config = json!({
            "services": services, "upstreams": [{"id": id(9), "name": "pool"}],
        });
        let runtime = compile(config).unwrap();
        let origins: Vec<Origin> = runtime.services.iter().map(|entry| entry.origin).collect();
        assert_eq!(
            origins,
            [
                Origin::Address("10.0.0.1".parse().unwrap()),
                Origin::Address("::1".parse().unwrap()),
                Origin::Upstream(0),
                Origin::Name,
            ]
        );
    }

    #[test]
    fn equal_services_share_a_tls_profile_also_with_the_next_snapshot() {
        let mut unverified = service(3);
        unverified["tls_verify"] = false.into();
        let config = json!({"services": [service(1), service(2), unverified]});
        let first = compile(config.clone()).unwrap();
        let second = compile_after(config, Some(&first)).unwrap();
        let of = |runtime: &Runtime| -> Vec<u64> {
            let profile = |entry: &ServiceEntry| match &entry.tls {
                UpstreamTls::Profile(profile) => profile.id,
                other => panic!("{other:?}"),
            };
            runtime.services.iter().map(profile).collect()
        };
        assert_eq!(of(&first)[0], of(&first)[1]);
        assert_ne!(of(&first)[0], of(&first)[2]);
        assert_eq!(of(&first), of(&second));
    }

    #[test]
    fn a_hundred_thousand_routes_compile_and_share_one_chain() {
        let routes: Vec<Value> = (10..100_010).map(|n| route(n, 1)).collect();
        let config = json!({"services": [service(1)], "routes": routes});
        let runtime = compile(config).unwrap();
        assert_eq!(runtime.route_count(), 100_000);
        let chain = |n: usize| std::ptr::from_ref(runtime.routed(n).unwrap().chain);
        assert!((1..100_000).all(|n| chain(n) == chain(0)));
    }
}
