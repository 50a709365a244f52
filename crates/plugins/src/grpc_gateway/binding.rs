//! Methods of gRPC that are bound to methods and paths of HTTP (`google.api.http`).

use std::borrow::Cow;

use http::Method;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};

use super::template::{Malformed, Template};
use crate::grpc::proto;

/// One binding.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) template: Template,
    /// The field that the body fills; `*` is the whole message.
    pub(super) body: Option<String>,
    /// What is called, and by which path.
    pub(super) method: MethodDescriptor,
    pub(super) path: String,
}

/// All bindings of a file, in its order.
#[derive(Debug, Default)]
pub(super) struct Bindings(Vec<(Method, Binding)>);

impl Bindings {
    pub(super) fn of(pool: &DescriptorPool) -> Result<Self, Malformed> {
        let mut bindings = Self::default();
        let Some(http) = pool.get_extension_by_name("google.api.http") else {
            return Ok(bindings);
        };
        for method in proto::methods(pool) {
            let options = method.options();
            if !options.has_extension(&http) {
                continue;
            }
            if let Value::Message(rule) = options.get_extension(&http).as_ref() {
                bindings.add(&method, rule)?;
                let more = rule.get_field_by_name("additional_bindings");
                for rule in more.as_deref().and_then(Value::as_list).unwrap_or_default() {
                    if let Value::Message(rule) = rule {
                        bindings.add(&method, rule)?;
                    }
                }
            }
        }
        Ok(bindings)
    }

    fn add(&mut self, method: &MethodDescriptor, rule: &DynamicMessage) -> Result<(), Malformed> {
        for (name, verb) in [
            ("get", Method::GET),
            ("post", Method::POST),
            ("put", Method::PUT),
            ("patch", Method::PATCH),
            ("delete", Method::DELETE),
        ] {
            if let Some(template) = text(rule, name) {
                let binding = Binding {
                    template: Template::parse(&template)?,
                    body: text(rule, "body"),
                    method: method.clone(),
                    path: proto::path(method),
                };
                self.0.push((verb, binding));
            }
        }
        Ok(())
    }

    /// Whether anything is bound to a method of HTTP.
    pub(super) fn knows(&self, method: &Method) -> bool {
        self.0.iter().any(|(bound, _)| bound == method)
    }

    /// The first binding that a request matches, with the fields that its path fills.
    pub(super) fn find<'b>(
        &'b self,
        method: &Method,
        path: &'b str,
    ) -> Option<(&'b Binding, Vec<(&'b str, &'b str)>)> {
        let mut bound = self.0.iter().filter(|(bound, _)| bound == method);
        bound.find_map(|(_, binding)| Some((binding, binding.template.fields(path)?.collect())))
    }
}

/// A field that is set and not empty.
fn text(rule: &DynamicMessage, name: &str) -> Option<String> {
    let value: Cow<'_, Value> = rule
        .has_field_by_name(name)
        .then(|| rule.get_field_by_name(name))??;
    let text = value.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}
