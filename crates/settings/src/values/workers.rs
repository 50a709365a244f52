//! How many cores proxy.

use std::num::NonZeroU16;

use super::{Context, Invalid, Kind, Setting};

/// How many worker threads, each with its own listeners and connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One for each core.
    Auto,
    /// This many.
    Count(NonZeroU16),
}

impl Workers {
    /// The number of workers on a machine with `cores` cores.
    #[must_use]
    pub fn on(self, cores: usize) -> usize {
        match self {
            Self::Auto => cores.max(1),
            Self::Count(count) => count.get().into(),
        }
    }
}

/// How many connections a worker serves at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections(pub u32);

impl Setting for Connections {
    const KIND: Kind = Kind::Special("auto or a number");

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        if text == "auto" {
            return Ok(Self(16_384));
        }
        match text.parse() {
            Ok(count @ 1..) => Ok(Self(count)),
            _ => Err(Invalid::new(
                format!("is neither auto nor a number of connections: '{text}'"),
                "write auto, or a whole number from 1",
            )),
        }
    }
}

impl Setting for Workers {
    const KIND: Kind = Kind::Special("auto or a number");

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Count).map_err(|_| {
            Invalid::new(
                format!("is neither auto nor a number of workers: '{text}'"),
                "write auto, or a whole number from 1",
            )
        })
    }
}
