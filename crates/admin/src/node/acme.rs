//! `/acme`: the certificates that `acme` gets.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::admin::{AcmeCertificates, Admin, State};
use crate::arguments::Arguments;
use crate::call::Call;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Outcome, Routes};

pub(super) fn add(routes: &mut Routes, admin: &Admin) {
    if admin.store.schemas().plugin("acme").is_none() {
        return;
    }
    routes.on(Method::POST, "/acme", issue);
    routes.on(Method::PATCH, "/acme", renew);
    routes.on(Method::GET, "/acme/certificates", list);
    routes.on(Method::GET, "/acme/certificates/{certificates}", show);
}

fn acme(state: &State) -> Result<Arc<dyn AcmeCertificates>, Failure> {
    let acme = (state.admin.acme)();
    acme.ok_or(Failure::Page(StatusCode::NOT_FOUND))
}

async fn issue(state: Arc<State>, call: Call) -> Outcome {
    let acme = acme(&state)?;
    let members = Arguments::read(&call).await?.raw();
    let given = |name: &str| {
        let member = members.get(name).cloned();
        member.or_else(|| call.query(name).map(Value::from))
    };
    let Some(Value::String(host)) = given("host") else {
        let problem = "host must be provided and containing a single domain";
        return Err(Failure::bad_request(problem));
    };
    // Trying a name must not become a way to reach any port.
    if host.contains(':') {
        return Err(Failure::bad_request("port is not allowed in host"));
    }
    if given("test_http_challenge_flow").is_some_and(|tries| tries == true || tries == "true") {
        acme.try_challenge(host.clone()).await.map_err(|problem| {
            let tried = format!("problem found running sanity check for {host}: {problem}");
            Failure::bad_request(tried)
        })?;
        let message = format!("sanity test for host {host} passed");
        return Ok(respond::ok(&json!({ "message": message })));
    }
    let issued = acme.issue(host.clone()).await;
    issued.map_err(|problem| internal(format!("failed to update certificate: {problem}")))?;
    let message = format!("certificate for host {host} is created");
    Ok(respond::json(
        StatusCode::CREATED,
        &json!({ "message": message }),
    ))
}

/// Answers the same where there is nothing to renew, as Kong does.
async fn renew(state: Arc<State>, _call: Call) -> Outcome {
    if let Some(acme) = (state.admin.acme)() {
        acme.renew().map_err(internal)?;
    }
    let begun = json!({ "message": "Renewal process started successfully" });
    Ok(respond::json(StatusCode::ACCEPTED, &begun))
}

async fn list(state: Arc<State>, call: Call) -> Outcome {
    let mut found = acme(&state)?.all().await.map_err(internal)?;
    if call
        .query("invalid_only")
        .is_some_and(|only| only != "false")
    {
        found.retain(|certificate| certificate["valid"] != true);
    }
    Ok(respond::ok(&json!({ "data": found })))
}

async fn show(state: Arc<State>, call: Call) -> Outcome {
    let host = call.segment("certificates");
    let found = acme(&state)?.find(host.to_owned()).await;
    match found.map_err(internal)? {
        Some(certificate) => Ok(respond::ok(&json!({ "data": certificate }))),
        None => {
            let problem = format!("Certificate for host {host}not found in storage");
            Err(Failure::message(StatusCode::NOT_FOUND, problem))
        }
    }
}

/// What went wrong, for the operator: Kong tells it as well.
fn internal(problem: impl Into<String>) -> Failure {
    Failure::message(StatusCode::INTERNAL_SERVER_ERROR, problem)
}
