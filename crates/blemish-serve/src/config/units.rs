//! Sizes, times and numbers as people write them, for flags and files.

use std::time::Duration;

/// Bytes: `5GiB`, `32MiB`, `500kB`, `2G`, or bytes as a plain number.
///
/// # Errors
/// What is wrong and how to write it.
pub fn bytes(text: &str) -> Result<u64, String> {
    let units = [
        ("", 1.0),
        ("B", 1.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("kB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
    ];
    let value =
        scaled(text, &units).ok_or_else(|| format!("`{text}` is no number of bytes; write 32MiB or 5GiB"))?;
    Ok(value as u64)
}

/// Pixels: `100MP`, `10000x10000`, or a plain number; one at least.
///
/// # Errors
/// What is wrong and how to write it.
pub fn pixels(text: &str) -> Result<u64, String> {
    let value = match text.split_once(['x', 'X']) {
        Some((one, other)) => {
            let side = |text: &str| text.trim().parse::<u64>().ok();
            side(one).zip(side(other)).and_then(|(one, other)| one.checked_mul(other))
        }
        None => scaled(text, &[("", 1.0), ("MP", 1e6)]).map(|value| value as u64),
    };
    value
        .filter(|&pixels| pixels > 0)
        .ok_or_else(|| format!("`{text}` is no number of pixels; write 100MP or 10000x10000"))
}

/// A time: `10s`, `500ms`, `2m`, `1h`, or seconds as a plain number.
///
/// # Errors
/// What is wrong and how to write it.
pub fn duration(text: &str) -> Result<Duration, String> {
    time(text, 1.0)
}

/// A short time: as [`duration`], but a plain number is milliseconds.
///
/// # Errors
/// What is wrong and how to write it.
pub fn milliseconds(text: &str) -> Result<Duration, String> {
    time(text, 1e-3)
}

/// A time whose plain numbers are of so many seconds.
fn time(text: &str, plain: f64) -> Result<Duration, String> {
    let units = [("", plain), ("s", 1.0), ("ms", 1e-3), ("m", 60.0), ("min", 60.0), ("h", 3600.0)];
    let seconds = scaled(text, &units).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("`{text}` is no time; write 10s or 500ms"))
}

/// A number that is not negative, by its unit.
fn scaled(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|sign: char| !(sign.is_ascii_digit() || sign == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    let value = number * factor;
    (value.is_finite() && value < 9e18).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_as_people_write_them() {
        assert_eq!(bytes("32MiB"), Ok(32 << 20));
        assert_eq!(bytes("1.5 gib"), Ok(3 << 29));
        assert_eq!(bytes("7"), Ok(7));
        assert_eq!(bytes("4g"), Ok(4_000_000_000));
        assert_eq!(
            (pixels("100MP"), pixels("9000x9000"), pixels("7")),
            (Ok(100_000_000), Ok(81_000_000), Ok(7))
        );
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(
            (duration("2"), milliseconds("2")),
            (Ok(Duration::from_secs(2)), Ok(Duration::from_millis(2)))
        );
        assert_eq!(
            (duration("2ms"), milliseconds("2s")),
            (Ok(Duration::from_millis(2)), Ok(Duration::from_secs(2)))
        );
        for wrong in ["0", "0MP", "9x", "4294967296x4294967296"] {
            assert!(pixels(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "-1s", "GiB", "1e400", "12 parsecs", "99999999999GiB", "."] {
            assert!(bytes(wrong).is_err() && duration(wrong).is_err() && pixels(wrong).is_err(), "{wrong}");
        }
    }
}
