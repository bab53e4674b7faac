//! The `0x`, `0s` and `0t` forms of a secret.

use ipsec_types::SecretBytes;

/// Decodes an unquoted secret.
///
/// # Errors
/// The reason, which never holds a part of the secret.
pub(crate) fn decode(data: &[u8]) -> Result<SecretBytes, &'static str> {
    match data {
        [b'0', b'x' | b'X', rest @ ..] => hex(rest),
        [b'0', b's' | b'S', rest @ ..] => base64(rest),
        [b'0', b't' | b'T', rest @ ..] if !rest.is_empty() => Ok(SecretBytes::from(rest)),
        [b'0', b't' | b'T'] => Err("input is empty"),
        [] => Err("input is empty"),
        // A bare word stands for itself.
        _ => Ok(SecretBytes::from(data)),
    }
}

fn hex(digits: &[u8]) -> Result<SecretBytes, &'static str> {
    let mut out = Vec::with_capacity(digits.len() / 2);
    let mut high = None;
    for &d in digits.iter().filter(|&&d| d != b'_') {
        let value = (d as char)
            .to_digit(16)
            .and_then(|v| u8::try_from(v).ok())
            .ok_or("non-hex digit in hex constant")?;
        match high.take() {
            None => high = Some(value),
            Some(h) => out.push(h << 4 | value),
        }
    }
    match (high, out.is_empty()) {
        (Some(_), _) => Err("hex constant must have an even number of digits"),
        (None, true) => Err("input is empty"),
        (None, false) => Ok(SecretBytes::new(out)),
    }
}

fn base64(text: &[u8]) -> Result<SecretBytes, &'static str> {
    let padded = text.iter().rev().take_while(|&&c| c == b'=').count();
    let text = &text[..text.len() - padded];
    if padded > 2 || text.len() % 4 == 1 || (padded > 0 && !(text.len() + padded).is_multiple_of(4)) {
        return Err("base64 text is incomplete or not padded properly");
    }
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut have) = (0u32, 0);
    for &c in text {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err("illegal character in base64 text"),
        };
        bits = bits << 6 | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push(u8::try_from(bits >> have & 0xff).unwrap_or(0));
        }
    }
    if out.is_empty() { Err("input is empty") } else { Ok(SecretBytes::new(out)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_decode() {
        for (text, want) in [
            (&b"0xde_ad"[..], &b"\xde\xad"[..]),
            (b"0saGVsbG8gd29ybGQ=", b"hello world"),
            (b"0saGVsbG8gd29ybGQ", b"hello world"),
            (b"0ta b # c", b"a b # c"),
            (b"bare", b"bare"),
            (b"0123", b"0123"),
        ] {
            assert_eq!(decode(text).unwrap().expose(), want);
        }
        for bad in [&b"0x"[..], b"0xabc", b"0xzz", b"0sA", b"0s!!!!", b"0saGVsbG8gd29ybGQ==", b"0t"] {
            assert!(decode(bad).is_err());
        }
    }
}
