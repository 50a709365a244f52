//! Times in messages of syslog.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::json;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Appends a time as RFC 5424 has it, in UTC.
pub(crate) fn of_rfc5424(at: SystemTime, out: &mut Vec<u8>) {
    let at = Offset::UTC.to_datetime(timestamp(at));
    json::number(out, at.year());
    out.push(b'-');
    two(at.month(), b'0', out);
    out.push(b'-');
    two(at.day(), b'0', out);
    out.push(b'T');
    clock(at, out);
    out.push(b'Z');
}

/// Appends a time as the C library has it: without the year, in this zone.
pub(crate) fn of_syslog(at: SystemTime, zone: &TimeZone, out: &mut Vec<u8>) {
    let at = zone.to_datetime(timestamp(at));
    let month = usize::from(at.month().unsigned_abs()).wrapping_sub(1);
    out.extend_from_slice(MONTHS.get(month).map_or(b"", |name| name.as_bytes()));
    out.push(b' ');
    two(at.day(), b' ', out);
    out.push(b' ');
    clock(at, out);
}

fn timestamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or_default()
}

fn clock(at: DateTime, out: &mut Vec<u8>) {
    two(at.hour(), b'0', out);
    out.push(b':');
    two(at.minute(), b'0', out);
    out.push(b':');
    two(at.second(), b'0', out);
}

/// Appends a number in two places.
fn two(number: i8, filler: u8, out: &mut Vec<u8>) {
    if number < 10 {
        out.push(filler);
    }
    json::number(out, number);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_are_those_that_strftime_writes() {
        for seconds in [0, 951_827_696, 1_709_210_096, 1_767_225_599, 4_102_444_799] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            let expected = timestamp(at).strftime("%Y-%m-%dT%H:%M:%SZ|%b %e %H:%M:%S");
            let mut out = Vec::new();
            of_rfc5424(at, &mut out);
            out.push(b'|');
            of_syslog(at, &TimeZone::UTC, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected.to_string());
        }
    }
}
