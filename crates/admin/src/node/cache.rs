//! `/cache`: there is no cache of entities in front of the store, so that nothing is in it and
//! removing from it always works.

use http::Method;

use crate::failure::Failure;
use crate::respond;
use crate::routes::Routes;

pub(super) fn add(routes: &mut Routes) {
    routes.on(Method::GET, "/cache/{key}", async |_, _| {
        Err(Failure::not_found())
    });
    for path in ["/cache", "/cache/{key}"] {
        routes.on(Method::DELETE, path, async |_, _| Ok(respond::no_content()));
    }
}
