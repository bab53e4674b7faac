//! `ipsec rsasigkey`: a new RSA key in the form of `ipsec.secrets`, on standard output.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ipsec_crypto::{CryptoError, rsa};
use ipsec_types::SecretBytes;
use ipsec_types::auth::RsaNumbers;

use super::{hostname, now};
use crate::info;

const ME: &str = "ipsec rsasigkey";
const USAGE: &str = "Usage:\trsasigkey [--verbose] [--random device] nbits [--hostname host] [--noopt] [--rounds num]\n\
    \x20         [--configdir dir] [--password password] (nss only)\n\
    \trsasigkey [--verbose] --oldkey filename\n\
    \t LIBNSS un-available";
/// What the old program took; [`rsa::BITS`] is narrower.
const MAX_BITS: i64 = 20_000;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    verbose: bool,
    random: Option<String>,
    hostname: Option<String>,
    oldkey: Option<String>,
    bits: Option<String>,
}

/// Runs `ipsec rsasigkey`. Exit status 1 for a number of bits that cannot be, 2 for nonsense.
pub(crate) fn run(args: &[String]) -> i32 {
    if args.iter().any(|a| a == "--version") {
        println!("{ME} {}", info::version_code());
        return 0;
    }
    let options = match parse(args) {
        Ok(options) => options,
        Err(why) => {
            if !why.is_empty() {
                eprintln!("{ME}: {why}");
            }
            println!("{USAGE}");
            return 2;
        }
    };
    let key = match (&options.oldkey, &options.bits) {
        (Some(file), _) => old_key(Path::new(file), options.verbose),
        (None, bits) => check(bits.as_deref().unwrap_or_default())
            .and_then(|n| make(n, options.random.as_deref(), options.verbose)),
    };
    match key {
        Ok(key) => {
            print!("{}", text(&key, &options.hostname.unwrap_or_else(hostname), &now(false)));
            0
        }
        Err(why) => {
            eprintln!("{ME}: {why}");
            1
        }
    }
}

fn parse(args: &[String]) -> Result<Options, String> {
    let mut o = Options::default();
    let mut args = args.iter().cloned();
    let mut words = Vec::new();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("option `{arg}' requires an argument"));
        match arg.as_str() {
            "--verbose" => o.verbose = true,
            // One way of writing the private exponent is left: the shorter one.
            "--noopt" => {}
            "--random" => o.random = Some(value()?),
            "--hostname" => o.hostname = Some(value()?),
            "--oldkey" => o.oldkey = Some(value()?),
            "--rounds" if value()?.parse::<u32>().is_ok_and(|n| n > 0) => {}
            "--rounds" => return Err("rounds must be > 0".into()),
            // There is no NSS database here.
            "--configdir" | "--password" => drop(value()?),
            "--help" => return Err(String::new()),
            _ if arg.starts_with("--") => return Err(format!("unrecognized option `{arg}'")),
            _ => words.push(arg),
        }
    }
    // With --oldkey the length is that of the key.
    if words.len() != usize::from(o.oldkey.is_none()) {
        return Err(String::new());
    }
    o.bits = words.pop();
    Ok(o)
}

/// How many bits `text` asks for.
pub(super) fn check(text: &str) -> Result<u32, String> {
    let bits: i64 = text.parse().unwrap_or(0);
    match bits {
        ..=0 => Err(format!("invalid bit count ({text})")),
        n if n > MAX_BITS => Err(format!("overlarge bit count (max {})", rsa::BITS.end())),
        n if n % 16 != 0 => Err(format!("bit count ({n}) not multiple of 16")),
        n => u32::try_from(n).ok().filter(|n| rsa::BITS.contains(n)).ok_or_else(|| {
            format!("bit count ({n}) is not between {} and {}", rsa::BITS.start(), rsa::BITS.end())
        }),
    }
}

/// A new key. What a `device` gives is mixed into what the kernel's generator gives.
pub(super) fn make(bits: u32, device: Option<&str>, verbose: bool) -> Result<RsaNumbers, String> {
    let mut file = match device {
        None => None,
        Some(path) => {
            if verbose {
                eprintln!("getting random bits from {path}...");
            }
            Some((path, File::open(path).map_err(|e| format!("could not open {path} ({e})"))?))
        }
    };
    let mut random = |out: &mut [u8]| {
        getrandom::fill(out).map_err(|e| CryptoError::Library(e.to_string()))?;
        if let Some((path, file)) = &mut file {
            let mut more = vec![0; out.len()];
            let failed = |e| CryptoError::Library(format!("could not read {path}: {e}"));
            file.read_exact(&mut more).map_err(failed)?;
            out.iter_mut().zip(more).for_each(|(a, b)| *a ^= b);
        }
        Ok(())
    };
    if verbose {
        eprintln!("computing primes and modulus...");
    }
    rsa::generate(bits, &mut random).map_err(|e| e.to_string())
}

