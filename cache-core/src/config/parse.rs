//! Values with units, from text: one grammar for files, variables and URLs, also for the URLs of other backends.
//!
//! The error of each is what should have stood there, as the end of "expected ..".

use std::time::Duration;

/// A duration with its unit: `30s`, `10m`, `1h 30m`, `250ms`.
///
/// # Errors
///
/// The form that is expected, if the text has no unit or is no duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim())
        .map_err(|error| format!("a duration with its unit, such as `30s`, `10m` or `250ms` ({error})"))
}

/// A size with its unit: `64MiB`, `1GB`, `512`, in bytes.
///
/// # Errors
///
/// The form that is expected, if the text is no size.
pub fn size(text: &str) -> Result<u64, String> {
    text.trim()
        .parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| "a size with its unit, such as `64MiB` or `512KB`".to_owned())
}

/// A share: `5%` or `0.05`.
///
/// # Errors
///
/// The form that is expected, if the text is no number from 0 to 1, or from 0 % to 100 %.
pub fn share(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    };
    share
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "a share from 0 to 1, such as `5%` or `0.05`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_units() {
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration(" 250ms "), Ok(Duration::from_millis(250)));
        assert!(duration("10").is_err(), "a number without a unit may mean anything");
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("1GB"), Ok(1_000_000_000));
        assert_eq!(size("512"), Ok(512));
        assert!(size("many").is_err());
        assert_eq!(share("5%"), Ok(0.05));
        assert_eq!(share("0.5"), Ok(0.5));
        assert!(share("1.5").is_err());
        assert!(share("-1%").is_err());
        assert!(share("NaN").is_err());
    }
}
