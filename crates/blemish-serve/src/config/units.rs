//! Sizes, times and numbers as people write them, for flags and files.

use std::time::Duration;

/// Bytes: `5GiB`, `32MiB`, `500kB`, or a plain number.
///
/// # Errors
/// What is wrong and how to write it.
pub fn bytes(text: &str) -> Result<u64, String> {
    let units: [(&str, f64); 8] = [
        ("", 1.0),
        ("B", 1.0),
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

/// Pixels: `100MP`, or a plain number.
///
/// # Errors
/// What is wrong and how to write it.
pub fn pixels(text: &str) -> Result<u64, String> {
    let value = scaled(text, &[("", 1.0), ("MP", 1e6)]);
    value.map(|value| value as u64).ok_or_else(|| format!("`{text}` is no number of pixels; write 100MP"))
}

/// A time: `10s`, `500ms`, `2m`, `1h`, or seconds as a plain number.
///
/// # Errors
/// What is wrong and how to write it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [("", 1.0), ("s", 1.0), ("ms", 1e-3), ("m", 60.0), ("min", 60.0), ("h", 3600.0)];
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
        assert_eq!(pixels("100MP"), Ok(100_000_000));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in ["", "-1s", "GiB", "1e400", "12 parsecs", "99999999999GiB", "."] {
            assert!(bytes(wrong).is_err() && duration(wrong).is_err(), "{wrong}");
        }
    }
}