/// The key whose primes stand in a file this program wrote once.
fn old_key(path: &Path, verbose: bool) -> Result<RsaNumbers, String> {
    if verbose {
        eprintln!("getting old key from {}...", path.display());
    }
    let failed = |e: String| format!("unable to open file `{}' ({e})", path.display());
    let text = match path.to_str() {
        Some("-") => ipsec_conf::source::read_text(std::io::stdin()),
        _ => ipsec_conf::source::read(path),
    };
    let text = text.map_err(failed)?;
    let number = |name: &str| -> Option<SecretBytes> {
        let mut lines = text.lines().filter_map(|l| l.trim_start().strip_prefix(name)?.strip_prefix(':'));
        let value = lines.next()?.split_whitespace().next()?;
        lines.next().is_none().then(|| hex(value)).flatten()
    };
    let (p, q) = (number("Prime1"), number("Prime2"));
    let (Some(p), Some(q)) = (p, q) else { return Err("old key missing or incomplete".into()) };
    let e = number("PublicExponent").unwrap_or_else(|| SecretBytes::new(vec![3]));
    rsa::from_primes(p.expose(), q.expose(), e.expose()).map_err(|_| "old key missing or incomplete".into())
}

/// The octets of `0x…`; `_` is passed over.
fn hex(text: &str) -> Option<SecretBytes> {
    let digits: Vec<u8> = text.strip_prefix("0x")?.bytes().filter(|b| *b != b'_').collect();
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let nibbles: Vec<u8> = digits.iter().map(digit).collect::<Option<_>>()?;
    let odd = nibbles.len() % 2;
    let mut out: Vec<u8> = nibbles[..odd].to_vec();
    out.extend(nibbles[odd..].chunks(2).map(|p| p[0] << 4 | p[1]));
    Some(SecretBytes::new(out))
}

/// The key as it stands between the braces of `: RSA { }`.
pub(super) fn text(key: &RsaNumbers, host: &str, date: &str) -> String {
    let number = |n: &SecretBytes| {
        let mut text = String::from("0x");
        for b in n.expose() {
            let _ = write!(text, "{b:02x}");
        }
        text
    };
    let public = rsa::base64(&rsa::public_key(key.e.expose(), key.n.expose()));
    let mut out = format!(
        "\t# RSA {} bits   {host}   {date}\n\t# for signatures only, UNSAFE FOR ENCRYPTION\n\t#pubkey=0s{public}\n",
        key.n.len() * 8
    );
    let _ = writeln!(out, "\tModulus: {}\n\tPublicExponent: {}", number(&key.n), number(&key.e));
    out.push_str("\t# everything after this point is secret\n");
    for (name, n) in [
        ("PrivateExponent", &key.d),
        ("Prime1", &key.p),
        ("Prime2", &key.q),
        ("Exponent1", &key.dp),
        ("Exponent2", &key.dq),
        ("Coefficient", &key.qinv),
    ] {
        let _ = writeln!(out, "\t{name}: {}", number(n));
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
    fn options_and_nonsense() {
        let o = parse(&words(
            "--verbose --random /dev/urandom 2048 --hostname h --noopt --rounds 5 --configdir /x",
        ))
        .unwrap();
        assert!(o.verbose && o.bits.as_deref() == Some("2048") && o.hostname.as_deref() == Some("h"));
        assert!(parse(&words("--oldkey f")).unwrap().bits.is_none());
        for bad in
            ["", "1024 2048", "--frob 1024", "--rounds 0 1024", "--random", "--oldkey f 1024", "--help"]
        {
            assert!(parse(&words(bad)).is_err(), "{bad}");
        }
        for (bad, why) in [
            ("0", "invalid bit count (0)"),
            ("x", "invalid bit count (x)"),
            ("20016", "overlarge bit count (max 8192)"),
            ("1025", "bit count (1025) not multiple of 16"),
            ("512", "bit count (512) is not between 1024 and 8192"),
        ] {
            assert_eq!(check(bad).unwrap_err(), why);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let key = make(1024, Some("/dev/urandom"), false).unwrap();
        let written = text(&key, "host", "date");
        assert!(written.starts_with("\t# RSA 1024 bits   host   date\n\t# for signatures only, UNSAFE FOR ENCRYPTION\n\t#pubkey=0sAwEAA"));
        let file = dir.path().join("key");
        std::fs::write(&file, &written).unwrap();
        assert_eq!(old_key(&file, false).unwrap(), key);
        std::fs::write(
            &file,
            format!(": RSA\t{{\n{written}\t}}\n# do not change the indenting of that \"}}\"\n"),
        )
        .unwrap();
        let (records, said) = ipsec_conf::secrets::load_all(&file);
        let ipsec_types::auth::Secret::Rsa(read) = &records[0].secret else { panic!("{said:?}") };
        assert_eq!(**read, key);
        std::fs::write(&file, "\tPrime1: 0x07\n\tPrime1: 0x07\n").unwrap();
        assert!(old_key(&file, false).is_err());
        // A device that has not enough to give.
        assert!(make(1024, file.to_str(), false).is_err());
    }

    #[test]
    fn hex_of_any_length() {
        assert_eq!(hex("0x1_0203").unwrap().expose(), [1, 2, 3]);
        assert_eq!(hex("0xabc").unwrap().expose(), [0xa, 0xbc]);
        assert!(hex("0xg").is_none() && hex("12").is_none());
    }
}
