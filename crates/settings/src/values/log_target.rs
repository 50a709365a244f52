//! Where log lines go.

use std::path::PathBuf;

use super::{Context, Invalid, Kind, Setting};

/// Where a log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// This file, appended to.
    File(PathBuf),
}

impl Setting for LogTarget {
    const KIND: Kind = Kind::Special("a path or off");

    /// A word after the path, nginx's name of a format, is allowed and ignored.
    fn parse(text: &str, context: Context<'_>) -> Result<Self, Invalid> {
        let path = text.split_ascii_whitespace().next().unwrap_or(text);
        match path {
            "off" => Ok(Self::Off),
            "/dev/stdout" => Ok(Self::Stdout),
            "/dev/stderr" | "stderr" => Ok(Self::Stderr),
            _ if path.starts_with("syslog:") || path.starts_with("memory:") => Err(Invalid::new(
                "logs go to a file, /dev/stdout, /dev/stderr or off",
                "write /dev/stderr and let the service manager forward it",
            )),
            _ => Ok(Self::File(context.prefix.join(path))),
        }
    }
}

/// Where the access log goes, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogTarget {
    /// Where it goes.
    pub target: LogTarget,
    /// The name of the form; `None` for Kong's.
    pub format: Option<String>,
}

impl Setting for AccessLogTarget {
    const KIND: Kind = Kind::Special("a path and the name of a format, or off");

    fn parse(text: &str, context: Context<'_>) -> Result<Self, Invalid> {
        let format = text.split_ascii_whitespace().nth(1);
        Ok(Self {
            target: LogTarget::parse(text, context)?,
            format: format
                .filter(|name| *name != "kong_log_format")
                .map(str::to_owned),
        })
    }
}

/// A form of log lines with a name, as nginx's `log_format` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFormat {
    /// The name.
    pub name: String,
    /// `default`, `json` or `none`.
    pub escape: String,
    /// The text with its variables.
    pub text: String,
}

impl Setting for NamedFormat {
    const KIND: Kind = Kind::Special("a name and a format in quotes");

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        let invalid = |what: &str| {
            Invalid::new(
                what,
                "write a name and the format, such as: mine '$remote_addr $status'",
            )
        };
        let (name, mut rest) = text
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(|| invalid("has no format after its name"))?;
        rest = rest.trim_start();
        let mut escape = "default";
        if let Some(after) = rest.strip_prefix("escape=") {
            let (word, after) = after
                .split_once(char::is_whitespace)
                .ok_or_else(|| invalid("has no format after its name"))?;
            if !matches!(word, "default" | "json" | "none") {
                return Err(invalid("may escape as default, json or none"));
            }
            escape = word;
            rest = after.trim_start();
        }
        let mut joined = String::new();
        while let Some(quote) = rest.chars().next() {
            // Without quotes a format ends at the next space, as in nginx.
            let (piece, after) = match quote {
                '\'' | '"' => rest[1..]
                    .split_once(quote)
                    .ok_or_else(|| invalid("has a quote that is not closed"))?,
                _ => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
            };
            joined.push_str(piece);
            rest = after.trim_start();
        }
        Ok(Self {
            name: name.to_owned(),
            escape: escape.to_owned(),
            text: joined,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read<T: Setting>(text: &str) -> Result<T, Invalid> {
        let prefix = Path::new("/p");
        T::parse(text, Context { prefix })
    }

    #[test]
    fn a_format_is_joined_from_its_pieces() {
        let format = read::<NamedFormat>(r#"mine escape=json '{"a": "$x"' ",b}""#).unwrap();
        assert_eq!((&*format.name, &*format.escape), ("mine", "json"));
        assert_eq!(format.text, r#"{"a": "$x",b}"#);
        for bad in ["mine", "mine escape=xml 'x'", "mine 'open"] {
            assert!(read::<NamedFormat>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_may_name_its_format() {
        let log = read::<AccessLogTarget>("logs/access.log json").unwrap();
        assert_eq!(log.target, LogTarget::File("/p/logs/access.log".into()));
        assert_eq!(log.format.as_deref(), Some("json"));
        let usual = read::<AccessLogTarget>("/dev/stdout").unwrap();
        assert_eq!((usual.target, usual.format), (LogTarget::Stdout, None));
    }
}
