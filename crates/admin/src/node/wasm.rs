//! Filter chains are a matter of WebAssembly, which is not enabled.

use http::Method;

use crate::failure::Failure;
use crate::routes::Routes;

const COLLECTIONS: [&str; 3] = [
    "/filter-chains",
    "/services/{services}/filter-chains",
    "/routes/{routes}/filter-chains",
];

const FILTERS: [&str; 3] = ["all", "enabled", "disabled"];

pub(super) fn add(routes: &mut Routes) {
    let mut refuse = |path: &str, methods: &[Method]| {
        for method in methods {
            routes.on(method.clone(), path, async |_, _| {
                Err(Failure::bad_request(
                    "this endpoint is only available when wasm is enabled",
                ))
            });
        }
    };
    for collection in COLLECTIONS {
        refuse(collection, &[Method::GET, Method::POST]);
        let single = format!("{collection}/{{filter_chains}}");
        let methods = [Method::GET, Method::PUT, Method::PATCH, Method::DELETE];
        refuse(&single, &methods);
    }
    for which in FILTERS {
        refuse(
            &format!("/routes/{{routes}}/filters/{which}"),
            &[Method::GET],
        );
    }
}
