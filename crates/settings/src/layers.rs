//! Sources laid over one another: defaults < file < `KONG_*` < `KEELGATE_*` < options.

use std::collections::BTreeMap;
use std::path::Path;

use crate::accepted;
use crate::aliases;
use crate::conf_file;
use crate::problem::{Origin, Problem, Severity};
use crate::registry::{Effect, Key, find, registry};
use crate::values::Role;

/// A value somebody set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Trimmed text; empty means unset, as in Kong.
    pub(crate) text: String,
    pub(crate) origin: Origin,
    /// The key as it was written, when an alias was.
    pub(crate) written: Option<String>,
    /// The reference it was resolved from, which is shown in its place.
    pub(crate) reference: Option<String>,
    rank: u8,
}

/// What was set, by canonical key; the highest source has won.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    entries: BTreeMap<String, Entry>,
    pub(crate) problems: Vec<Problem>,
}

const MASK: &str = "******";

impl Layers {
    /// Lays the text of a configuration file over what is there.
    pub(crate) fn add_file(&mut self, path: &Path, text: &str) {
        let (assignments, errors) = conf_file::parse(text);
        let origin = |line| Origin::File {
            path: path.to_owned(),
            line,
        };
        for error in errors {
            let shown = error
                .text
                .split('=')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned();
            self.problems.push(Problem {
                severity: Severity::Error,
                message: error.to_string(),
                key: shown.clone(),
                value: Some(shown),
                origin: origin(error.line),
                mend: "write key = value, or put # before a comment".to_owned(),
            });
        }
        for assignment in assignments {
            if assignment.cut {
                self.problems.push(Problem {
                    severity: Severity::Warning,
                    value: Some(self.shown(&assignment.key, &assignment.value)),
                    key: assignment.key.clone(),
                    origin: origin(assignment.line),
                    message: "the value ends before a '#' that has no space before it".to_owned(),
                    mend: r"write \# when it belongs to the value".to_owned(),
                });
            }
            self.set(assignment.key, assignment.value, origin(assignment.line), 1);
        }
    }

    /// Lays the variables of the environment over what is there.
    pub(crate) fn add_environment(&mut self, environment: &BTreeMap<String, String>) {
        for (rank, prefix) in [(2, "KONG_"), (3, "KEELGATE_")] {
            for (name, value) in environment {
                let Some(key) = name.strip_prefix(prefix) else {
                    continue;
                };
                let key = key.to_ascii_lowercase();
                let known = aliases::canonical(&key).1 || accepted::family(&key).is_some();
                if known || !is_foreign_variable(&key) {
                    self.set(
                        key,
                        value.trim().to_owned(),
                        Origin::Variable(name.clone()),
                        rank,
                    );
                }
            }
        }
    }

    /// Lays an option of the command line over what is there.
    pub(crate) fn add_option(&mut self, key: &str, value: String, option: &'static str) {
        self.set(key.to_owned(), value, Origin::Option(option), 4);
    }

    fn set(&mut self, key: String, text: String, origin: Origin, rank: u8) {
        let (name, known) = aliases::canonical(&key);
        let alias = (name != key).then(|| key.clone());
        if !known && accepted::family(&key).is_none() {
            self.problems.push(unknown(&key, origin));
            return;
        }
        if let Some(current) = aliases::deprecated(&key) {
            self.problems.push(Problem {
                severity: Severity::Warning,
                value: Some(self.shown(&key, &text)),
                key: key.clone(),
                origin: origin.clone(),
                message: "the name is deprecated".to_owned(),
                mend: format!("write {current}"),
            });
        }
        let entry = Entry {
            text,
            origin,
            written: alias,
            reference: None,
            rank,
        };
        match self.entries.get(name) {
            // In one source nginx's own name of a directive counts, as in Kong.
            Some(there)
                if there.rank == rank && there.written.is_some() && entry.written.is_none() => {}
            Some(there) if there.rank > rank => {}
            _ => {
                self.entries.insert(name.to_owned(), entry);
            }
        }
    }

