//! The wall clock.

use quorate_types::Millis;
use std::time::{SystemTime, UNIX_EPOCH};

/// Midnight UTC of a day such as `2027-01-01`.
#[must_use]
pub fn date(text: &str) -> Option<Millis> {
    let mut parts = text.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let known = (1970..=9999).contains(&year) && (1..=12).contains(&month);
    if parts.next().is_some() || !known || !(1..=last).contains(&day) {
        return None;
    }
    // Hinnant, "chrono-compatible low-level date algorithms", days_from_civil: years begin in
    // March, so that a leap day is a year's last one.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(Millis(days * Millis::DAY))
}

/// Now.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_the_time_that_it_is_shown_as() {
        for (text, shown) in [
            ("1970-01-01", "1970-01-01 00:00:00Z"),
            ("2000-02-29", "2000-02-29 00:00:00Z"),
            ("2027-01-01", "2027-01-01 00:00:00Z"),
            ("2100-03-01", "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(date(text).map(crate::render::time).as_deref(), Some(shown));
        }
        for none in [
            "2027-02-29",
            "2100-02-29",
            "2027-13-01",
            "2027-00-01",
            "2027-04-31",
            "1969-12-31",
            "2027-01",
            "2027-01-01-01",
            "x",
        ] {
            assert_eq!(date(none), None, "{none}");
        }
    }
}
