//! Reading published vectors.

/// Bytes of hex text; blanks do not count.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    assert_eq!(digits.len() % 2, 0, "odd number of digits: {text}");
    digits.chunks(2).map(|p| p[0] << 4 | p[1]).collect()
}
