//! Times as the history has them: seconds since 1970, days in UTC.

use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::macros::format_description;

/// Now, in seconds since 1970.
pub fn now() -> f64 {
    crate::bus::seconds(SystemTime::now())
}

/// The time of so many milliseconds since 1970.
pub fn from_milliseconds(milliseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
}

/// `2026/11/28`: the folder of a day.
pub fn day_folder(time: SystemTime) -> String {
    let date = OffsetDateTime::from(time);
    format!("{:04}/{:02}/{:02}", date.year(), u8::from(date.month()), date.day())
}

/// `20261128-174501`, for names of files.
pub fn compact(time: SystemTime) -> String {
    let format = format_description!("[year][month][day]-[hour][minute][second]");
    // Fails only for years that have no such form.
    OffsetDateTime::from(time).format(&format).unwrap_or_else(|_| "unknown".into())
}

/// The first and the last moment of a day written as `2026-11-28`, in milliseconds since 1970; `None` for anything else.
pub fn day(text: &str) -> Option<(u64, u64)> {
    let format = format_description!("[year]-[month]-[day]");
    let start = time::Date::parse(text, &format).ok()?.midnight().assume_utc().unix_timestamp();
    let start = u64::try_from(start).ok()? * 1000;
    Some((start, start + 86_399_999))
}

/// The first moment of today, in milliseconds since 1970.
pub fn midnight() -> u64 {
    let today = OffsetDateTime::now_utc().date().midnight().assume_utc().unix_timestamp();
    u64::try_from(today).unwrap_or(0) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        // 28 November 2026 begins 1,795,824,000 seconds after 1970.
        assert_eq!(day("2026-11-28"), Some((1_795_824_000_000, 1_795_910_399_999)));
        assert_eq!(day_folder(from_milliseconds(1_795_824_000_000)), "2026/11/28");
        assert_eq!(day_folder(from_milliseconds(1_795_823_999_999)), "2026/11/27");
        assert_eq!(compact(from_milliseconds(1_795_824_061_000)), "20261128-000101");
        for text in ["2026-13-01", "yesterday", "", "2026-11-28; DROP TABLE image"] {
            assert_eq!(day(text), None, "{text}");
        }
    }
}
