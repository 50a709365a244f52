//! Calendar windows in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::Value;

/// The length of a calendar window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Period {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Year,
}

impl Period {
    /// All, from the shortest on.
    pub(crate) const ALL: [Self; 6] = [
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Month,
        Self::Year,
    ];

    /// The nominal length in seconds: 30 days for a month, 365 for a year.
    pub(crate) fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
            Self::Month => 2_592_000,
            Self::Year => 31_536_000,
        }
    }

    /// Seconds that a window lasts at most.
    pub(crate) fn longest(self) -> u32 {
        match self {
            Self::Month => 31 * 86_400,
            Self::Year => 366 * 86_400,
            _ => self.seconds(),
        }
    }

    /// The name of the setting.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The first second of the window that `now` lies in; both in seconds since 1970.
    pub(crate) fn start(self, now: u32) -> u32 {
        let first = match self {
            Self::Second | Self::Minute | Self::Hour | Self::Day => {
                return now - now % self.seconds();
            }
            Self::Month | Self::Year => now,
        };
        let Ok(timestamp) = Timestamp::from_second(i64::from(first)) else {
            return now;
        };
        let date = Offset::UTC.to_datetime(timestamp).date();
        let first = match self {
            Self::Year => date.first_of_year(),
            _ => date.first_of_month(),
        };
        let days = first
            .duration_since(jiff::civil::date(1970, 1, 1))
            .as_secs();
        u32::try_from(days).unwrap_or(now)
    }
}

/// What is wrong with limits by the names of their periods: a longer window cannot have a lower
/// one.
pub(crate) fn order_problem(limits: &Value) -> Option<String> {
    let limit = |period: &Period| {
        let requests = limits.get(period.setting())?.as_f64()?;
        Some((period.setting(), requests))
    };
    let limits: Vec<_> = Period::ALL.iter().filter_map(limit).collect();
    for (at, (short, lower)) in limits.iter().enumerate() {
        for (long, upper) in &limits[at + 1..] {
            if upper < lower {
                return Some(format!(
                    "limit for {long}({upper:.1}) cannot be lower than the limit for \
                     {short}({lower:.1})"
                ));
            }
        }
    }
    None
}

/// Whole seconds since 1970; times outside of 1970 to 2106 are moved to its ends.
pub(crate) fn seconds_of(time: SystemTime) -> u32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-02-29T12:34:56Z.
    const LEAP_DAY: u32 = 1_709_210_096;

    #[test]
    fn windows_start_with_the_calendar() {
        let starts = Period::ALL.map(|period| period.start(LEAP_DAY));
        let expected = [
            1_709_210_096, // 12:34:56
            1_709_210_040, // 12:34:00
            1_709_208_000, // 12:00:00
            1_709_164_800, // 2024-02-29
            1_706_745_600, // 2024-02-01
            1_704_067_200, // 2024-01-01
        ];
        assert_eq!(starts, expected);
    }

    #[test]
    fn every_time_lies_in_its_window() {
        for now in [0, 1, LEAP_DAY, u32::MAX] {
            for period in Period::ALL {
                let start = period.start(now);
                assert!(start <= now && now - start < period.longest());
            }
        }
    }
}