    /// The entry for a key, when somebody set it to something.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| !entry.text.is_empty())
    }

    /// Sets what nobody has set; used for defaults that depend on other settings.
    pub(crate) fn set_default(&mut self, key: &'static str, text: String) {
        if self.get(key).is_none() {
            let entry = Entry {
                text,
                origin: Origin::Default,
                written: None,
                reference: None,
                rank: 0,
            };
            self.entries.insert(key.to_owned(), entry);
        }
    }

    /// The keys that somebody set to something else than their default, with
    /// their entries.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .filter(|(name, entry)| {
                entry.origin != Origin::Default
                    && !entry.text.is_empty()
                    && find(name).is_none_or(|key| key.default != entry.text)
            })
            .map(|(key, entry)| (key.as_str(), entry))
    }

    /// Replaces references by what they stand for.
    pub(crate) fn resolve_references(&mut self, environment: &BTreeMap<String, String>) {
        let prefix = self.get("vault_env_prefix").map(|entry| entry.text.clone());
        let mut problems = Vec::new();
        for (key, entry) in &mut self.entries {
            let is_list = find(key).is_some_and(|key| key.kind.is_list());
            let parts: Vec<&str> = if is_list {
                entry.text.split(',').map(str::trim).collect()
            } else {
                vec![entry.text.as_str()]
            };
            if !parts.iter().any(|part| crate::vault::is_reference(part)) {
                continue;
            }
            let resolved: Result<Vec<String>, (String, String)> = parts
                .iter()
                .map(|part| {
                    if crate::vault::is_reference(part) {
                        crate::vault::resolve(part, environment, prefix.as_deref())
                            .and_then(|text| {
                                // In a list it would be passed over as if it had not been written.
                                let is_lost = is_list && text.trim().is_empty();
                                if is_lost {
                                    Err("it stands for nothing".to_owned())
                                } else {
                                    Ok(text)
                                }
                            })
                            .map_err(|why| ((*part).to_owned(), why))
                    } else {
                        Ok((*part).to_owned())
                    }
                })
                .collect();
            match resolved {
                Ok(parts) => {
                    let text = parts.join(",");
                    entry.reference = Some(std::mem::replace(&mut entry.text, text));
                }
                Err((reference, why)) => problems.push(Problem {
                    severity: Severity::Error,
                    key: key.clone(),
                    value: Some(reference.clone()),
                    origin: entry.origin.clone(),
                    message: format!("failed to dereference '{reference}': {why}"),
                    mend: "set the variable in the node's environment, or write the value itself"
                        .to_owned(),
                }),
            }
        }
        // An unresolved reference must not be taken for a value afterwards.
        for problem in &problems {
            self.entries.remove(&problem.key);
        }
        self.problems.extend(problems);
    }

    /// A value as it may be shown.
    pub(crate) fn shown(&self, key: &str, text: &str) -> String {
        let known = find(aliases::canonical(key).0);
        if let Some(reference) = self
            .entries
            .get(key)
            .and_then(|entry| entry.reference.as_ref())
        {
            // Beside references a list may hold values that are secret themselves.
            let part = |part: &str| match known {
                Some(known) if !crate::vault::is_reference(part) => shown(known, part),
                _ => part.to_owned(),
            };
            let parts: Vec<String> = if known.is_some_and(|key| key.kind.is_list()) {
                reference.split(',').map(|text| part(text.trim())).collect()
            } else {
                vec![reference.clone()]
            };
            return parts.join(", ");
        }
        match known {
            Some(known) => shown(known, text),
            None => text.to_owned(),
        }
    }

    /// Notes and warnings about keys that have no effect on this node.
    pub(crate) fn report_without_effect(&mut self, role: Role) {
        let mut found = Vec::new();
        for (name, entry) in self.changed() {
            let key = find(name);
            let (severity, message, mend) = match key.map(|key| (key.effect, key.scope)) {
                Some((Effect::Full, scope)) if !scope.applies_to(role) => (
                    Severity::Note,
                    format!("has no effect: this node is {role}"),
                    format!("it counts on {}", scope.describe()),
                ),
                Some((Effect::Full, _)) => continue,
                Some((Effect::Missing(why), _)) if entry.text != "off" => (
                    Severity::Warning,
                    format!("has no effect: {why}"),
                    "remove it".to_owned(),
                ),
                Some((Effect::None(why) | Effect::Missing(why), _)) => (
                    Severity::Note,
                    format!("has no effect: {why}"),
                    String::new(),
                ),
                None => {
                    let why = accepted::family(name).unwrap_or("it is not known");
                    (
                        Severity::Note,
                        format!("has no effect: {why}"),
                        String::new(),
                    )
                }
            };
            let written = entry.written.as_deref().unwrap_or(name);
            found.push(Problem {
                severity,
                key: written.to_owned(),
                value: Some(self.shown(name, &entry.text)),
                origin: entry.origin.clone(),
                message,
                mend,
            });
        }
        self.problems.extend(found);
    }
}

