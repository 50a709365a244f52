//! The typed form of a snapshot, of which two share what their configurations have in common.

use std::collections::HashMap;
use std::sync::Arc;

use keelgate_entities::{Config, List};
use serde::de::DeserializeOwned;

use crate::fragments::{Chunk, Fragments};
use crate::{DecodeError, Snapshot};

/// A configuration in typed form, and what it was read from.
#[derive(Clone, Debug)]
pub struct Decoded {
    fragments: Option<Fragments>,
    /// The typed form.
    pub config: Config,
}

impl From<Config> for Decoded {
    fn from(config: Config) -> Self {
        let fragments = None;
        Self { fragments, config }
    }
}

impl Snapshot {
    /// As [`Snapshot::decode`]. Of a snapshot in fragments, what it has in common with `last` is not
    /// read again.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::decode`].
    pub fn decode_after(&self, last: Option<&Decoded>) -> Result<Decoded, DecodeError> {
        if self.is_built()
            && let Some(fragments) = self.fragments_of_this_schema()
            && let Ok(config) = read(fragments, last)
        {
            let fragments = Some(fragments.clone());
            return Ok(Decoded { fragments, config });
        }
        // Where something cannot be read, this tells where.
        Ok(Decoded {
            fragments: None,
            config: self.decode()?,
        })
    }
}

fn read(fragments: &Fragments, last: Option<&Decoded>) -> serde_json::Result<Config> {
    let last = last.and_then(|last| Some((last.fragments.as_ref()?, &last.config)));
    let mut lists = Lists {
        fragments,
        last,
        read: Vec::new(),
    };
    let services = lists.list("services", |config| &config.services)?;
    let routes = lists.list("routes", |config| &config.routes)?;
    let consumers = lists.list("consumers", |config| &config.consumers)?;
    let keys = lists.list("keyauth_credentials", |config| &config.keyauth_credentials)?;
    let passwords = lists.list("basicauth_credentials", |config| {
        &config.basicauth_credentials
    })?;
    let tokens = lists.list("jwt_secrets", |config| &config.jwt_secrets)?;
    let signers = lists.list("hmacauth_credentials", |config| {
        &config.hmacauth_credentials
    })?;
    let applications = lists.list("oauth2_credentials", |config| &config.oauth2_credentials)?;
    let acls = lists.list("acls", |config| &config.acls)?;
    // Everything else is read as one text, as when all is.
    let mut rest = String::from("{");
    for name in fragments.names().filter(|name| !lists.read.contains(name)) {
        let value = fragments.value(name).unwrap_or_default();
        let comma = if rest.len() > 1 { "," } else { "" };
        rest.push_str(&format!("{comma}\"{name}\":{value}"));
    }
    rest.push('}');
    Ok(Config {
        services,
        routes,
        consumers,
        keyauth_credentials: keys,
        basicauth_credentials: passwords,
        jwt_secrets: tokens,
        hmacauth_credentials: signers,
        oauth2_credentials: applications,
        acls,
        ..serde_json::from_str(&rest)?
    })
}

struct Lists<'a> {
    fragments: &'a Fragments,
    last: Option<(&'a Fragments, &'a Config)>,
    read: Vec<&'static str>,
}

impl Lists<'_> {
    /// The entities of a collection, a part for each chunk.
    fn list<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        of: impl Fn(&Config) -> &List<T>,
    ) -> serde_json::Result<List<T>> {
        self.read.push(name);
        let Some(chunks) = self.fragments.chunks(name) else {
            return match self.fragments.value(name) {
                Some(value) => Ok(serde_json::from_str::<Option<_>>(&value)?.unwrap_or_default()),
                None => Ok(List::default()),
            };
        };
        let mut known: HashMap<*const Chunk, &Arc<[T]>> = HashMap::new();
        if let Some((fragments, config)) = self.last
            && let Some(chunks) = fragments.chunks(name)
            && chunks.len() == of(config).parts().len()
        {
            let parts = of(config).parts();
            known.extend(chunks.iter().map(Arc::as_ptr).zip(parts));
        }
        let parts = chunks.iter().map(|chunk| {
            if let Some(part) = known.get(&Arc::as_ptr(chunk)) {
                return Ok(Arc::clone(part));
            }
            let entities: Vec<T> = serde_json::from_str(&format!("[{}]", chunk.text()))?;
            Ok(entities.into())
        });
        Ok(List::of(parts.collect::<serde_json::Result<_>>()?))
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::{Changes, Position, build, build_after};

    const POSITION: Position = Position {
        cluster_id: Uuid::nil(),
        epoch: 1,
        revision: 1,
    };

    fn id(number: u32) -> Uuid {
        Uuid::from_u128(number.into())
    }

    fn snapshot(fragments: &Fragments) -> Snapshot {
        build_after(fragments.clone(), None, POSITION, "0.1.0", UNIX_EPOCH, None).unwrap()
    }

    /// What both ways of reading give, as text.
    fn both(fragments: &Fragments, last: Option<&Decoded>) -> (Decoded, String) {
        let snapshot = snapshot(fragments);
        let decoded = snapshot.decode_after(last).unwrap();
        let whole = format!("{:?}", snapshot.decode().unwrap());
        assert_eq!(format!("{:?}", decoded.config), whole);
        (decoded, whole)
    }

    #[test]
    fn parts_are_taken_over_and_the_rest_is_read_as_ever() {
        let consumers: Vec<_> = (0..1000)
            .map(|number| json!({"id": id(number), "username": format!("c{number}")}))
            .collect();
        let table = json!({
            "_format_version": "3.0", "consumers": consumers, "acls": null,
            "routes": [
                {"id": id(2), "protocols": ["http"], "paths": ["/2"]},
                {"id": id(1), "protocols": ["http"], "paths": ["/1"]},
            ],
            "services": [{"id": id(7), "host": "h", "port": 80, "protocol": "http"}],
            "plugins": [{"id": id(3), "name": "cors", "config": {}}],
        });
        let fragments = Fragments::of(table.as_object().unwrap()).unwrap();
        let (first, _) = both(&fragments, None);
        assert_eq!(first.config.consumers.parts().len(), 8);
        assert_eq!(first.config.plugins.len(), 1);
        let mut changes = Changes::default();
        let renamed = json!({"id": id(500), "username": "renamed"}).to_string();
        changes.put("consumers", id(500), Some(renamed)).unwrap();
        let (next, text) = both(&fragments.changed(&changes).unwrap(), Some(&first));
        assert!(text.contains("renamed"));
        let (before, after) = (&first.config.consumers, &next.config.consumers);
        let pairs = before.parts().iter().zip(after.parts());
        let read = pairs.filter(|(one, other)| !Arc::ptr_eq(one, other));
        assert_eq!(read.count(), 1);
        assert!(first.config.services.is(&next.config.services));
    }

    #[test]
    fn what_cannot_be_read_is_told_as_ever() {
        let table = json!({"consumers": [{"id": id(1), "username": 5}]});
        let fragments = Fragments::of(table.as_object().unwrap()).unwrap();
        let refused = snapshot(&fragments).decode_after(None).unwrap_err();
        let whole = build(&table, POSITION, "0.1.0", UNIX_EPOCH, None).unwrap();
        assert_eq!(refused.to_string(), whole.decode().unwrap_err().to_string());
    }
}
