//! The bytes of a snapshot: whole, or in fragments that are written out when somebody asks for them.

use std::sync::OnceLock;

use bytestring::ByteString;

use crate::Fragments;

/// A document, in one or both of its forms.
pub(crate) struct Form {
    whole: OnceLock<Whole>,
    /// What stands before the configuration, where that was given in fragments.
    head: String,
    fragments: OnceLock<Option<Fragments>>,
}

struct Whole {
    document: ByteString,
    /// The value of `config_table`: a slice of `document`.
    config: ByteString,
}

impl Form {
    /// A document whose configuration is the slice `config` of it.
    pub(crate) fn whole(document: ByteString, config: ByteString) -> Self {
        Self {
            whole: OnceLock::from(Whole { document, config }),
            head: String::new(),
            fragments: OnceLock::new(),
        }
    }

    /// A document that begins with `head`, and ends after the configuration.
    pub(crate) fn fragments(head: String, fragments: Fragments) -> Self {
        Self {
            whole: OnceLock::new(),
            head,
            fragments: OnceLock::from(Some(fragments)),
        }
    }

    fn written(&self) -> &Whole {
        self.whole.get_or_init(|| {
            let mut document = String::with_capacity(self.bytes());
            document.push_str(&self.head);
            if let Some(Some(fragments)) = self.fragments.get() {
                fragments.write(&mut document);
            }
            document.push('}');
            let document = ByteString::from(document);
            let config = document.slice_ref(&document[self.head.len()..document.len() - 1]);
            Whole { document, config }
        })
    }

    /// The document.
    pub(crate) fn document(&self) -> &ByteString {
        &self.written().document
    }

    /// The configuration.
    pub(crate) fn config(&self) -> &ByteString {
        &self.written().config
    }

    /// What stands before the configuration.
    pub(crate) fn head(&self) -> &str {
        match self.whole.get() {
            Some(whole) => {
                let length = whole.document.len() - 1 - whole.config.len();
                whole.document.get(..length).unwrap_or_default()
            }
            None => &self.head,
        }
    }

    /// The length of the document.
    pub(crate) fn bytes(&self) -> usize {
        match (self.whole.get(), self.fragments.get()) {
            (None, Some(Some(fragments))) => self.head.len() + fragments.bytes() + 1,
            _ => self.document().len(),
        }
    }

    /// The length of the configuration.
    pub(crate) fn config_bytes(&self) -> usize {
        match (self.whole.get(), self.fragments.get()) {
            (None, Some(Some(fragments))) => fragments.bytes(),
            _ => self.config().len(),
        }
    }

    /// Whether it was made of fragments.
    pub(crate) fn was_in_fragments(&self) -> bool {
        !self.head.is_empty()
    }

    /// The configuration in fragments; none where its text is not written as they would be.
    pub(crate) fn in_fragments(&self) -> Option<&Fragments> {
        let fragments = self
            .fragments
            .get_or_init(|| Fragments::parse(self.config()));
        fragments.as_ref()
    }
}
