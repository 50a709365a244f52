//! A request as rules see it: the facts, and what is taken apart once for all rules.

use std::borrow::Cow;

use keelgate_entities::RouterFlavor;
use keelgate_entities::kinds::Protocol;
use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use crate::facts::Facts;
use crate::host::split_port_for;

/// So many query arguments are looked at, as in Kong (`lua_max_uri_args`).
const MAX_ARGUMENTS: usize = 100;

/// What rules are asked about.
pub(crate) struct Request<'a> {
    pub(crate) facts: &'a Facts<'a>,
    /// The host that patterns are compared with.
    pub(crate) host: &'a str,
    /// The port that host patterns without a wildcard are compared with.
    pub(crate) port: Option<u16>,
    /// The port that wildcard patterns are compared with.
    pub(crate) wild_port: Option<u16>,
    /// Whether the wildcard at the beginning of a pattern stands for one letter at least.
    pub(crate) star_takes_one: bool,
    /// The query arguments that any rule looks at, in order.
    arguments: SmallVec<[(&'a str, Cow<'a, str>); 4]>,
}

impl<'a> Request<'a> {
    /// A request without its query, as the flavour sees it.
    pub(crate) fn new(facts: &'a Facts<'a>, flavor: RouterFlavor) -> Self {
        if flavor != RouterFlavor::Traditional {
            return Self {
                facts,
                host: facts.host,
                port: Some(facts.port),
                wild_port: Some(facts.port),
                star_takes_one: false,
                arguments: SmallVec::new(),
            };
        }
        // Kong's first router does not ask where the request came in.
        let (host, port) = split_port_for(flavor, facts.authority);
        let default = match facts.protocol {
            Protocol::Https | Protocol::Grpcs => 443,
            _ => 80,
        };
        Self {
            facts,
            host,
            port,
            wild_port: Some(port.unwrap_or(default)),
            star_takes_one: true,
            arguments: SmallVec::new(),
        }
    }

    /// Takes the arguments with these names out of the query; `None` when one of them is not
    /// UTF-8.
    pub(crate) fn with_arguments(mut self, names: &'a [Box<str>]) -> Option<Self> {
        let facts = self.facts;
        if let Some(query) = facts.query
            && !names.is_empty()
        {
            for (name, value) in query.split('&').filter_map(argument).take(MAX_ARGUMENTS) {
                let name = decode(name);
                if let Some(name) = names.iter().find(|own| own.as_bytes() == &*name) {
                    let value = match decode(value) {
                        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok()?.into(),
                        Cow::Owned(bytes) => String::from_utf8(bytes).ok()?.into(),
                    };
                    self.arguments.push((&**name, value));
                }
            }
        }
        Some(self)
    }

    /// The values of a query argument, in order; an argument without `=` has an empty one.
    pub(crate) fn argument(&self, name: &str) -> impl Iterator<Item = &str> {
        self.arguments
            .iter()
            .filter(move |(own, _)| *own == name)
            .map(|(_, value)| &**value)
    }
}

/// Name and value, still encoded; nothing without a name.
fn argument(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (!name.is_empty()).then_some((name, value))
}

fn decode(text: &str) -> Cow<'_, [u8]> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Cow::Owned(percent_decode_str(&spaced).collect());
    }
    percent_decode_str(text).into()
}

#[cfg(test)]
mod tests {
    use super::Request;
    use crate::tests::Request as Get;
    use keelgate_entities::RouterFlavor;

    fn values(query: &str) -> Option<Vec<String>> {
        let names: [Box<str>; 1] = ["q".into()];
        Get::get("/").with_query(query).ask(|facts| {
            let request = Request::new(facts, RouterFlavor::default());
            let request = request.with_arguments(&names)?;
            Some(request.argument("q").map(str::to_owned).collect())
        })
    }

    #[test]
    fn values_are_decoded_and_keep_their_order() {
        let expected = ["a b", "", "c+d"].map(str::to_owned).to_vec();
        assert_eq!(values("q=a+b&x=1&q&%71=c%2Bd&=z&"), Some(expected));
        assert_eq!(values("q=%zz"), Some(vec!["%zz".into()]));
        assert_eq!(values("Q=1"), Some(vec![]));
    }

    #[test]
    fn an_argument_that_is_not_text_makes_the_request_unreadable() {
        assert_eq!(values("q=%ff"), None);
        assert_eq!(values("x=%ff&q=1"), Some(vec!["1".into()]));
    }
}
