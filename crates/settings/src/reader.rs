//! Typed values out of the layers, all problems kept.

use crate::layers::Layers;
use crate::problem::{Origin, Problem, Severity};
use crate::values::{Context, Setting};

/// Reads settings one by one and collects what is wrong with them.
pub(crate) struct Reader<'a> {
    layers: &'a Layers,
    context: Context<'a>,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(layers: &'a Layers, context: Context<'a>) -> Self {
        Self {
            layers,
            context,
            problems: Vec::new(),
        }
    }

    /// The value of a setting; `None` when there is none that can be used.
    pub(crate) fn read<T: Setting>(&mut self, key: &'static str, default: &str) -> Option<T> {
        let Some(entry) = self.layers.get(key) else {
            return if default.is_empty() {
                T::absent()
            } else {
                T::parse(default, self.context).ok()
            };
        };
        match T::parse(&entry.text, self.context) {
            Ok(value) => Some(value),
            Err(invalid) => {
                // What a reference stands for is not shown anywhere.
                let message = match &entry.reference {
                    Some(_) => {
                        let shown = self.layers.shown(key, &entry.text);
                        invalid.message.replace(&entry.text, &shown)
                    }
                    None => invalid.message,
                };
                self.problems.push(Problem {
                    severity: Severity::Error,
                    key: entry.written.clone().unwrap_or_else(|| key.to_owned()),
                    value: (entry.origin != Origin::Default)
                        .then(|| self.layers.shown(key, &entry.text)),
                    origin: entry.origin.clone(),
                    message,
                    mend: invalid.mend,
                });
                None
            }
        }
    }
}
