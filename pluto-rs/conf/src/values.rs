//! Single values: truth, numbers, times, percentages.

use crate::keywords::Kind;

/// A value as one would write it who knows only one spelling: `yes`, `no`, words in lower case.
pub(crate) fn canonical(kind: Kind, s: &str) -> String {
    match (kind, boolean(s)) {
        (Kind::Bool, Some(true)) => "yes".into(),
        (Kind::Bool, Some(false)) => "no".into(),
        (Kind::Word(_), _) => s.to_ascii_lowercase(),
        _ => s.to_string(),
    }
}

/// `yes y true on 1` and `no n false off 0`, in any case.
pub fn boolean(s: &str) -> Option<bool> {
    match s.to_ascii_lowercase().as_str() {
        "yes" | "y" | "true" | "on" | "1" => Some(true),
        "no" | "n" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A decimal number of 32 bits; `%forever` is 0.
///
/// # Errors
/// What is wrong with it.
pub fn number(s: &str) -> Result<u32, String> {
    if s.eq_ignore_ascii_case("%forever") {
        return Ok(0);
    }
    match s.parse::<u32>() {
        Ok(n) => Ok(n),
        Err(_) if !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()) => {
            Err(format!("number too large: {s}"))
        }
        Err(_) => Err("value is not a number".into()),
    }
}

/// Seconds: a number, whole or decimal, with an optional suffix `s m h d w`.
///
/// # Errors
/// What is wrong with it.
pub fn time(s: &str) -> Result<u32, String> {
    let digits = s.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match s[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "s" => 1u64,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        "w" => 7 * 86400,
        other => return Err(format!("bad duration multiplier \"{other}\" on {s}")),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |d: &str| d.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 6 {
        return Err("value is not a number".into());
    }
    let too_large = || format!("number too large: {s}");
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let scale = 10u64.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().map_err(|_| too_large())? };
    let seconds = whole.checked_mul(unit).and_then(|w| w.checked_add(part * unit / scale));
    seconds.and_then(|n| u32::try_from(n).ok()).ok_or_else(too_large)
}

/// A percentage; the sign may be missing.
///
/// # Errors
/// What is wrong with it.
pub fn percent(s: &str) -> Result<u32, String> {
    number(s.strip_suffix('%').unwrap_or(s))
}

/// An amount of octets or packets: a number with an optional unit `k m g t`, in powers of 1024, or `%forever`.
///
/// # Errors
/// What is wrong with it.
pub fn amount(s: &str) -> Result<u64, String> {
    let lower = s.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if lower == "%forever" || lower == "infinite" {
        return Ok(0);
    }
    let shift = match lower[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        other => return Err(format!("bad multiplier \"{other}\" on {s}")),
    };
    let n: u64 = digits.parse().map_err(|_| "value is not a number".to_string())?;
    n.checked_mul(1 << shift).ok_or_else(|| format!("number too large: {s}"))
}

/// The words of a list.
pub fn words(s: &str) -> impl Iterator<Item = &str> {
    s.split([' ', '\t', ',']).filter(|w| !w.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!(
            (boolean("Yes"), boolean("OFF"), boolean("1"), boolean("maybe")),
            (Some(true), Some(false), Some(true), None)
        );
        assert_eq!(
            (time("8h"), time("60m"), time("90"), time("1.5h"), time("1w")),
            (Ok(28800), Ok(3600), Ok(90), Ok(5400), Ok(604_800))
        );
        for bad in ["", "h", "1x", "-1", "99999999999", "4294967295h", "1.2.3s", "99999999999999999999w"] {
            assert!(time(bad).is_err(), "{bad}");
        }
        assert_eq!((percent("100%"), percent("20"), number("%forever")), (Ok(100), Ok(20), Ok(0)));
        assert_eq!(number("4294967296").unwrap_err(), "number too large: 4294967296");
    }
}
