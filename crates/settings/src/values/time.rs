//! Spans of time, in the units that Kong uses for them.

use std::time::Duration;

use super::{Context, Invalid, Kind, Setting};

/// A span written as a number of seconds; fractions are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

impl Setting for Seconds {
    const KIND: Kind = Kind::Number;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        text.parse::<f64>()
            .ok()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(Self)
            .ok_or_else(|| {
                Invalid::new(
                    format!("is not a number of seconds: '{text}'"),
                    "write seconds as a number, 0 or greater, such as 5 or 0.5",
                )
            })
    }
}

/// A span written as a whole number of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milliseconds(pub Duration);

impl Setting for Milliseconds {
    const KIND: Kind = Kind::Number;

    fn parse(text: &str, context: Context<'_>) -> Result<Self, Invalid> {
        u64::parse(text, context).map(|ms| Self(Duration::from_millis(ms)))
    }
}

/// A span in nginx's notation: `75`, `60s`, `500ms`, `1h30m`, `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NginxTime(pub Duration);

fn nginx_time(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let milliseconds: u64 = match &rest[..letters] {
            "ms" => 1,
            "" | "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "M" => 30 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        rest = rest[letters..].trim_start();
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
    }
    Some(total)
}

impl Setting for NginxTime {
    const KIND: Kind = Kind::Time;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        nginx_time(text).map(Self).ok_or_else(|| {
            Invalid::new(
                format!("is not a time: '{text}'"),
                "write a number with a unit, such as 500ms, 60s, 10m, 1h30m or 1d",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_times_add_up() {
        assert_eq!(nginx_time("75"), Some(Duration::from_secs(75)));
        assert_eq!(nginx_time("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(nginx_time("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(nginx_time("1d 2s"), Some(Duration::from_secs(86402)));
        assert_eq!(nginx_time("s"), None);
        assert_eq!(nginx_time("5 parsecs"), None);
        assert_eq!(nginx_time("5µs"), None);
    }
}