pub(crate) fn shown(key: &Key, text: &str) -> String {
    let is_pem = matches!(key.kind, crate::values::Kind::Pem)
        || matches!(
            key.kind,
            crate::values::Kind::List(crate::values::Kind::Pem)
        );
    let is_path = is_pem
        && text
            .split(',')
            .all(|part| crate::values::looks_like_path(part.trim()));
    if key.secret && !is_path {
        MASK.to_owned()
    } else if is_pem && !is_path && text.len() > 80 {
        format!("({} characters)", text.len())
    } else {
        without_credentials(text)
    }
}

/// An address with a user or a password in it is shown without them.
fn without_credentials(text: &str) -> String {
    let mut rest = text;
    let mut shown = String::with_capacity(text.len());
    while let Some((scheme, address)) = rest.split_once("://") {
        shown.push_str(scheme);
        shown.push_str("://");
        let end = address.find(['/', ',', ' ']).unwrap_or(address.len());
        // A password may hold a slash that nobody escaped.
        let last = address.find([',', ' ']).unwrap_or(address.len());
        rest = match (address[..end].rfind('@'), address[..last].rfind('@')) {
            (Some(at), _) | (None, Some(at)) => {
                shown.push_str(MASK);
                &address[at..]
            }
            (None, None) => address,
        };
    }
    shown.push_str(rest);
    shown
}

fn unknown(key: &str, origin: Origin) -> Problem {
    let likely = registry()
        .map(|known| (strsim::damerau_levenshtein(key, known.name), known))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance <= known.name.len() / 3)
        .map(|(_, known)| known.name);
    Problem {
        severity: Severity::Warning,
        key: key.to_owned(),
        value: Some(MASK.to_owned()),
        origin,
        message: "is not a setting; it is ignored".to_owned(),
        mend: likely.map_or_else(
            || "remove it, or look its name up in keelgate.conf.default".to_owned(),
            |name| format!("did you mean {name}?"),
        ),
    }
}

/// Variables that begin like ours and are somebody else's: those that Kubernetes
/// makes for a service called `kong` or `keelgate`, those of container images,
/// and those that name things for tests and for the command line.
fn is_foreign_variable(key: &str) -> bool {
    const OTHERS: [&str; 8] = [
        "bin",
        "conf",
        "version",
        "sha256",
        "package",
        "service_host",
        "service_port",
        "port",
    ];
    OTHERS.contains(&key)
        || [
            "test_",
            "spec_",
            "service_port_",
            "port_",
            "process_secrets_",
        ]
        .iter()
        .any(|start| key.starts_with(start))
        || key.contains("_service_")
        || key.contains("_port_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_addresses_are_not_shown() {
        for (text, expected) in [
            ("s3://bucket/prefix", "s3://bucket/prefix"),
            ("s3://AK:pw@bucket/x", "s3://******@bucket/x"),
            ("s3://AK:p/w@bucket/x", "s3://******@bucket/x"),
            ("file:///a, s3://AK:pw@b", "file:///a, s3://******@b"),
            ("http://a@b@proxy:80", "http://******@proxy:80"),
            ("plain@text", "plain@text"),
        ] {
            assert_eq!(without_credentials(text), expected);
        }
    }
}
