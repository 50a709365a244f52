//! Templates of errors (`error_template_*`).

use std::sync::Arc;

/// A text with places for what went wrong and for the request's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorTemplate(Arc<[String]>);

/// More places than there is to fill in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "has {0} places written %s; there is the message for the first and the request's id for the \
     second: remove the others, or write %%s for the text %s"
)]
pub struct TooManyPlaces(pub usize);

impl ErrorTemplate {
    /// Reads a template: the first `%s` stands for the message, a second one for the request's id,
    /// `%%` for a percent sign.
    ///
    /// # Errors
    /// When there are more than two places.
    pub fn parse(text: &str) -> Result<Self, TooManyPlaces> {
        let mut pieces = vec![String::new()];
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            let piece = pieces.last_mut().expect("there is one from the start");
            piece.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix('s') {
                pieces.push(String::new());
                rest = after;
            } else {
                piece.push('%');
                rest = after.strip_prefix('%').unwrap_or(after);
            }
        }
        let piece = pieces.last_mut().expect("there is one from the start");
        piece.push_str(rest);
        match pieces.len() {
            1..=3 => Ok(Self(pieces.into())),
            pieces => Err(TooManyPlaces(pieces - 1)),
        }
    }

    pub(super) fn render(&self, message: &str, request_id: &str) -> String {
        let mut filled = String::new();
        for (piece, before) in self.0.iter().zip(["", message, request_id]) {
            filled.push_str(before);
            filled.push_str(piece);
        }
        filled
    }
}

/// Templates in place of the usual pages, by the form of what a client accepts.
#[derive(Clone, Debug, Default)]
pub struct ErrorTemplates {
    /// `error_template_html`.
    pub html: Option<ErrorTemplate>,
    /// `error_template_json`.
    pub json: Option<ErrorTemplate>,
    /// `error_template_xml`.
    pub xml: Option<ErrorTemplate>,
    /// `error_template_plain`.
    pub plain: Option<ErrorTemplate>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_order() {
        let render = |text| ErrorTemplate::parse(text).unwrap().render("m", "id");
        assert_eq!(render("<%s> (%s)"), "<m> (id)");
        assert_eq!(render("only %s."), "only m.");
        assert_eq!(render("nothing"), "nothing");
        assert_eq!(render("100%; %%s %s%"), "100%; %s m%");
        assert_eq!(ErrorTemplate::parse("%s%s%s"), Err(TooManyPlaces(3)));
    }
}
