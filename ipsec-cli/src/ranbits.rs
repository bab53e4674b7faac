//! `ipsec ranbits`: random bits as text, from the kernel's generator. Keeps nothing and writes no file.

use std::fmt::Write;

/// Most bytes asked for at once.
const MAX_BYTES: usize = 20_000;

const USAGE: &str = "Usage: ipsec ranbits [--quick] [--continuous] [--bytes] nbits";

/// Runs `ipsec ranbits [--quick] [--continuous] [--bytes] N`. N counts bits, rounded up to whole bytes, or bytes.
/// `--quick` is taken and changes nothing: the kernel's generator never waits once it is seeded.
pub(crate) fn run(args: &[String]) -> i32 {
    let Some((bytes, continuous)) = parse(args) else {
        eprintln!("{USAGE}");
        return 2;
    };
    let mut random = vec![0; bytes];
    if let Err(error) = getrandom::fill(&mut random) {
        eprintln!("ipsec ranbits: {error}");
        return 1;
    }
    println!("{}", text(&random, continuous));
    0
}

/// How many bytes, and whether without separators; `None` for nonsense.
fn parse(args: &[String]) -> Option<(usize, bool)> {
    let has = |option: &str| args.iter().any(|a| a == option);
    let known = |a: &&String| !matches!(a.as_str(), "--quick" | "--continuous" | "--bytes");
    let mut rest = args.iter().filter(known);
    let number: usize = rest.next()?.parse().ok()?;
    let bytes = if has("--bytes") { number } else { number.div_ceil(8) };
    (rest.next().is_none() && (1..=MAX_BYTES).contains(&bytes)).then(|| (bytes, has("--continuous")))
}

/// `0x` and hex digits, in groups of eight with `_` between unless `continuous`.
fn text(bytes: &[u8], continuous: bool) -> String {
    let mut out = String::from("0x");
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 && i % 4 == 0 && !continuous {
            out.push('_');
        }
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_string).collect()
    }

    #[test]
    fn bits_are_rounded_up_and_bytes_are_not() {
        assert_eq!(parse(&words("--quick 9")), Some((2, false)));
        assert_eq!(parse(&words("--continuous --bytes 9")), Some((9, true)));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["", "0", "-1", "x", "8 8", "--what 8", "--bytes 20001", "99999999999999999999999"] {
            assert_eq!(parse(&words(line)), None, "{line}");
        }
    }

    #[test]
    fn groups_have_eight_digits() {
        assert_eq!(text(&[0, 1, 2, 3, 0xab], false), "0x00010203_ab");
        assert_eq!(text(&[0, 1, 2, 3], false), "0x00010203");
        assert_eq!(text(&[0, 1, 2, 3, 0xab], true), "0x00010203ab");
    }
}
