//! Values of options, read and refused.

use blemish::Trim;
use std::time::Duration;

/// A size on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Exact { width: usize, height: usize },
    ShorterSide(usize),
}

/// The size that images are brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputSize {
    /// What the method takes by itself.
    Auto,
    /// Each at its own.
    Native,
    Resized(Size),
}

pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

pub(super) fn image_size(text: &str) -> Result<InputSize, String> {
    match text {
        "auto" => Ok(InputSize::Auto),
        "native" => Ok(InputSize::Native),
        _ => size(text).map(InputSize::Resized),
    }
}

pub(super) fn size(text: &str) -> Result<Size, String> {
    match text.split_once(['x', 'X']) {
        Some((width, height)) => Ok(Size::Exact { width: side(width)?, height: side(height)? }),
        None => side(text).map(Size::ShorterSide),
    }
}

/// The side of a square size: `256x256`, `256`.
pub fn square(text: &str) -> Result<usize, String> {
    match size(text)? {
        Size::ShorterSide(side) => Ok(side),
        Size::Exact { width, height } if width == height => Ok(width),
        Size::Exact { .. } => Err(format!("`{text}` is no square size, such as 256x256")),
    }
}

pub(super) fn side(text: &str) -> Result<usize, String> {
    match text.trim().parse::<usize>() {
        Ok(number) if (8..=16_384).contains(&number) => Ok(number),
        _ => Err(format!("`{text}` is not a size between 8 and 16384")),
    }
}

/// The values that mean black and white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRange {
    /// Those that the good images have.
    Auto,
    /// These.
    Fixed(f32, f32),
}

pub(super) fn value_range(text: &str) -> Result<ValueRange, String> {
    match text.trim() {
        "auto" => Ok(ValueRange::Auto),
        text => match range(text) {
            Ok((low, high)) => Ok(ValueRange::Fixed(low, high)),
            Err(reason) => Err(format!("{reason}, or auto")),
        },
    }
}

pub(super) fn pixels(text: &str) -> Result<u64, String> {
    let product = |text: &str| -> Option<u64> {
        match text.split_once(['x', 'X']) {
            Some((one, other)) => one.trim().parse::<u64>().ok()?.checked_mul(other.trim().parse().ok()?),
            None => text.trim().parse().ok(),
        }
    };
    product(text)
        .filter(|&pixels| pixels > 0)
        .ok_or_else(|| format!("`{text}` is not a number of pixels; write 100000000 or 10000x10000"))
}

pub(super) fn range(text: &str) -> Result<(f32, f32), String> {
    let (low, high) = text.split_once(',').ok_or("write it as LOW,HIGH")?;
    let number = |text: &str| text.trim().parse::<f32>().map_err(|_| format!("`{text}` is not a number"));
    let (low, high) = (number(low)?, number(high)?);
    if low < high { Ok((low, high)) } else { Err("LOW must be below HIGH".into()) }
}

pub(super) fn trim(text: &str) -> Result<Trim, String> {
    text.parse()
}

/// A number that is not negative, such as an area or a cost.
pub(super) fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(format!("`{text}` is not a number of 0 or more")),
    }
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1.0 => Ok(number),
        _ => Err(format!("`{text}` is not a share above 0 and up to 1")),
    }
}

/// A rate of false alarms.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number < 1.0 => Ok(number),
        _ => Err(format!("`{text}` is not a rate above 0 and below 1")),
    }
}

/// A number of threads.
pub(super) fn threads(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{text}` is not a number of threads above 0")),
    }
}

pub(super) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err(format!("`{text}` is not a number above 0")),
    }
}

pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..split].parse().map_err(|_| format!("`{text}` is not a size such as 4GiB"))?;
    let unit = match text[split..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        unit => return Err(format!("`{unit}` is not a unit; use MB, MiB, GB or GiB")),
    };
    Ok((number * unit) as u64)
}

/// A time such as 90s, 20m or 2h; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1.0),
        Some((at, 'm')) => (&text[..at], 60.0),
        Some((at, 'h')) => (&text[..at], 3600.0),
        _ => (text, 1.0),
    };
    let seconds = number.trim().parse::<f64>().ok().map(|number| number * unit);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| format!("`{text}` is not a time; write 90s, 20m or 2h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_refused() {
        assert_eq!(size("320x256"), Ok(Size::Exact { width: 320, height: 256 }));
        assert_eq!(size("256"), Ok(Size::ShorterSide(256)));
        assert!(size("0x4").is_err() && size("axb").is_err());
        assert_eq!(bytes("1.5GiB"), Ok(1_610_612_736));
        assert_eq!(bytes("200MB"), Ok(200_000_000));
        assert!(bytes("many").is_err() && bytes("3 apples").is_err());
        assert_eq!(range("0,4095"), Ok((0.0, 4095.0)));
        assert!(range("3,1").is_err());
        assert_eq!(key_value("a = b=c"), Ok(("a".into(), "b=c".into())));
        assert!(key_value("nothing").is_err());
        assert_eq!(value_range("auto"), Ok(ValueRange::Auto));
        assert_eq!(value_range("0,4095"), Ok(ValueRange::Fixed(0.0, 4095.0)));
        assert!(value_range("much").unwrap_err().contains("auto"));
        assert_eq!((pixels("20000x20000"), pixels("9")), (Ok(400_000_000), Ok(9)));
        assert!(pixels("0").is_err() && pixels("many").is_err());
        assert!(trim("2%").is_ok() && trim("some").is_err());
        assert!(rate("1").is_err() && rate("nan").is_err() && rate("0.05") == Ok(0.05));
        assert!(threads("0").is_err() && threads("-1").is_err() && threads("1000") == Ok(1000));
        assert!(amount("-1").is_err() && share("0").is_err() && share("1") == Ok(1.0));
    }
}
