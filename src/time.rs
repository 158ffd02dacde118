//! Points in time as text (RFC 3339), for which a crate of its own would be the SDK's heaviest.

const DAY: i64 = 86_400;

/// Milliseconds since the Unix epoch; `None` for what is no such time.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.trim().split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(|part| number(part, 4));
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':').map(|part| number(part, 2));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !valid || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days(year, month, day) * DAY + hour * 3_600 + minute * 60 + second - offset(zone)?;
    Some(seconds * 1_000 + milliseconds(fraction)?)
}

/// Milliseconds since the Unix epoch of a time as HTTP headers have it, `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn parse_http(text: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year, clock, zone) =
        (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let at = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)?;
    (zone == "GMT").then(|| parse(&format!("{year}-{:02}-{day}T{clock}Z", at / 3 + 1)))?
}

/// The time in UTC, with milliseconds where there are any.
pub(crate) fn print(ms: i64) -> String {
    let (seconds, fraction) = (ms.div_euclid(1_000), ms.rem_euclid(1_000));
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let clock = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:03}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// A number of at most so many digits.
fn number(digits: &str, most: usize) -> Option<i64> {
    let fits = (1..=most).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    fits.then(|| digits.parse().ok())?
}

fn milliseconds(fraction: &str) -> Option<i64> {
    let digits = fraction.get(..3).unwrap_or(fraction);
    let value = number(digits, 3)?;
    number(fraction.get(..fraction.len().min(18))?, 18)?;
    Some(value * [100, 10, 1].get(digits.len() - 1)?)
}

/// Seconds that the zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first()? {
        b'Z' | b'z' => return (zone.len() == 1).then_some(0),
        b'+' => 1,
        _ => -1,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    Some(sign * (number(hours, 2)? * 3_600 + number(minutes, 2)? * 60))
}

/// Days since the Unix epoch, by counting years from March, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The other way round.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times_are_read_and_written() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59.5Z", 951_868_799_500),
            ("2026-11-25T10:10:00+01:30", 1_795_596_000_000),
            ("1969-12-31t23:59:59.999999999z", -1),
            ("2024-12-31 19:00:00-05:00", 1_735_689_600_000),
        ] {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
        assert_eq!(print(951_868_799_500), "2000-02-29T23:59:59.500Z");
        assert_eq!(print(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn times_of_http_headers_are_read() {
        assert_eq!(parse_http("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        for text in ["", "Sun, 06 anF 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET", "06 Nov 1994"] {
            assert_eq!(parse_http(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-13-01T00:00:00Z",
            "2026-01-32T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00ZZ",
            "2026-01-01T00:00:00+1",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1x2Z",
            "2026-01-01T0é:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(ms in -62_135_596_800_000_i64..253_402_300_799_999) {
            prop_assert_eq!(parse(&print(ms)), Some(ms));
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,40}", ms in any::<i64>()) {
            let _ = parse(&text);
            let _ = print(ms);
        }
    }
}
